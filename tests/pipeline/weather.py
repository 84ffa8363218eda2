"""Weather: scripted vendors under load from callers who come at random times, whatever the answers, on a clock of its
own: the real route, minutes in a second or two."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from llmedge.call import Call
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing as Settings
from llmedge.errors import ConnectFailed, EdgeError, TargetError, VendorFailed, VendorRateLimited, VendorUnavailable
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.route import Route
from llmedge.pipeline.strategies import Strategies
from llmedge.record import Attempt, Record
from llmedge.streams import AwaitedStream
from tests.state.test_simulation import HeapClock

USAGE = Usage(10, 10)
WORD, DONE = Event(EventKind.CONTENT, b"word"), Event(EventKind.DONE, b"done")


def failure(status: int, retry_after: float | None = None) -> TargetError:
    """What a vendor's answer of ``status`` becomes; 0: it closed the connection."""
    if status == 429:
        return VendorRateLimited("is limiting", retry_after=retry_after)
    if status in (503, 529):
        return VendorUnavailable("is away", retry_after=retry_after, cause=f"status_{status}")
    return VendorFailed("failed", cause=f"status_{status}") if status else ConnectFailed("closed", cause="reset")


class Vendor:
    """One vendor. Its attributes may be changed while it is asked.

    :ivar latency: seconds to an answer or a stream's first word, or a function of the call; ``length``: of the rest of
        a stream.
    :ivar error: share of calls that fail, with ``status``, after ``error_latency``.
    :ivar places: calls it works on at once; who comes beyond waits, or with ``refuses`` gets a 429.
    :ivar rate: calls a second that it allows, ``burst`` at once; beyond is a 429.
    :ivar asked: when it was; ``peak``: most calls at it at once.
    """

    def __init__(self, clock: HeapClock, random: Random, latency: Any = 0.1, **more: Any) -> None:
        self.clock, self.random, self.latency = clock, random, latency
        self.length = 0.0
        self.error, self.status, self.error_latency = 0.0, 500, 0.01
        self.retry_after: float | None = None
        self.places: int | None = None
        self.refuses = False
        self.rate, self.burst = 0.0, 1.0
        self.refuse_next = 0
        for name, value in more.items():
            setattr(self, name, value)
        self.asked: list[float] = []
        self.under_way = self.serving = self.peak = 0
        self._tokens, self._then = self.burst, 0.0
        self._waiting: deque[Deferred[None]] = deque()

    async def complete(self, call: Call, attempt: Attempt) -> Any:
        self.asked.append(self.clock.seconds())
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        held = given = False
        try:
            await self.clock.sleep(0.002)
            if self.refuse_next or not self._allows():
                self.refuse_next = max(0, self.refuse_next - 1)
                raise failure(429, self.retry_after)
            if self.random.random() < self.error:
                await self.clock.sleep(self.error_latency)
                raise failure(self.status, self.retry_after)
            if self.refuses and self.serving >= (self.places or 0):
                raise failure(429)
            await self._place()
            held = True
            await self.clock.sleep(self.latency(call) if callable(self.latency) else self.latency)
            if not call.stream:
                return Answer(b"{}", USAGE)
            given = True
            return Stream(self)
        finally:
            if not given:
                self.under_way -= 1
                if held:
                    self.leave()

    def _allows(self) -> bool:
        if not self.rate:
            return True
        now = self.clock.seconds()
        self._tokens, self._then = min(self.burst, self._tokens + (now - self._then) * self.rate), now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    async def _place(self) -> None:
        if self.places is not None and self.serving >= self.places:
            mine: Deferred[None] = Deferred(lambda each: self._waiting.remove(each))
            self._waiting.append(mine)
            await mine
        else:
            self.serving += 1

    def leave(self) -> None:
        if self.places is not None and self._waiting and self.serving <= self.places:
            self._waiting.popleft().callback(None)
        else:
            self.serving -= 1


class Stream(AwaitedStream):
    """A word, the rest, the end; it holds its vendor's place until then."""

    usage = USAGE

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.steps = 0
        self.ended = False

    async def next_batch(self) -> list[Event]:
        self.steps += 1
        if self.steps == 1:
            return [WORD]
        await self.vendor.clock.sleep(self.vendor.length)
        self._end()
        return [DONE]

    def abort(self) -> None:
        super().abort()
        self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self.vendor.under_way -= 1
            self.vendor.leave()


@attrs.define
class Outcome:
    """What one caller's call came to; ``first``: seconds to the answer or to a stream's first word."""

    began: float
    first: float = 0.0
    total: float = 0.0
    error: str = ""
    attempts: int = 0
    waited: float = 0.0
    status: int = 200

    @property
    def ok(self) -> bool:
        return not self.error


class Sky:
    """A route to vendors ``p0``, ``p1`` … as the model ``m``.

    :param vendors: arguments of each :class:`Vendor`. ``model``, ``entries``, ``settings``: configuration.
    """

    def __init__(
        self,
        *vendors: dict[str, Any],
        seed: int = 1,
        settings: dict[str, Any] | None = None,
        entries: tuple[TargetEntry, ...] | None = None,
        models: dict[str, Model] | None = None,
        **model: Any,
    ) -> None:
        self.random = Random(seed)
        self.clock = HeapClock()
        self.vendors = [Vendor(self.clock, self.random, **each) for each in vendors]
        providers: dict[str, Any] = {f"p{number}": each for number, each in enumerate(self.vendors)}
        entries = entries or tuple(TargetEntry(f"{name}/x") for name in providers)
        every = {"m": Model(entries, **({"stream_recovery": "off"} | model))} | (models or {})
        self.settings = Settings(**settings or {})
        self.changes: list[tuple[float, str, str]] = []
        self.deployments = Deployments(self.clock, self.random, self._changed)
        self.deployments.configure(self.settings, every)
        self.index = ModelIndex(every, dict.fromkeys(providers, Provider()))
        strategies = Strategies(self.deployments, None, self.random)
        deps = RouteDeps(self.index, providers, self.deployments, strategies, self.settings, self.clock, self.random)
        self.route = Route(deps)
        self.records: list[Record] = []

    def _changed(self, name: str, before: Any, after: Any) -> None:
        self.changes.append((self.clock.seconds(), name, after.value))

    def at(self, when: float, do: Callable[..., None], *arguments: Any) -> None:
        self.clock.callLater(when - self.clock.seconds(), do, *arguments)

    def every(self, seconds: float, until: float, do: Callable[[], None]) -> None:
        now = self.clock.seconds()
        for number in range(int((until - now) / seconds)):
            self.clock.callLater(number * seconds, do)

    def load(self, rate: float, begin: float, end: float, **call: Any) -> list[Outcome]:
        """Calls at random times in that time; the list fills as they end."""
        outcomes: list[Outcome] = []

        def arrive() -> None:
            if self.clock.seconds() < end:
                outcomes.append(self.call(**call))
                self.clock.callLater(self.random.expovariate(rate), arrive)

        self.at(begin + self.random.expovariate(rate), arrive)
        return outcomes

    def burst(self, count: int, at: float, **call: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self.at(at, lambda: outcomes.extend([self.call(**call) for _ in range(count)]))
        return outcomes

    def call(
        self,
        stream: bool = False,
        caller: str = "c",
        seconds: float = 30.0,
        patience: float = 120.0,
        size: int = 20,
        model: str = "m",
    ) -> Outcome:
        now = self.clock.seconds()
        record = Record("id", "POST", "/", "peer", now)
        record.bytes_in = size
        outcome, deadline = Outcome(now), Deadline(self.clock, seconds)  # type: ignore[arg-type]
        fields: Any = {"messages": b"[]"}
        call = Call(
            Operation.CHAT,
            "openai_chat",
            model,
            fields,
            stream,
            False,
            1,
            Caller(caller),
            deadline,
            record,
            match=self.index.find(model),
        )
        work = Deferred.fromCoroutine(self._serve(call, outcome))
        timers = [self.clock.callLater(seconds, self._cut, work, outcome), self.clock.callLater(patience, work.cancel)]
        self.records.append(record)

        def ended(result: Any) -> None:
            for timer in timers:
                timer.cancel()
            outcome.total = self.clock.seconds() - now
            outcome.attempts, outcome.waited = len(record.routing.attempts), record.routing.waited
            if isinstance(result, str):
                return
            outcome.error = type(result.value).__name__
            outcome.status = getattr(result.value, "status", 0)
            result.trap(EdgeError, CancelledError)

        work.addBoth(ended)
        return outcome

    def _cut(self, work: Deferred[Any], outcome: Outcome) -> None:
        if not outcome.first:  # of a stream it is for the first word
            work.cancel()

    async def _serve(self, call: Call, outcome: Outcome) -> str:
        reply = await self.route(call)
        outcome.first = self.clock.seconds() - outcome.began
        if isinstance(reply, Answer):
            return "ok"
        try:
            while (await reply.read())[-1] is not DONE:
                pass
            return "ok"
        finally:
            reply.abort()

    def run(self) -> Sky:
        self.clock.run()
        return self


def share(outcomes: list[Outcome]) -> float:
    return sum(each.ok for each in outcomes) / max(1, len(outcomes))


def quantile(outcomes: list[Outcome], at: float) -> float:
    values = sorted(each.first for each in outcomes if each.ok)
    return values[min(len(values) - 1, int(len(values) * at))] if values else float("nan")


def say(outcomes: list[Outcome]) -> str:
    errors = Counter(each.error or "ok" for each in outcomes)
    figures = " ".join(f"p{at * 100:.0f} {quantile(outcomes, at):.2f}" for at in (0.5, 0.9, 0.99))
    return f"{share(outcomes):.3f} of {len(outcomes)} {dict(errors)} {figures}"
