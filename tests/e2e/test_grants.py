"""PostgreSQL's roles with no more rights than docs/governance.rst gives them."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests import postgresql
from tests.e2e.service import ROOT, TIMEOUT, Gateway, Process, command
from tests.folders import new_folder

ADMIN = {"authorization": "Bearer canary-admin-key"}
_numbers = itertools.count()
_BLOCK = re.compile(r"\.\. code-block:: sql\n\n((?:    .*\n|\n)+)")


class Grants(TestCase):
    timeout = TIMEOUT
    skip = postgresql.missing() or None

    def setUp(self) -> None:
        self.server = postgresql.server()
        self.name = f"role_{os.getpid()}_{next(_numbers)}"
        text = (Path(ROOT) / "docs" / "governance.rst").read_text()
        self.alone, self.apart = (re.sub(r"\bllmedge", self.name, block) for block in _BLOCK.findall(text))

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.server.port}/{database}"

    def do(self, sql: str, database: str = "postgres") -> None:
        """As the server's administrator."""
        import psycopg

        with psycopg.connect(self.url("llmedge", database), autocommit=True) as connection:
            for statement in re.sub(r"--.*", "", sql).split(";"):
                if statement.strip():
                    connection.execute(statement)

    def environ(self, role: str) -> dict[str, str]:
        return {
            "LLMEDGE_STORE": self.url(role, self.name),
            "LLMEDGE_PEPPER": "a-pepper-for-tests-of-grants",
            "LLMEDGE_ADMIN_KEY": "canary-admin-key",
            "LOG_LEVEL": "info",
        }

    async def ask(self, gateway: Gateway, method: str, path: str, body: Any = None, key: str = "") -> Any:
        headers = {"authorization": f"Bearer {key}"} if key else ADMIN
        response = await treq.request(method, f"{gateway.url}{path}", headers=headers, json=body, persistent=False)
        text = await response.text()
        self.assertLess(response.code, 300, f"{path} {text}")
        return json.loads(text) if text else None

    async def use(self) -> None:
        """Everything that a gateway asks of its database."""
        gateway = Gateway(
            f'[providers.mock]\ndialect = "mock"\n[ledger]\nspool = "{new_folder()}/spool"\n', self.environ(self.name)
        )
        await gateway.start()
        self.addCleanup(lambda: None if gateway.process.ended.called else Deferred.fromCoroutine(gateway.stop()))
        team = await self.ask(gateway, "POST", "/admin/v1/teams", {"name": "red", "budgets": [{"amount": 1}]})
        made = await self.ask(gateway, "POST", "/admin/v1/keys", {"name": "app", "team": team["id"]})
        body = {"model": "mock/x", "messages": [{"role": "user", "content": "hi"}]}
        await self.ask(gateway, "POST", "/v1/chat/completions", body, made["key"])
        spend = await self.ask(gateway, "GET", "/admin/v1/spend?from=2020-01-01&by=key")
        self.assertEqual(spend["data"][0]["calls"], 1)
        budgets = await self.ask(gateway, "GET", "/admin/v1/budgets")
        await self.ask(gateway, "POST", f"/admin/v1/budgets/{budgets['data'][0]['id'].replace('/', '%2F')}/reset")
        await self.ask(gateway, "DELETE", f"/admin/v1/keys/{made['id']}")
        audit = await self.ask(gateway, "GET", "/admin/v1/audit?verify=1")
        self.assertEqual(audit["broken"], [])
        self.assertEqual(await gateway.stop(), 0)
        problems = [line for line in gateway.logs() if line["level"] in ("ERROR", "WARN", "CRITICAL")]
        self.assertEqual([each["fields"]["message"] for each in problems], [])

    async def test_a_schema_of_its_own(self) -> None:
        first, _, then = self.alone.partition("-- in that database:")
        self.do(first)
        self.do(then, self.name)
        await self.use()

    async def test_no_table_of_its_own(self) -> None:
        """Another role makes them, and the gateway's cannot."""
        first, _, _ = self.alone.partition("-- in that database:")
        self.do(first)
        self.do(self.apart, self.name)
        process = Process("the database is")
        environ = self.environ(f"{self.name}_owner") | {"PYTHONPATH": f"{ROOT}/src{os.pathsep}{ROOT}"}
        process.start([command("twist"), "llmedge", "--migrate"], environ, ROOT)
        process.ready.addErrback(lambda _: None)
        self.assertEqual(await process.ended, 0, process.out + process.err)
        await self.use()
        import psycopg

        with psycopg.connect(self.url(self.name, self.name), autocommit=True) as connection:
            for statement in ("CREATE TABLE mine (a text)", "DROP TABLE ledger", "TRUNCATE audit"):
                self.assertRaises(psycopg.errors.InsufficientPrivilege, connection.execute, statement)
