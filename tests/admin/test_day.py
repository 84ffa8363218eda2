"""A day of traffic with every kind of bad ending: whoever is asked what it cost says the same, to the last digit."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred

from llmedge.money import USD
from tests.admin.administration import Administration
from tests.effort import so_many
from tests.fakes import CHAT, Wire, request

CALLS = so_many(250, quick=80, soak=5000)
FAULTS = ("none", "status", "cut", "stall", "malformed")
TOML = "[server]\ntimeout = 5\nstream_timeout = 20\n[upstream]\nidle_timeout = 3\n"
TOML += "[routing]\nretries = 1\nretry_base = 0.1\nbreaker_failures = 1000\nbreaker_rate = 2\nadaptive = false\n"
for fault in FAULTS:
    TOML += f'[providers.{fault}]\ndialect = "mock"\nlatency = 1\nchunk_interval = 0.3\nfault = "{fault}"\n'
    TOML += f'[prices."{fault}/*"]\ninput = 0.0733331\noutput = 10.1234567\ncharacters = 3.7\naudio_minute = 0.006\n'
    for name, more in (("hedged", "hedge = {after = 0.5}\n"), ("shadowed", 'shadow = "none/z"\n'), ("plain", "")):
        targets = f'targets = [{{target = "{fault}/x", weight = 3}}, "none/y"]\n'
        TOML += f"[models.{fault}-{name}]\n{targets}{more}[models.{fault}-{name}.capabilities]\nmax_output = 100\n"
MODELS = [f"{fault}-{name}" for fault in FAULTS for name in ("hedged", "shadowed", "plain")]
MESSAGES = {"messages": CHAT["messages"]}
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", MESSAGES),
    ("/v1/chat/completions", MESSAGES | {"stream": True}),
    ("/v1/chat/completions", MESSAGES | {"stream": True, "max_tokens": 20}),
    ("/v1/completions", {"prompt": "hello", "max_tokens": 20}),
    ("/v1/messages", MESSAGES | {"max_tokens": 20, "stream": True}),
    ("/v1/messages/count_tokens", MESSAGES),
    ("/v1/responses", {"input": "hello there", "stream": True}),
    ("/v1/embeddings", {"input": "hello"}),
    ("/v1/audio/speech", {"input": "hello", "voice": "x"}),
    ("/v1/chat/completions", {"messages": "wrong"}),
)


class Day(Administration):
    toml = TOML

    def live(self) -> dict[str, str]:
        """The keys' secrets, by their ids, after a day."""
        dice = random.Random(14)
        for team in ("red", "blue"):
            self.done("POST", "/admin/v1/teams", {"name": team, "budgets": [{"amount": 1, "period": "total"}]})
        keys = [
            self.key("one", team="red", budgets=[{"amount": 0.001, "period": "day"}, {"amount": 1, "period": "total"}]),
            self.key("two", team="red", max_concurrency=3, budgets=[{"amount": 1, "period": "total"}]),
            self.key("three", team="blue", tpm=3000, budgets=[{"amount": 1, "period": "total"}]),
        ]
        wires: list[Wire] = []
        for _ in range(CALLS):
            path, document = dice.choice(ASKED)
            key = dice.choice(keys)["key"]
            wire = self.edge.wire()
            wire.send(request("POST", path, document | {"model": dice.choice(MODELS)}, {"x-api-key": key}))
            wires.append(wire)
            if dice.random() < 0.2:
                self.edge.reactor.pump([0.3] * dice.randrange(4))
                wires.pop(dice.randrange(len(wires))).leave()
            self.edge.reactor.pump([dice.choice((0.1, 1.0, 86_400 / CALLS / 5))] * 5)
        self.edge.reactor.pump([1.0] * 60)
        self.ship()
        return {each["id"]: each["name"] for each in keys}

    def columns(self, sql: str) -> list[tuple[Any, ...]]:
        return self.successResultOf(self.store.database.run(lambda connection: connection.query(sql)))

    def rows(self) -> list[tuple[str, str, int]]:
        """Key's id, its name and the cost of each call."""

        def look(connection: Any) -> list[tuple[str, str, int]]:
            tables = connection.months(0, 2 * 10**15)
            return [row for each in tables for row in connection.query(f"SELECT key_id, key, cost FROM {each}")]

        return self.successResultOf(self.store.database.run(look))

    def test_one_truth(self) -> None:
        names = self.live()
        rows = self.rows()
        of_key, of_caller = Counter[str](), Counter[str]()
        for id, name, cost in rows:
            of_key[id] += cost or 0
            of_caller[name] += cost or 0
        total = sum(of_key.values())
        outcomes = {record.outcome for record in self.edge.records}
        self.assertGreaterEqual(outcomes, {"ok", "error", "timeout"})
        self.assertGreaterEqual(len(outcomes), 4)
        self.assertEqual({id for id, cost in of_key.items() if cost}, {*names, "shadow"})

        for table in ("rollup_day", "rollup_hour_key", "rollup_hour_model"):
            self.assertEqual(self.columns(f"SELECT SUM(cost), SUM(calls) FROM {table}"), [(total, len(rows))], table)
        for table in ("rollup_day", "rollup_hour_key"):
            self.assertEqual(dict(self.columns(f"SELECT key_id, SUM(cost) FROM {table} GROUP BY 1")), dict(of_key))

        span = "from=2023-11-14T00:00:00Z&to=2023-11-17T00:00:00Z"
        spend = self.done("GET", f"/admin/v1/spend?{span}&by=key")["data"]
        self.assertEqual({each["key"]: picos(each["cost_usd"]) for each in spend}, dict(of_key))

        budgets = [each for each in self.done("GET", "/admin/v1/budgets")["data"] if each["period"] == "total"]
        of_keys = {each["scope_id"]: picos(each["spent_usd"]) for each in budgets if each["scope"] == "key"}
        self.assertEqual(of_keys, {id: of_key[id] for id in names})
        of_teams = [picos(each["spent_usd"]) for each in budgets if each["scope"] == "team"]
        self.assertEqual(sum(of_teams), sum(of_keys.values()))
        self.successResultOf(Deferred.fromCoroutine(self.look_again()))
        again = [each for each in self.done("GET", "/admin/v1/budgets")["data"] if each["period"] == "total"]
        self.assertEqual([each["spent_usd"] for each in again], [each["spent_usd"] for each in budgets])

        for metric in ("llm_cost_usd_total", "llm_caller_cost_usd_total"):
            shown = Counter[str]()
            text = self.edge.ask("GET", "/metrics").body.decode()
            for caller, value in re.findall(rf'^{metric}{{.*caller="([^"]*)"}} (\S+)$', text, re.MULTILINE):
                shown[caller] += picos(value)
            self.assertEqual(+shown, +of_caller)

        export = self.ask("GET", f"/admin/v1/export?{span}&format=csv").body.decode()
        lines = list(csv.DictReader(io.StringIO(export)))
        self.assertEqual(sum(picos(each["cost_usd"] or "0") for each in lines), total)
        export = self.ask("GET", f"/admin/v1/export?{span}&format=ndjson").body.decode()
        lines = [json.loads(line) for line in export.splitlines()]
        self.assertEqual(sum(picos(each["cost_usd"] or "0") for each in lines), total)

    async def look_again(self) -> None:
        """As all processes do now and then."""
        await self.store.know_again([*self.edge.service._process.allowances.funds.values()], 1.0)


def picos(usd: str) -> int:
    amount = Decimal(usd) * USD
    assert amount == int(amount), usd
    return int(amount)
