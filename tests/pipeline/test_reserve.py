"""Nobody spends more than there is, whatever is under way; what was held comes back on every way out."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from llmedge.money import USD
from llmedge.pipeline.reserve import Reserve
from tests.fakes import CHAT, Edge, Wire, request

TOML = """
[rate_limit]
enabled = false
[providers.mock]
dialect = "mock"
{provider}
[models.m]
targets = ["mock/x"]
{model}
[models.m.capabilities]
max_output = 1000
[prices."mock/x"]
input = 1.0
output = 10.0
[[auth.keys]]
name = "a"
key = "key-a"
{key}
"""
KEY = {"x-api-key": "key-a"}


class Limited(SynchronousTestCase):
    def edge(self, key: str = "", provider: str = "", model: str = "") -> Edge:
        edge = Edge(TOML.format(key=key, provider=provider, model=model))
        self.allowances = edge.service._process.allowances
        return edge

    def ask(self, edge: Edge, **fields: Any) -> Any:
        return edge.ask(body=CHAT | {"model": "m"} | fields, headers=KEY)

    def begin(self, edge: Edge, **fields: Any) -> Wire:
        wire = edge.wire()
        wire.send(request("POST", "/v1/chat/completions", CHAT | {"model": "m"} | fields, KEY))
        return wire

    def spent(self, edge: Edge) -> int:
        return sum(record.accounting.cost or 0 for record in edge.records)

    def nothing_held(self) -> None:
        """All that was taken has come back."""
        self.assertEqual([fund.held for fund in self.allowances.funds.values() if fund.held], [])
        self.assertEqual([each.calls for each in self.allowances._places.values() if each.calls], [])


class Places(Limited):
    def test_as_many_as_it_may(self) -> None:
        """And again, once one is free."""
        edge = self.edge("max_concurrency = 2", "latency = 1.0")
        running = [self.begin(edge) for _ in range(2)]
        edge.reactor.advance(0.1)
        refused = self.ask(edge)
        self.assertEqual((refused.status, refused.headers["retry-after"]), (429, "1"))
        self.assertIn("The key 'a' has 2 calls under way", json.loads(refused.body)["error"]["message"])
        running[0].leave()
        edge.reactor.advance(0.0)
        third = self.begin(edge)
        edge.reactor.pump([0.5] * 5)
        self.assertEqual([wire.response().status for wire in (running[1], third)], [200, 200])
        self.nothing_held()


class Tokens(Limited):
    def test_as_many_a_minute(self) -> None:
        """What was reserved and not used is there for the next; headers tell what is left."""
        edge = self.edge("tpm = 2000")
        first = self.ask(edge, max_tokens=1900)
        self.assertEqual((first.status, first.headers["x-ratelimit-limit-tokens"]), (200, "2000"))
        self.assertLess(int(first.headers["x-ratelimit-remaining-tokens"]), 100)
        self.assertEqual(self.ask(edge, max_tokens=1900).status, 200)
        edge = self.edge("tpm = 2000", "latency = 1.0")
        running = self.begin(edge, max_tokens=1900)
        refused = self.ask(edge, max_tokens=1900)
        self.assertIn("The key 'a' is over its 2000 tokens a minute.", refused.body.decode())
        running.leave()
        self.assertEqual(self.begin(edge, max_tokens=1900).received(), b"")


class Money(Limited):
    def test_to_the_end_and_no_further(self) -> None:
        """One after the other: nearly all of it is spent, the refusal says whose and of what, and SDKs do not retry."""
        edge = self.edge("budgets = [{amount = 0.01, period = 'day'}]")
        answers = [self.ask(edge, max_tokens=100) for _ in range(130)]
        statuses = [answer.status for answer in answers]
        self.assertEqual(statuses, sorted(statuses))
        self.assertLessEqual(self.spent(edge), USD // 100)
        self.assertGreaterEqual(self.spent(edge), 0.98 * USD // 100)
        refused = answers[-1]
        error = json.loads(refused.body)["error"]
        self.assertEqual((refused.status, error["code"], error["type"]), (429, *("insufficient_quota",) * 2))
        self.assertIn("The budget of the key 'a' is spent: 0.01 USD a day.", error["message"])
        self.assertEqual((refused.headers["x-should-retry"], "retry-after" in refused.headers), ("false", False))
        self.nothing_held()

    def test_a_new_period(self) -> None:
        edge = self.edge("budgets = [{amount = 0.0002, period = 'day'}]")
        while self.ask(edge, max_tokens=10).status == 200:
            pass
        edge.reactor.advance(86400)
        self.assertEqual(self.ask(edge, max_tokens=10).status, 200)

    def test_all_at_once(self) -> None:
        """What is held for some comes back, and others have it."""
        edge = self.edge("budgets = [{amount = 0.01, period = 'total'}]", "latency = 0.2")
        wires = [self.begin(edge, max_tokens=100, stream=number % 2 == 0) for number in range(200)]
        edge.reactor.pump([0.25] * 80)
        statuses = [wire.response().status for wire in wires]
        self.assertEqual({*statuses}, {200, 429})
        self.assertLessEqual(self.spent(edge), USD // 100)
        self.assertGreaterEqual(self.spent(edge), 0.98 * USD // 100)
        self.nothing_held()

    def test_much_comes_back_for_many(self) -> None:
        """All who wait have it, each in its turn."""
        edge = self.edge("budgets = [{amount = 0.5, period = 'total'}]", "latency = 1.0")
        self.begin(edge, max_tokens=1)
        edge.reactor.pump([0.25] * 8)
        (fund,) = edge.service._process.allowances.funds.values()
        fund.held = fund.amount
        wires = [self.begin(edge, max_tokens=10) for _ in range(300)]
        self.assertEqual(len(fund.waiting), 300)
        fund.held = 0
        fund.wake()
        edge.reactor.pump([0.25] * 8)
        self.assertEqual({wire.response().status for wire in wires}, {200})
        self.nothing_held()

    def test_is_written_down_before(self) -> None:
        """With a strict ledger: each call, also one that no budget is for."""
        reserved: list[int] = []

        class Strict:
            strict, blocked = True, False

            def intend(self, record: Any, amount: int) -> Deferred[None]:
                reserved.append(amount)
                return succeed(None)

        begin = Reserve.__init__
        self.patch(Reserve, "__init__", lambda stage, deps: begin(stage, attrs.evolve(deps, ledger=Strict())))
        budget = "budgets = [{amount = 1, period = 'day'%s}]"
        for key in ("tpm = 100000", budget % ", models = ['other']", budget % ""):
            edge = self.edge(key)
            wire = self.begin(edge, max_tokens=10)
            edge.reactor.pump([0.25] * 8)
            self.assertEqual(wire.response().status, 200)
        self.assertEqual(reserved[:2], [0, 0])
        self.assertGreater(reserved[2], 0)

    def test_is_told_apart_from_what_is_only_held(self) -> None:
        """Whoever waits for it in vain is to come back."""
        edge = self.edge("budgets = [{amount = 0.0015, period = 'total'}]", "latency = 20")
        self.begin(edge, max_tokens=100)
        waiting = self.begin(edge, max_tokens=100)
        edge.reactor.pump([1.0] * 8)
        refused = waiting.response()
        error = json.loads(refused.body)["error"]
        self.assertEqual((refused.status, error["code"]), (429, "BUDGET_HELD"))
        self.assertEqual((refused.headers["retry-after"], "x-should-retry" in refused.headers), ("2", False))

    def test_in_the_order_in_which_they_came(self) -> None:
        edge = self.edge("budgets = [{amount = 0.0015, period = 'total'}]", "latency = 1")
        wires = [self.begin(edge, max_tokens=100) for _ in range(4)]
        for count in range(1, 5):
            edge.reactor.pump([0.25] * 4)
            done = [bool(wire.transport.value()) for wire in wires]
            self.assertEqual(done, [number < count for number in range(4)])

    def test_the_answer_is_limited_near_the_end(self) -> None:
        """Not under what such answers usually have, and told."""
        edge = self.edge("budgets = [{amount = 0.0105, period = 'total'}]")
        limited = [self.ask(edge) for _ in range(112)]
        shown = [each.headers.get("x-llmedge-output-limited") for each in limited]
        told = [int(each) for each in shown if each is not None]
        self.assertGreater(len(told), 3)
        self.assertEqual(told, sorted(told, reverse=True))
        self.assertGreaterEqual(min(told), 7)
        self.assertLessEqual(self.spent(edge), 0.0105 * USD)

    def test_a_client_that_leaves_gives_it_back(self) -> None:
        edge = self.edge("budgets = [{amount = 0.0015, period = 'total'}]", "latency = 5")
        for _ in range(3):
            wire = self.begin(edge, max_tokens=100)
            edge.reactor.advance(0.1)
            wire.leave()
            edge.reactor.advance(0.1)
        self.nothing_held()

    def test_each_attempt_is_held_for(self) -> None:
        """A retry that could not be paid for is not made."""
        edge = self.edge(
            "budgets = [{amount = 0.0018, period = 'total'}]",
            "fault = 'status'",
            "[routing]\nretries = 5\nretry_base = 0.01",
        )
        self.begin(edge, max_tokens=100)
        edge.reactor.pump([0.5] * 10)
        (record,) = edge.records
        self.assertEqual([each.kind for each in record.routing.attempts if each.cause != "busy"], ["first"])
        self.nothing_held()

    def test_others_are_only_warned(self) -> None:
        edge = self.edge("budgets = [{amount = 0.0001, period = 'total', on_breach = 'warn'}]")
        answers = [self.ask(edge) for _ in range(4)]
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertNotIn("x-llmedge-budget-warning", answers[0].headers)
        self.assertEqual(
            answers[-1].headers["x-llmedge-budget-warning"], "the key 'a' has spent 279 % of 0.0001 USD in all"
        )

    def test_an_unknown_price_is_refused(self) -> None:
        """Unless that is allowed."""
        for unpriced, status in (("refuse", 400), ("allow", 200)):
            edge = self.edge(f"budgets = [{{amount = 1, unpriced = '{unpriced}'}}]\n[prices.'mock/y']\ncharacters = 1")
            answer = edge.ask(body=CHAT | {"model": "mock/y"}, headers=KEY)
            self.assertEqual(answer.status, status)

    def test_of_one_model_by_its_other_name(self) -> None:
        """A budget for a model is one for it however a client names it."""
        edge = Edge(
            '[providers.mock]\ndialect = "mock"\nmodels = ["gpt-5"]\n[prices."mock/*"]\ninput = 1\noutput = 10\n'
            '[[auth.keys]]\nname = "a"\nkey = "key-a"\nbudgets = [{amount = 0, models = ["gpt-5*"]}]\n'
        )
        for model in ("gpt-5", "mock/gpt-5"):
            self.assertEqual(edge.ask(body=CHAT | {"model": model}, headers={"x-api-key": "key-a"}).status, 429)

    def test_of_other_models_is_another_matter(self) -> None:
        edge = self.edge("budgets = [{amount = 0, models = ['gpt-*']}]")
        self.assertEqual(self.ask(edge).status, 200)
