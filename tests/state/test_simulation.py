"""The blocks together, over vendors that misbehave on a script: a simple router, 400 seconds of calls, one seed."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import TargetBusy
from llmedge.state.breaker import CircuitBreaker, State
from llmedge.state.budget import Budget, backoff
from llmedge.state.concurrency import LearnedLimit, Outcome
from llmedge.state.fair_queue import FairQueue
from llmedge.state.latency import PeakEwma, Quantile
from llmedge.state.memory import MemoryStore
from tests.effort import so_many

CALLS = so_many(25_000, soak=100_000)
RATE = CALLS / 400.0  # a second
TIMEOUT = 2.0  # seconds to the first token


class Timer:
    """An IDelayedCall, as much of it as is used."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function: Callable[..., Any] | None = function
        self.arguments = arguments

    def active(self) -> bool:
        return self.function is not None

    def cancel(self) -> None:
        self.function = None


class HeapClock:
    """``task.Clock`` for many timers: that one sorts them all with each that is added."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = 0
        self._timers: list[tuple[float, int, Timer]] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any) -> Timer:
        timer = Timer(function, arguments)
        self._order += 1
        heapq.heappush(self._timers, (self._now + delay, self._order, timer))
        return timer

    def sleep(self, seconds: float) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.callLater(seconds, done.callback, None)
        return done

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._timers:
            self._now, _, timer = heapq.heappop(self._timers)
            if (function := timer.function) is not None:
                timer.function = None
                function(*timer.arguments)


class Failed(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


@attrs.define(eq=False)
class Deployment:
    """A vendor and all that is kept about it.

    :ivar script: ``(from, until, what happens)``; between the lines it is well.
    """

    name: str
    script: list[tuple[float, float, str]]
    breaker: CircuitBreaker
    queue: FairQueue
    ewma: PeakEwma
    tail: Quantile
    asked: Counter[str] = attrs.Factory(Counter)

    def mood(self, now: float) -> str:
        for begin, end, what in self.script:
            if begin <= now < end:
                return what if what != "flap" or int(now / 7) % 2 else "well"
        return "well"


class World:
    """The router under test is ``call``: what ``pipeline/route`` will do, without its nouns."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = HeapClock()
        self.changes: list[tuple[float, str, State]] = []
        self.breakers = MemoryStore(self.breaker)
        self.retries = Budget(self.clock, ratio=0.2)
        self.arrived: list[float] = []
        self.retried: list[float] = []
        self.learned: list[int] = []
        self.outcomes: Counter[str] = Counter()
        self.deployments = [
            self.deployment("steady"),
            self.deployment("down", (60, 100, "fail"), (150, 152, "fail"), (200, 300, "hang")),
            self.deployment("slow", (30, 90, "slow"), (170, 230, "slow")),
            self.deployment("flapping", (120, 190, "flap"), (250, 320, "small")),
        ]

    def deployment(self, name: str, *script: tuple[float, float, str]) -> Deployment:
        queue = FairQueue(self.clock, LearnedLimit(self.clock, 60), length=50, max_wait=1.0)
        return Deployment(
            name, list(script), self.breakers.get(name), queue, PeakEwma(self.clock), Quantile(self.clock)
        )

    def breaker(self, name: str) -> CircuitBreaker:
        told = lambda before, after: self.changed(name, before, after)  # noqa: E731
        return CircuitBreaker(self.clock, self.random, None, told)

    def changed(self, name: str, before: State, after: State) -> None:
        self.changes.append((self.clock.seconds(), name, after))

    def state(self, name: str, at: float) -> State:
        states = [state for when, changed, state in self.changes if changed == name and when <= at]
        return states[-1] if states else State.CLOSED

    def run(self) -> None:
        self.clock.callLater(0.0, self.arrive, 0)
        self.clock.callLater(315.0, lambda: self.learned.append(self.deployments[3].queue.limit.value))
        self.clock.run()

    def arrive(self, count: int) -> None:
        done = Deferred.fromCoroutine(self.call(f"caller-{count % 7}"))
        done.addBoth(self.outcome)
        if count % 37 == 0:  # this client will not wait
            self.clock.callLater(self.random.random(), done.cancel)
        if count + 1 < CALLS:
            self.clock.callLater(self.random.expovariate(RATE), self.arrive, count + 1)

    def outcome(self, result: Any) -> None:
        self.outcomes[result if isinstance(result, str) else result.type.__name__] += 1

    async def call(self, caller: str) -> str:
        self.retries.deposit()
        self.arrived.append(self.clock.seconds())
        tried: list[Deployment] = []
        while len(tried) < 3:
            open_to = [each for each in self.deployments if each not in tried and not each.breaker.blocked_by()]
            if not open_to:
                break
            if tried:
                if not self.retries.withdraw():
                    return "no budget"
                self.retried.append(self.clock.seconds())
                await self.clock.sleep(backoff(len(tried) - 1, 0.02, 0.2, self.random))
            target = min(open_to, key=lambda each: each.ewma.score(each.queue.in_flight + each.queue.waiting))
            tried.append(target)
            try:
                await self.attempt(caller, target)
                return "ok"
            except (Failed, TargetBusy):
                pass
        return "failed"

    async def attempt(self, caller: str, target: Deployment) -> None:
        slot = await target.queue.acquire(caller, wait=10.0)
        try:
            ticket = target.breaker.begin()
            if ticket is None:
                raise TargetBusy("opened meanwhile")
            try:
                latency = await self.ask(target)
                ticket.succeed()
                slot.answered(latency, False)
                target.ewma.observe(latency)
                target.tail.observe(latency)
                await self.clock.sleep(0.1 + self.random.random() * 0.4)  # the rest of the stream
                slot.release(Outcome.OK)
            except Failed as failure:
                if failure.outcome is Outcome.OVERLOADED:
                    slot.refused()
                slot.release(failure.outcome)
                ticket.fail()
                raise
            finally:
                ticket.abandon()
        finally:
            slot.release()

    async def ask(self, target: Deployment) -> float:
        """The vendor: a first token after so many seconds, or a failure."""
        mood = target.mood(self.clock.seconds())
        target.asked[mood] += 1
        latency = self.random.lognormvariate(-1.5, 0.4)
        if mood in ("fail", "flap") or (mood == "small" and target.queue.in_flight > 5):
            await self.clock.sleep(0.02)
            raise Failed(Outcome.OVERLOADED if mood == "small" else Outcome.IGNORED)
        if mood == "slow":
            latency *= 8
        if mood == "hang" or latency > TIMEOUT:
            await self.clock.sleep(TIMEOUT)
            target.ewma.observe(TIMEOUT)
            raise Failed(Outcome.OVERLOADED)
        await self.clock.sleep(latency)
        return latency


class Simulation(SynchronousTestCase):
    def test_a_bad_day(self) -> None:
        """Nothing leaks, nobody is hammered, the clients notice little, and who recovers is asked again in 10 s."""
        world = World(seed=5)
        world.run()
        for each in world.deployments:
            self.assertEqual((each.queue.in_flight, each.queue.waiting, each.queue._callers), (0, 0, {}), each.name)
        self.assertEqual(world.outcomes.total(), CALLS)
        self.assertEqual(set(world.outcomes) - {"ok", "failed", "no budget", CancelledError.__name__}, set())
        self.assertGreater(world.outcomes["ok"], 0.95 * CALLS)

        self.assertGreater(len(world.retried), CALLS // 100)
        for count, at in enumerate(world.retried, 1):  # in the last 9 to 10 seconds, whenever one was let through
            retries = count - bisect_right(world.retried, at - 9)
            calls = bisect_right(world.arrived, at) - bisect_right(world.arrived, at - 10)
            self.assertLessEqual(retries, 0.2 * calls + 10)

        for each in world.deployments:
            opened = [at for at, name, state in world.changes if name == each.name and state is State.OPEN]
            self.assertTrue(all(any(begin <= at < end + TIMEOUT for begin, end, _ in each.script) for at in opened))
            for _, end, _ in each.script:
                self.assertIs(world.state(each.name, end + 10), State.CLOSED, f"{each.name} after {end}")
        down = world.deployments[1]
        self.assertIs(world.state("down", 80), State.OPEN)
        self.assertLess(down.asked["fail"], 80)  # of some 2,600 that would have come its way in 42 s
        self.assertLess(down.asked["hang"], 300)
        self.assertLess(world.learned[0], 40)  # of a vendor that takes 5 at once, 60 to begin with
