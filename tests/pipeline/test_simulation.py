"""The real route over vendors that fail, slow down, hang, flap and recover on a script: 400 seconds, one seed."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections import Counter
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing as Settings
from llmedge.errors import ConnectFailed, EdgeError, UpstreamCut, VendorRateLimited
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline import attempt as attempts
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.route import Route
from llmedge.pipeline.strategies import Strategies
from llmedge.record import Attempt, Record
from llmedge.state.breaker import State
from llmedge.streams import AwaitedStream
from tests.effort import so_many
from tests.state.test_simulation import HeapClock

CALLS = so_many(25_000, soak=100_000)
RATE = CALLS / 400.0
"""Calls a second: 400 s of traffic."""
SECONDS = 8.0
"""The deadline of a call."""
USAGE = Usage(10, 10)
ANSWER = Answer(b"{}", USAGE)
WORD, DONE = Event(EventKind.CONTENT, b"word"), Event(EventKind.DONE, b"done")
DOWN = ConnectFailed("is down", cause="refused")
MESSAGES = {"messages": b"[]"}


class Vendor:
    """:param script: ``(from, until, what happens)``; between the lines it is well."""

    def __init__(self, name: str, clock: HeapClock, random: Random, *script: tuple[float, float, str]) -> None:
        self.name = name
        self.clock = clock
        self.random = random.random
        self.script = script
        self.under_way = 0
        self.asked: list[float] = []

    def mood(self, now: float) -> str:
        for begin, end, what in self.script:
            if begin <= now < end:
                return what if what != "flap" or int(now / 7) % 2 else "well"
        return "well"

    async def complete(self, call: Call, attempt: Attempt) -> Any:
        now = self.clock.seconds()
        self.asked.append(now)
        mood = self.mood(now)
        if mood in ("fail", "flap"):
            raise ConnectFailed("is down", cause="refused")
        if mood == "small" and self.under_way >= 10:
            raise VendorRateLimited("is limiting", retry_after=0.2 if self.random() < 0.3 else None)
        self.under_way += 1
        try:
            if mood == "hang":
                await self.clock.sleep(1e5)
            await self.clock.sleep((0.02 + 0.04 * self.random()) * (30.0 if mood == "slow" else 1.0))
            if not call.stream:
                return ANSWER
            return Stream(self.clock, mood == "cut", self.random())
        finally:
            self.under_way -= 1


class Stream(AwaitedStream):
    """A word, a pause, the end; or a break in its place."""

    usage = USAGE

    def __init__(self, clock: HeapClock, cut: bool, seconds: float) -> None:
        self.clock = clock
        self.cut = cut
        self.seconds = seconds
        self.steps = 0

    async def next_batch(self) -> list[Event]:
        self.steps += 1
        if self.steps == 1:
            return [WORD]
        await self.clock.sleep(self.seconds)
        if self.cut:
            raise UpstreamCut("it broke")
        return [DONE]


class World:
    """Three models over four vendors: by latency, by weight, and one vendor alone."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.clock = clock = HeapClock()
        self.vendors = {
            vendor.name: vendor
            for vendor in (
                Vendor("steady", clock, random),
                Vendor("down", clock, random, (60, 100, "fail"), (150, 152, "fail"), (200, 300, "hang")),
                Vendor("slow", clock, random, (30, 90, "slow"), (170, 230, "cut")),
                Vendor("flapping", clock, random, (120, 190, "flap"), (250, 320, "small")),
            )
        }
        targets = tuple(TargetEntry(f"{name}/x") for name in self.vendors)
        shares = (TargetEntry("steady/w", weight=1), TargetEntry("down/w", weight=2), TargetEntry("slow/w", weight=5))
        models = {
            "latency": Model(targets, strategy="latency", stream_recovery="off"),
            "weighted": Model(shares, strategy="weighted", stream_recovery="off"),
            "alone": Model((TargetEntry("down/x"),), stream_recovery="off"),
        }
        self.settings = Settings(retry_base=0.05, retry_cap=1.0)
        self.changes: list[tuple[float, str, State]] = []
        self.deployments = Deployments(clock, random, self.changed)
        self.deployments.configure(self.settings, models)
        self.index = ModelIndex(models, dict.fromkeys(self.vendors, Provider()))
        strategies = Strategies(self.deployments, None, random)
        deps = RouteDeps(self.index, self.vendors, self.deployments, strategies, self.settings, clock, random)
        self.route = Route(deps)
        self.records: list[Record] = []
        self.outcomes: Counter[str] = Counter()
        self.arrived: list[float] = []

    def changed(self, name: str, before: State, after: State) -> None:
        self.changes.append((self.clock.seconds(), name, after))

    def run(self) -> None:
        self.clock.callLater(0.0, self.arrive, 0)
        self.clock.run()

    def arrive(self, count: int) -> None:
        now = self.clock.seconds()
        self.arrived.append(now)
        record = Record("id", "POST", "/", "peer", now)
        self.records.append(record)
        name = ("latency", "weighted", "latency", "weighted", "alone")[count % 5]
        deadline = Deadline(self.clock, SECONDS)
        call = Call(
            Operation.CHAT,
            "openai_chat",
            name,
            MESSAGES,
            count % 3 == 0,
            False,
            1,
            Caller(f"c{count % 7}"),
            deadline,
            record,
            match=self.index.find(name),
        )
        work = Deferred.fromCoroutine(self.serve(call))
        late = self.clock.callLater(SECONDS, work.cancel)  # as EnforceDeadline does, and for a whole stream here
        work.addBoth(self.outcome, record, late)
        if count % 37 == 0:  # this client will not wait
            self.clock.callLater(self.random.random(), work.cancel)
        if count + 1 < CALLS:
            self.clock.callLater(self.random.expovariate(RATE), self.arrive, count + 1)

    async def serve(self, call: Call) -> str:
        reply = await self.route(call)
        if isinstance(reply, Answer):
            return "ok"
        try:
            while (await reply.read())[-1] is not DONE:
                pass
            return "ok"
        finally:
            reply.abort()

    def outcome(self, result: Any, record: Record, late: Any) -> None:
        late.cancel()
        record.ended = self.clock.seconds()
        record.outcome = result if isinstance(result, str) else result.type.__name__
        self.outcomes[record.outcome] += 1
        if not isinstance(result, str):
            result.trap(EdgeError, CancelledError)

    def state(self, name: str, at: float) -> State:
        states = [state for when, changed, state in self.changes if changed == name and when <= at]
        return states[-1] if states else State.CLOSED


class Simulation(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(attempts.log, "warn", lambda *args, **kw: None)
        gc.disable()  # a third of the time, for cycles that are not there
        self.addCleanup(gc.enable)

    def test_four_hundred_seconds(self) -> None:
        """No call without an outcome; slots, gauges and timers back to zero; retries and hedges within their budgets;
        breakers closed again within 10 s of a recovery; load shared as the strategies promise."""
        world = World(7)
        world.run()
        self.every_call_ended(world)
        self.nothing_is_left(world)
        self.budgets_hold(world)
        self.breakers_recover(world)
        self.load_is_shared(world)

    def every_call_ended(self, world: World) -> None:
        self.assertEqual(sum(world.outcomes.values()), CALLS)
        self.assertGreater(world.outcomes["ok"], 0.88 * CALLS, world.outcomes)
        for record in world.records:
            assert record.ended is not None
            self.assertLessEqual(record.ended - record.received, SECONDS + 1e-6)
            for attempt in record.routing.attempts:
                self.assertTrue(attempt.outcome)
            if record.outcome == "ok":
                assert record.routing.answered_by is not None
                self.assertEqual(record.routing.answered_by.outcome, "ok")
        # Those that have somebody else to ask lose nothing to an outage: only clients that left, cuts, and who waits
        # for a target that has only just begun to hang.
        elsewhere = [record for number, record in enumerate(world.records) if number % 5 != 4]
        failed = Counter(record.outcome for record in elsewhere)
        self.assertGreater(failed["ok"], 0.94 * len(elsewhere), failed)

    def nothing_is_left(self, world: World) -> None:
        for deployment in world.deployments.all():
            self.assertEqual((deployment.queue.in_flight, deployment.queue.waiting), (0, 0), deployment.name)
            self.assertIsNone(deployment.breaker._probe)
        self.assertEqual({vendor.under_way for vendor in world.vendors.values()}, {0})
        self.assertEqual({record.routing.waiting for record in world.records}, {0})

    def budgets_hold(self, world: World) -> None:
        """Retries in any nine seconds (ten are sure to be in one span of the budget, with what paused before)."""
        retries = sorted(a.started for record in world.records for a in record.routing.attempts if a.kind == "retry")
        self.assertTrue(retries)
        longest = world.settings.retry_after_max
        for index, at in enumerate(retries):
            within = index + 1 - bisect_right(retries, at - 9.0 + longest)
            calls = bisect_right(world.arrived, at) - bisect_right(world.arrived, at - 11.0 - longest)
            self.assertLessEqual(within, world.settings.retry_ratio * calls + 10.0)
        # Beside a target whose breaker has opened a hedge is no extra call, so these may be some more.
        hedges = [a for record in world.records for a in record.routing.attempts if a.kind == "hedge"]
        self.assertTrue(hedges)
        self.assertLess(len(hedges), 2 * world.settings.hedge_ratio * CALLS)

    def breakers_recover(self, world: World) -> None:
        opened = {name for _, name, state in world.changes if state is State.OPEN}
        self.assertTrue({"down/x", "down/w", "flapping/x"} <= opened, opened)
        for name, recovered in (("down/x", 100), ("down/x", 152), ("down/x", 300), ("down/w", 100), ("down/w", 300)):
            self.assertIs(world.state(name, recovered + 10.0), State.CLOSED, (name, recovered))
        self.assertIs(world.state("flapping/x", 200.0), State.CLOSED)
        down = world.vendors["down"].asked
        during = bisect_right(down, 100.0) - bisect_right(down, 61.0)
        self.assertLess(during, 150, "a vendor that is down is left alone")

    def load_is_shared(self, world: World) -> None:
        """While all are well: by weight (chi-squared, p = 0.001), and by latency away from who is slow."""
        shares = {"steady/w": 1 / 8, "down/w": 2 / 8, "slow/w": 5 / 8}
        firsts = Counter(
            str(record.routing.attempts[0].target)
            for number, record in enumerate(world.records)
            if number % 5 in (1, 3) and record.received < 55 and record.routing.attempts
        )
        total = sum(firsts.values())
        self.assertGreater(total, 0.04 * CALLS)
        self.assertLess(
            sum((firsts[name] - total * share) ** 2 / (total * share) for name, share in shares.items()), 13.8
        )
        slow = Counter(
            record.routing.attempts[0].target.provider
            for number, record in enumerate(world.records)
            if number % 5 in (0, 2) and 35 < record.received < 55 and record.routing.attempts
        )
        self.assertLess(slow["slow"], 0.05 * sum(slow.values()), slow)
