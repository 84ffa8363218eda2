"""A key's secret is told once, to whoever made it: nothing else that the gateway writes or says has it in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.logger import eventAsJSON, globalLogPublisher

from llmedge.observe.access import access_line
from tests.admin.administration import ADMIN, Administration


class Canary(Administration):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[str] = []

        def observe(event: Any) -> None:
            self.events.append(str(event) + event.get("log_line", "") + _json(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_a_life(self) -> None:
        """Made, used rightly and wrongly, asked for in a URL, rotated, deleted."""
        made = self.key("app", budgets=[{"amount": 1}])
        path = f"/admin/v1/keys/{made['id']}"
        rotated = self.done("POST", f"{path}/rotate", {})
        other = self.done("POST", "/key/generate", {"key_alias": "other"})
        again = self.done("POST", f"/key/{other['key']}/regenerate", {})
        secrets = [made["key"], rotated["key"], other["key"], again["key"], ADMIN]
        said = []
        for secret in secrets:
            said += [
                self.chat(secret),
                self.chat(secret + "x"),
                self.ask("GET", f"/v1/models?key={secret}", key=secret),
                self.ask("GET", f"/key/info?key={secret}"),
                self.ask("GET", f"/key/info?key={secret}x"),
                self.ask("GET", f"/spend/logs?api_key={secret}"),
                self.ask("GET", f"/admin/v1/spend?key={secret}&by=key"),
                self.ask("GET", f"/admin/v1/calls?key={secret}"),
                self.ask("GET", f"/key/list?key_alias={secret}"),
                self.ask("POST", "/key/update", {"key": secret, "metadata": {"a": "b"}}),
                self.ask("POST", "/key/update", {"key": secret, "wrong": 1, "budget_duration": 1, "max_budget": 1}),
                self.ask("POST", "/admin/v1/keys", b'{"key": "' + secret.encode(), key=ADMIN),
                self.ask("GET", "/admin/v1/state", key=secret),
                self.ask("GET", "/v1/key", key=secret),
            ]
        said += [self.ask("DELETE", path), self.ask("POST", "/key/delete", {"keys": [again["key"]]})]
        said += [self.ask("GET", each) for each in ("/admin/v1/audit?verify=1", "/admin/v1/export?format=csv")]
        self.ship()
        documents = " ".join(each.body.decode() + str(each.headers) for each in said)
        process = self.edge.service._process
        for where, text in {
            "answers": documents,
            "logs": " ".join(self.events),
            "access log": " ".join(access_line(each, 0) for each in self.edge.records),
            "records": repr(self.edge.records),
            "metrics": process.metrics.render().decode(),
            "database": self.everything(),
            "files": " ".join(
                file.read_bytes().decode("latin-1")
                for file in Path(self.store.ledger._spool.folder).parent.rglob("*")
                if file.is_file()
            ),
            "objects": repr([self.store.directory.everything(), self.store.directory.secrets(), process.allowances]),
        }.items():
            for number, secret in enumerate(secrets):
                self.assertNotIn(secret, text, (where, number))
        self.assertIn(made["id"], documents)
        self.assertIn(made["id"], self.everything())

    def everything(self) -> str:
        """All that stands in the database."""

        def dump(connection: Any) -> str:
            tables = connection.query("SELECT name FROM sqlite_master WHERE type = 'table'")
            rows = [connection.query(f"SELECT * FROM {name}") for (name,) in tables]
            rows += [connection.query(f"SELECT * FROM {name}") for name in connection.months(0, 2**52)]
            return str(rows)

        return str(self.store.database._do(dump))


def _json(event: Any) -> str:
    try:
        return eventAsJSON(event)
    except (TypeError, ValueError):
        return ""
