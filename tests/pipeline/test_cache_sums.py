"""Whatever callers and vendors do, what calls take comes back once, and records, budgets and metrics say the same."""

from __future__ import annotations

import contextlib
import re
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.record import CACHE_LEVEL
from tests.cache.test_endings import chat, delta, frames
from tests.effort import examples
from tests.fakes import Edge, Wire, request
from tests.pipeline.test_cached import DONE, GOOD, USAGE
from tests.web.through import TOML, Asked

CACHE = """
[rate_limit]
enabled = false
[routing]
retries = 0
[prices."v/*"]
input = 1.0
output = 1.0
[[auth.keys]]
name = "a"
key = "key-a"
max_concurrency = 50
tpm = 100_000
budgets = [{ amount = 1.0, period = "total" }]
[cache]
enabled = true
"""
MORE = (
    *("", "finish = true", 'max_entry = "1KiB"', "coalesce = false", 'charge = "full"'),
    *("ttl = 10\nstale_while_revalidate = 100", "ttl = 10\nstale_if_error = 100"),
)
HEADERS: tuple[dict[str, str], ...] = (
    *[{}] * 6,
    {"x-llmedge-timeout": "5"},
    *({"cache-control": said} for said in ("no-cache", "no-store", "max-age=3", "only-if-cached")),
)
ASKED = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]}


class Walk:
    """One question, asked again and again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.stream = self.random.random() < 0.5
        self.more = self.random.choice(MORE)
        self.edge = Edge(CACHE + self.more + "\n" + TOML)
        self.alone: list[Any] = []
        self.edge.service.graph.pipeline.deps.observers.append(self.alone.append)
        self.wires: list[Wire] = []
        self.vendors: list[Asked] = []
        self.begun: set[Asked] = set()

    def take(self) -> None:
        for _ in range(self.random.randint(5, 40)):
            step: Any = self.random.choice(
                [self.ask, self.ask, self.leave, self.say, self.end, self.fail, self.cut, self.rest]
            )
            step()
            self.settle()
        for wire in self.wires:
            wire.leave()
        self.settle()
        for vendor in self.vendors:
            self.lose(vendor)
        self.edge.reactor.pump([100.0] * 10)

    def settle(self) -> None:
        self.edge.reactor.advance(0)
        while self.edge.reactor.tcpClients:
            self.vendors.append(Asked(self.edge))

    def ask(self) -> None:
        wire = self.edge.wire()
        body = ASKED | ({"stream": True} if self.stream else {})
        wire.send(request(body=body, headers={"x-api-key": "key-a"} | self.random.choice(HEADERS)))
        self.wires.append(wire)

    def leave(self) -> None:
        if self.wires:
            self.wires.pop(self.random.randrange(len(self.wires))).leave()

    def rest(self) -> None:
        self.edge.reactor.advance(self.random.choice((1, 6, 12, 60)))

    def vendor(self) -> Asked | None:
        """One that has to answer."""
        asked = [each for each in self.vendors if each.transport.value() and not each.transport.gone]
        return self.random.choice(asked) if asked else None

    def say(self) -> None:
        if self.stream and (vendor := self.vendor()) is not None:
            if vendor not in self.begun:
                vendor.chunked("text/event-stream")
                self.begun.add(vendor)
            vendor.chunk(frames(delta(content="y" * self.random.choice((10, 900)))))

    def end(self) -> None:
        if (vendor := self.vendor()) is None:
            return
        if not self.stream:
            others = (chat("length", content="a") | USAGE, chat("stop", content="no usage"))
            vendor.answer(200, self.random.choice((GOOD, GOOD, *others)))
            return
        self.say() if vendor not in self.begun else None
        if vendor in self.begun:
            vendor.transport.clear()
            self.begun.discard(vendor)
            vendor.chunk(frames(delta("stop") | (USAGE if self.random.random() < 0.8 else {})) + DONE)
            vendor.say(b"0\r\n\r\n")

    def fail(self) -> None:
        if (vendor := self.vendor()) is not None and vendor not in self.begun:
            vendor.answer(self.random.choice((400, 500)), {"error": {"message": "no"}})

    def cut(self) -> None:
        if (vendor := self.vendor()) is not None:
            self.lose(vendor)

    def lose(self, vendor: Asked) -> None:
        self.vendors = [each for each in self.vendors if each is not vendor]
        with contextlib.suppress(RuntimeError):  # the transport in memory minds to be closed twice
            vendor.transport.loseConnection()


class Sums(SynchronousTestCase):
    def test_whatever_happens(self) -> None:
        for seed in range(examples(60)):
            walk = Walk(seed)
            walk.take()
            self.check(walk, f"seed {seed}")

    def check(self, walk: Walk, of: str) -> None:
        edge, records = walk.edge, [*walk.edge.records, *walk.alone]
        process: Any = edge.service._process
        cache, allowances = process._cache, process.allowances
        taken = [places for places in allowances._places.values() if places.calls]
        self.assertEqual((cache.flights, taken), ({}, []), of)
        self.assertEqual(len({each.request_id for each in records}), len(records), of)
        cost = sum(each.accounting.cost or 0 for each in records)
        for fund in allowances.funds.values():
            self.assertEqual((fund.held, fund.spent), (0, cost), of)
        shown = edge.ask("GET", "/metrics").body.decode()

        def metric(name: str, labels: str = "[^}]*") -> float:
            return sum(map(float, re.findall(rf"(?m)^{name}(?:\{{{labels}\}})? (.*)$", shown)))

        self.assertEqual(round(metric("llm_caller_cost_usd_total") * 1e12), cost, of)
        attempts = [attempt for each in records for attempt in each.routing.attempts]
        paid = sum(each.cost or 0 for each in attempts)
        self.assertEqual(round(metric("llm_cost_usd_total") * 1e12), paid, of)
        if "charge" not in walk.more:
            self.assertEqual(paid, cost, of)
        tokens = sum(each.usage.input + each.usage.output for each in attempts if each.usage is not None)
        self.assertEqual(metric("llm_tokens_total", '[^}]*kind="(?:in|out)put"[^}]*'), tokens, of)
        saved = sum(each.accounting.saved or 0 for each in records)
        self.assertEqual((cache.saved, round(metric("llm_cache_saved_usd_total") * 1e12)), (saved, saved), of)
        hits = sum(CACHE_LEVEL in each.facts for each in records)
        self.assertEqual(metric("llm_cache_hit_total"), hits, of)
