"""The real route over vendors that follow a script, and callers that come whatever the answers, on a clock that jumps:
hours of weather in seconds. The vendors are those of ``benchmarks/weather``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import attrs
from benchmarks.weather.vendors import RESET, Refused, Script, Vendor
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from llmedge.call import Call
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing as Settings
from llmedge.dialects.dialect import VendorError
from llmedge.errors import ConnectFailed, EdgeError
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.route import Route
from llmedge.pipeline.strategies import Strategies
from llmedge.providers.failures import failure_for
from llmedge.record import Attempt, Record
from llmedge.streams import AwaitedStream
from tests.state.test_simulation import HeapClock

USAGE = Usage(10, 10)
WORD = Event(EventKind.CONTENT, b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
DONE = Event(EventKind.DONE, b"data: [DONE]\n\n")


@attrs.define(eq=False)
class Asked:
    """One caller's call, and what became of it. Times are the clock's.

    :ivar first: when its answer or its stream's first word was there.
    :ivar status: of the error that it ended with, if it did; 0: its caller left.
    """

    began: float
    deadline: float
    patience: float
    record: Record
    first: float | None = None
    ended: float | None = None
    whole: bool = False
    result: str = ""
    status: int = 200


class ScriptedProvider:
    """A vendor as the route knows one, ``away`` seconds from here."""

    def __init__(self, name: str, vendor: Vendor, clock: HeapClock, away: float) -> None:
        self.name, self.vendor, self.clock, self.away = name, vendor, clock, away

    async def complete(self, call: Call, attempt: Attempt) -> Any:
        if self.away:
            await self.clock.sleep(self.away)
        attempt.connected = self.clock.seconds()
        long = call.fields["messages"] == b'["long"]'
        if not call.stream:
            try:
                await self.vendor.work(long)
            except Refused as refused:
                raise self._failure(refused) from None
            if (left := self.vendor.left()) is not None and not left[0]:
                attempt.rate = self.vendor.script.burst / left[1]
            return Answer(b"{}", USAGE)
        begun: Deferred[Any] = Deferred()
        words = self.vendor.script.words
        work = Deferred.fromCoroutine(self.vendor.work(long, lambda: begun.callback(None), words))
        work.addErrback(lambda failure: begun.called or begun.errback(failure))
        try:
            await begun
        except Refused as refused:
            raise self._failure(refused) from None
        except CancelledError:
            work.cancel()
            raise
        return Stream(work)

    def _failure(self, refused: Refused) -> EdgeError:
        if refused.status == RESET:
            return ConnectFailed("closed the connection", cause="reset").of(self.name)
        return failure_for(self.name, refused.status, VendorError("not now"), refused.retry_after)


class Stream(AwaitedStream):
    """A word, the others, the end."""

    usage = USAGE

    def __init__(self, work: Deferred[Any]) -> None:
        self._work = work
        self._begun = False

    async def next_batch(self) -> list[Event]:
        if not self._begun:
            self._begun = True
            return [WORD]
        await self._work
        return [DONE]

    def abort(self) -> None:
        super().abort()
        self._work.cancel()


class Climate:
    """A model ``m`` with all of ``scripts`` as targets, behind the real route.

    :param settings: of ``[routing]``; ``model``: of ``m``. ``limits``: calls at once, by vendor. ``away``: seconds to
        each of them.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script],
        seed: int = 1,
        settings: Mapping[str, Any] | None = None,
        limits: Mapping[str, int | None] | None = None,
        away: float = 0.0,
        **model: Any,
    ) -> None:
        self.clock = clock = HeapClock()
        self.random = random = Random(seed)
        self.vendors = {name: Vendor(script, clock, random) for name, script in scripts.items()}
        providers: dict[str, Any] = {
            name: ScriptedProvider(name, each, clock, away) for name, each in self.vendors.items()
        }
        entries = tuple(TargetEntry(f"{name}/x", max_concurrency=(limits or {}).get(name)) for name in scripts)
        models = {"m": Model(entries, **model)}
        self.settings = Settings(**settings or {})
        self.deployments = Deployments(clock, random)
        self.deployments.configure(self.settings, models)
        self.index = ModelIndex(models, dict.fromkeys(scripts, Provider()))
        strategies = Strategies(self.deployments, None, random)
        self.route = Route(RouteDeps(self.index, providers, self.deployments, strategies, self.settings, clock, random))
        self.calls: list[Asked] = []

    def ask(
        self,
        stream: bool = False,
        seconds: float = 30.0,
        patience: float = 60.0,
        caller: str = "c",
        long: bool = False,
        ended: Callable[[Asked], Any] = lambda asked: None,
    ) -> Asked:
        """One call, now.

        :param ended: is told when it has.
        """
        now = self.clock.seconds()
        record = Record("id", "POST", "/", "peer", now, bytes_in=100_000 if long else 1_000)
        asked = Asked(now, seconds, patience, record)
        deadline: Any = Deadline(self.clock, seconds)
        fields = {"messages": b'["long"]' if long else b"[]"}
        match = self.index.find("m")
        call = Call(
            Operation.CHAT, "openai_chat", "m", fields, stream, False, 1, Caller(caller), deadline, record, match=match
        )
        work = Deferred.fromCoroutine(self._serve(call, asked))
        timers = [self.clock.callLater(patience, work.cancel)]
        timers.append(self.clock.callLater(seconds, lambda: asked.first is not None or work.cancel()))
        self.calls.append(asked)
        work.addBoth(self._ended, asked, timers)
        work.addCallback(lambda _: ended(asked))
        return asked

    async def _serve(self, call: Call, asked: Asked) -> None:
        reply = await self.route(call)
        asked.first = self.clock.seconds()
        if isinstance(reply, Answer):
            return
        try:
            while (await reply.read())[-1].kind is not EventKind.DONE:
                pass
        finally:
            reply.abort()

    def _ended(self, result: Any, asked: Asked, timers: list[Any]) -> None:
        for timer in timers:
            timer.cancel()
        asked.ended = self.clock.seconds()
        asked.whole = result is None
        if isinstance(result, Failure):
            asked.result = result.type.__name__
            asked.status = getattr(result.value, "status", 0)
            result.trap(EdgeError, CancelledError)

    def load(self, rate: float, begin: float, end: float, **how: Any) -> None:
        """Calls at random times from ``begin`` to ``end``; ``how`` as for :meth:`ask`."""

        def arrive() -> None:
            if self.clock.seconds() < end:
                self.ask(**how)
                self.clock.callLater(self.random.expovariate(rate), arrive)

        self.clock.callLater(begin + self.random.expovariate(rate) - self.clock.seconds(), arrive)

    def run(self) -> None:
        """Until nothing is left to happen."""
        self.clock.run()

    def left_behind(self) -> list[str]:
        """Places that were not given back, work that goes on, calls without an end."""
        found = [f"{name} at work" for name, vendor in self.vendors.items() if vendor.under_way]
        for each in self.deployments.all():
            if each.queue.in_flight or each.queue.waiting:
                found.append(f"{each.name}: {each.queue.in_flight} places, {each.queue.waiting} waiting")
            if any(breaker._probe is not None for breaker in each.breakers):
                found.append(f"{each.name}: a probe")
        found += ["a call without an end" for call in self.calls if call.ended is None]
        found += ["a wait without an end" for call in self.calls if call.record.routing.waiting]
        found += [
            "an attempt without an end"
            for call in self.calls
            if any(not a.outcome for a in call.record.routing.attempts)
        ]
        if self.route.kept.total:
            found.append(f"{self.route.kept.total} bytes kept")
        return found


def share(calls: Sequence[Asked]) -> float:
    """Of the calls, those that got their whole answer."""
    return sum(call.whole for call in calls) / max(1, len(calls))
