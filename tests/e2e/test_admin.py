"""The admin API and the command ``llmedge`` of a gateway that runs, as their pages say, on both databases."""

from __future__ import annotations

import csv
import json
import re
import sys
import textwrap
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from openai import OpenAI
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from tests import postgresql
from tests.e2e.service import PYTHONPATH, ROOT, TIMEOUT, Gateway, until
from tests.e2e.test_tasks import MOCK, examples
from tests.e2e.tools import find, run
from tests.folders import new_folder

ADMIN = "canary-admin-key-51c0de"
PRICED = MOCK.replace('"*"]', '"gpt-4o", "gpt-4o-mini"]')
COMMAND = f"""#!/bin/sh
exec env PYTHONPATH={PYTHONPATH} {sys.executable} -c 'from llmedge.cli.main import main; raise SystemExit(main())' "$@"
"""


class OnSqlite(TestCase):
    timeout = TIMEOUT

    def store(self) -> str:
        """The section of the configuration."""
        return f'url = "sqlite:{self.folder}/llmedge.db"'

    async def begin(self) -> Gateway:
        self.folder = new_folder()
        toml = f"{PRICED}[store]\n{self.store()}\n"
        self.gateway = await Gateway(toml, {"LLMEDGE_ADMIN_KEY": ADMIN}).start()
        self.addCleanup(self.gateway.stop)
        return self.gateway

    async def shell(self, script: str) -> str:
        """What ``script`` prints; it succeeds."""
        (self.folder / "bin").mkdir(exist_ok=True)
        command = self.folder / "bin" / "llmedge"
        command.write_text(COMMAND)
        command.chmod(0o700)
        url = self.gateway.url
        head = f"set -euo pipefail\nexport PATH={command.parent}:{Path(find('jq')).parent}:/usr/bin:/bin\n"
        head += f"export LLMEDGE_URL={url} LLMEDGE_ADMIN_KEY={ADMIN}\n"
        text = head + script.replace("http://127.0.0.1:8080", url)
        output = await run("bash", "-c", text, folder=self.folder)
        self.assertEqual((output.err, output.code), ("", 0), output.out[-2000:])
        return output.out

    def nothing_is_told(self, said: str) -> None:
        """No secret that the commands were shown is in what the gateway wrote."""
        process = self.gateway.process
        secrets = set(re.findall(r"sk-le-[\w-]{40,}", said)) | {ADMIN}
        self.assertGreater(len(secrets), 1)
        for secret in secrets:
            self.assertNotIn(secret, process.out + process.err)

    async def test_the_admin_api(self) -> None:
        """All that its page says, one after another."""
        await self.begin()
        said = await self.shell("\n".join(examples("admin", "shell")))
        said += (self.folder / "made").read_text()
        self.nothing_is_told(said)
        audit = [json.loads(line) for line in (self.folder / "audit.ndjson").read_text().splitlines()]
        self.assertIn("key.rotate", {each["action"] for each in audit})
        self.assertEqual(json.loads((self.folder / "openapi.json").read_text())["openapi"], "3.1.0")
        self.assertEqual((self.folder / "focus.csv").read_text().split(",")[0], "BilledCost")
        self.assertIn('"server.timeout: 120.0 → 60.0"', said)

    async def test_budgets(self) -> None:
        """What their page says to look, reset and raise."""
        await self.begin()
        await self.shell("llmedge key create app --budget 5/month")
        said = await self.shell("\n".join(examples("budgets", "shell")))
        self.assertEqual(json.loads(said[said.rindex('{"object":"budget"') :])["amount_usd"], "25")

    async def test_the_command(self) -> None:
        """All that its page says; a file that was applied is applied, whoever reads it."""
        await self.begin()
        page = (Path(ROOT) / "docs" / "command.rst").read_text()
        caption = re.search(r":caption: teams.toml\n\n((?:(?: {4}.*)?\n)+)", page)
        assert caption is not None
        (self.folder / "teams.toml").write_text(textwrap.dedent(caption[1]))
        commands, applying = examples("command", "shell")
        said = await self.shell(commands)
        self.assertIn("search-prod is deleted", said)
        dry, applied, again = [await self.shell(line) for line in applying.strip().splitlines()]
        self.assertIn("create team search", dry)
        self.assertNotIn("sk-le-", dry)
        self.assertIn("6 of 6 changed", applied)
        self.assertEqual(again, "0 of 6 changed\n")
        self.nothing_is_told(said + applied)
        await self.asks(re.findall(r"sk-le-[\w-]+", applied)[0])

    async def asks(self, secret: str) -> None:
        """A key that was made is one; what its call costs is the same wherever that is asked, OpenAI's SDK included."""

        def call() -> str:
            client = OpenAI(base_url=f"{self.gateway.url}/v1", api_key=secret, max_retries=0)
            raw = client.chat.completions.with_raw_response.create(
                model="gpt-4o", messages=[{"role": "user", "content": "hi"}], user="anna"
            )
            return raw.headers["x-request-id"]

        request = await deferToThread(call)
        told = await self.shell(f"llmedge call {request} --json")
        row = json.loads(told)
        self.assertEqual(
            (row["key"], row["end_user"], row["decision"]["attempts"][0]["kind"]), ("search-prod", "anna", "first")
        )
        spent = json.loads(await self.shell("llmedge spend --by key,model --json"))["total"]["cost_usd"]
        self.assertEqual(spent, row["cost_usd"])
        usage, costs = await deferToThread(self.as_openai)
        self.assertEqual(sum(each.num_model_requests for bucket in usage.data for each in bucket.results), 1)
        self.assertAlmostEqual(
            sum(float(each.amount.value) for bucket in costs.data for each in bucket.results), float(spent)
        )
        curl = f'curl -sS -H "authorization: Bearer {ADMIN}" "$LLMEDGE_URL/admin/v1/export?format=focus"'
        rows = csv.DictReader((await self.shell(curl)).splitlines())
        self.assertEqual(sum(Decimal(each["BilledCost"]) for each in rows), Decimal(spent))

    def as_openai(self) -> tuple[Any, Any]:
        client = OpenAI(base_url=f"{self.gateway.url}/v1", api_key="none", admin_api_key=ADMIN, max_retries=0)
        usage, start = client.admin.organization.usage, int(time.time()) - 86400
        return usage.completions(start_time=start, group_by=["model"]), usage.costs(start_time=start)

    async def test_a_reload(self) -> None:
        """By the API as by the signal: with what changed, or with what is wrong."""
        await self.begin()
        self.gateway.write(f'{PRICED}[store]\n{self.store()}\n[cors]\norigins = ["https://chat.example"]\n')
        curl = f'curl -sS -X POST -H "authorization: Bearer {ADMIN}" "$LLMEDGE_URL/admin/v1/reload"'
        self.assertEqual(json.loads(await self.shell(curl))["changes"], ["cors.origins: none → https://chat.example"])
        self.gateway.write("[servre]\n")
        refused = json.loads(await self.shell(curl))["error"]
        self.assertEqual(refused["code"], "CONFLICT")
        self.assertIn("servre", refused["message"])
        await until(lambda: "the old one stays" in self.gateway.process.out, "the line in the log")


class OnPostgresql(OnSqlite):
    def store(self) -> str:
        if missing := postgresql.missing():
            raise SkipTest(missing)
        if not hasattr(self, "url"):
            self.url = postgresql.server().database()
        spool = f'spool = "{self.folder}/spool"'
        return f'url = "{self.url}"\npepper = "a-pepper-of-the-tests-long-enough"\n[ledger]\n{spool}'
