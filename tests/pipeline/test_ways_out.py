"""Whatever becomes of calls, all that was taken for them comes back: places, tokens of the minute, money."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.effort import examples
from tests.fakes import CHAT, Edge, Wire, request

FAULTS = ("none", "status", "cut", "stall", "malformed")
TOML = """
[rate_limit]
enabled = false
[server]
timeout = 5
[upstream]
idle_timeout = 3
[routing]
retries = 1
retry_base = 0.1
queue_wait = 1
breaker_failures = 1000
breaker_rate = 2
adaptive = false
[prices."*/*"]
input = 1
output = 10
characters = 10
"""
for fault in FAULTS:
    TOML += f'[providers.{fault}]\ndialect = "mock"\nlatency = 1\nchunk_interval = 0.3\nfault = "{fault}"\n'
    TOML += f'[models.{fault}]\ntargets = ["{fault}/x"]\n[models.{fault}.capabilities]\nmax_output = 100\n'
    TOML += f'[models.{fault}-first]\ntargets = [{{target = "{fault}/x", weight = 3}}, "none/y"]\nshadow = "none/x"\n'
    TOML += f"hedge = {{after = 0.5}}\n[models.{fault}-first.capabilities]\nmax_output = 100\n"
TOML += """
[[auth.keys]]
name = "a"
key = "key-a"
tpm = 5000
max_concurrency = 4
budgets = [{amount = 0.02, period = "day"}, {amount = 1000, period = "total", on_breach = "warn"}]
"""
MODELS = [*FAULTS, *(f"{fault}-first" for fault in FAULTS)]
PATHS = st.sampled_from(
    [
        ("/v1/chat/completions", {"messages": CHAT["messages"], "max_tokens": 20}),
        ("/v1/chat/completions", {"messages": CHAT["messages"], "max_tokens": 20, "stream": True}),
        ("/v1/chat/completions", {"messages": CHAT["messages"], "stream": True}),
        ("/v1/messages", {"messages": CHAT["messages"], "max_tokens": 20, "stream": True}),
        ("/v1/messages/count_tokens", {"messages": CHAT["messages"]}),
        ("/v1/embeddings", {"input": "hello"}),
        ("/v1/audio/speech", {"input": "hello", "voice": "x"}),
        ("/v1/chat/completions", {"messages": "wrong"}),
    ]
)


class WaysOut(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.edge = Edge(TOML)
        self.allowances = self.edge.service._process.allowances
        self.wires: list[Wire] = []

    @rule(path=PATHS, model=st.sampled_from(MODELS))
    def begin(self, path: tuple[str, Any], model: str) -> None:
        wire = self.edge.wire()
        wire.send(request("POST", path[0], path[1] | {"model": model}, {"x-api-key": "key-a"}))
        self.wires.append(wire)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.5, 6.0]))
    def go_on(self, seconds: float) -> None:
        self.edge.reactor.pump([seconds / 5] * 5)

    @precondition(lambda self: self.wires)
    @rule(which=st.integers(0, 100))
    def leave(self, which: int) -> None:
        self.wires.pop(which % len(self.wires)).leave()
        self.edge.reactor.advance(0)

    @rule()
    def a_new_day(self) -> None:
        self.edge.reactor.advance(86_400)

    @invariant()
    def never_more_than_there_is(self) -> None:
        for fund in self.allowances.funds.values():
            assert min(fund.held, fund.spent) >= 0
            assert not fund.blocks or fund.spent + fund.held <= fund.amount, (fund.spent, fund.held)
        assert 0 <= self.allowances.under_way("key:file:a") <= 4

    def teardown(self) -> None:
        self.edge.reactor.pump([0.5] * 60)
        assert not any(each.calls for each in self.allowances._places.values())
        for fund in self.allowances.funds.values():
            assert (fund.held, len(fund.waiting)) == (0, 0)
        costs = sum(each.accounting.cost or 0 for each in self.edge.records if each.status != 401)
        total = self.allowances.funds.get("key:file:a/total-warn")
        assert total is None or total.spent == costs
        self.edge.reactor.pump([30.0] * 3)
        for bucket in self.allowances._buckets.values():
            assert bucket.level().reset == 0


class AllOfThem(SynchronousTestCase):
    def test_all_comes_back(self) -> None:
        effort = settings(max_examples=examples(25), stateful_step_count=30, deadline=None)
        run_state_machine_as_test(WaysOut, settings=effort)
