"""How many calls a deployment is given at once, a fixed number or one learned from what happens; and the short queue,
fair to callers, of those that come when it has them."""

from __future__ import annotations

import enum
from collections import deque
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from llmedge.deadlines import stop
from llmedge.errors import TargetBusy
from llmedge.model import Clock


class Outcome(enum.Enum):
    """What an ended call says about how much its deployment can take."""

    OK = enum.auto()
    OVERLOADED = enum.auto()
    """429, 503, 529, or no first token in time."""
    IGNORED = enum.auto()
    """Nothing: the client left, the request was at fault, the connection was refused."""


class Limit(Protocol):
    """A number of calls at once.

    :ivar why: what cut it last, for people: ``"pace 5.1x"``; ``""`` if nothing has.
    """

    why: str

    @property
    def value(self) -> int: ...

    def begin(self) -> int:
        """A call begins: a mark to be given back to ``end``."""

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        """A call ended; ``in_flight`` counts it too, ``latency`` is its seconds to the first token."""


@attrs.define(eq=False)
class FixedLimit:
    """As many as the configuration says."""

    value: int
    why: str = ""

    def begin(self) -> int:
        return 0

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        """What happens changes nothing."""


_CALM = 10
"""Rounds without an overload after which it grows as at the beginning."""
_BACKOFF = 0.7
"""What is left after an overload: CUBIC's (RFC 9438). Netflix has 0.9, for calls of milliseconds: a round of ours takes
seconds."""
_TOLERANCE = 4.0
_SLOW_FLOOR = 8.0


class AimdLimit:
    """Additive increase, multiplicative decrease, as TCP does it and Netflix's ``AIMDLimit`` after it.

    Why not a gradient of latency (Netflix's Gradient2, Envoy's adaptive concurrency): those compare a latency with what
    it is without load, which presumes calls that are alike. The time to first token of an LLM varies a hundredfold with
    the prompt and the vendor's cache, while an overloaded vendor says so with 429, 503 or 529. So refusals are the
    signal. Latency is a second, blunt one, for servers that queue instead of refusing (llama.cpp, vLLM): the recent
    average is four times the long one. It never takes the limit below eight: prompts that grow look
    the same, and calls put in a row would not make them faster.

    - It doubles with each round of answers until the first overload (slow start, RFC 5681), then grows by one a round.
    - It grows only while at least half of it is used (Netflix; RFC 7661): an idle deployment teaches nothing.
    - It shrinks once for each round: of a hundred calls refused together the first one shrinks it, the others had begun
      before that (RFC 6582).

    :param initial: calls at once; high, because the vendor's own limit is found within a round, and a call that waits
        without need is worse than one 429 that goes elsewhere.
    """

    def __init__(self, initial: int = 100, minimum: int = 1, maximum: int = 10_000) -> None:
        self._limit = float(min(initial, maximum))
        self._minimum = float(minimum)
        self._maximum = float(maximum)
        self.why = ""
        self._slow_start = True
        self._sequence = 0
        self._decreased_at = 0
        self._answers = 0
        self._short = 0.0  # moving averages of the latency, over about 10 and 500 answers
        self._long = 0.0

    @property
    def value(self) -> int:
        return int(self._limit)

    def begin(self) -> int:
        self._sequence += 1
        return self._sequence

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        if outcome is Outcome.IGNORED:
            return
        slow = outcome is Outcome.OK and latency is not None and self._slow(latency)
        loaded = in_flight * 2 >= self._limit
        if outcome is Outcome.OVERLOADED or (slow and loaded):
            if mark > self._decreased_at:
                self.why = f"pace {self._short / self._long:.1f}x" if slow else f"refused with {in_flight} at once"
                floor = min(max(_SLOW_FLOOR, self._minimum), self._limit) if slow else self._minimum
                # What was under way was too much; a limit far above it says nothing.
                self._limit = max(floor, min(self._limit, float(in_flight)) * _BACKOFF)
                self._decreased_at = self._sequence
                self._slow_start = False
                self._short = self._long
        elif loaded:
            if mark - self._decreased_at > _CALM * self._limit:
                self._slow_start = True  # whatever made it refuse is long over
            self._limit = min(self._maximum, self._limit + (1.0 if self._slow_start else 1.0 / self._limit))

    def _slow(self, latency: float) -> bool:
        self._answers += 1
        first = 1.0 / self._answers  # plain averages until there are enough
        self._short += (latency - self._short) * (first if first > 0.1 else 0.1)
        self._long += (latency - self._long) * (first if first > 0.002 else 0.002)
        return self._short > _TOLERANCE * self._long


class FairQueue:
    """Gives slots, ``limit.value`` at once; who finds none free waits, bounded in number and in time.

    Callers take turns, not requests (round robin, as Nagle proposed for gateways in RFC 970): a caller with a hundred
    waiting delays another one by one call. When the queue is full, the caller with most waiting loses its newest
    (RFC 8290 section 4.1.3 drops from the fattest flow), or the newcomer is refused if it is that caller.

    :param length: calls that may wait, of all callers.
    :param max_wait: seconds any of them may.
    """

    def __init__(self, clock: Clock, limit: Limit, length: int = 100, max_wait: float = 5.0) -> None:
        self._clock = clock
        self._callers: dict[str, deque[_Waiter]] = {}  # in order of their turns; no deque is empty
        self._granting = False
        self._limit = limit
        self.length = length
        self.max_wait = max_wait
        self.in_flight = 0
        self.waiting = 0

    @property
    def limit(self) -> Limit:
        """Another one holds at once: who waits and has room now goes on."""
        return self._limit

    @limit.setter
    def limit(self, limit: Limit) -> None:
        self._limit = limit
        self._grant()

    async def acquire(self, caller: str, wait: float) -> Slot:
        """A slot. Cancelled at any time, it leaves nothing behind.

        :param caller: whose turn it takes.
        :param wait: seconds the call has left; it never waits longer, nor longer than ``max_wait``.
        :raises TargetBusy: no slot came free in time, or the queue is full.
        """
        return self.take() or await self._enqueue(caller, min(wait, self.max_wait))

    def take(self) -> Slot | None:
        """A slot, if one is free and nobody waits for it."""
        limit = self._limit
        if self.in_flight >= limit.value or self.waiting:
            return None
        self.in_flight += 1
        return Slot(self, limit.begin(), 0.0)

    def _enqueue(self, caller: str, wait: float) -> Deferred[Slot]:
        if wait <= 0.0 or self.length <= 0:
            raise TargetBusy("has as many calls under way as it takes")
        dropped = self._room_for(caller) if self.waiting >= self.length else None
        waiter = _Waiter(caller, self._clock.seconds(), Deferred(lambda _: self._leave(waiter)))
        waiter.timer = self._clock.callLater(wait, self._expire, waiter)
        self._callers.setdefault(caller, deque()).append(waiter)
        self.waiting += 1
        if dropped is not None:  # told last: it may come back at once and must find the queue as it is
            dropped.result.errback(TargetBusy("has a full queue"))
        self._grant()  # where ``limit`` was raised meanwhile; the newcomer still comes last
        return waiter.result

    def _room_for(self, caller: str) -> _Waiter:
        """Take out the newest waiter of the caller with most.

        :raises TargetBusy: ``caller`` is that one, or would be.
        """
        longest = max(self._callers.values(), key=len)
        if len(self._callers.get(caller, ())) + 1 >= len(longest):
            raise TargetBusy("has a full queue")
        dropped = longest[-1]
        self._leave(dropped)
        return dropped

    def _leave(self, waiter: _Waiter) -> None:
        """Forget a waiter that gets no slot, or is about to get one."""
        line = self._callers[waiter.caller]
        line.remove(waiter)
        if not line:
            del self._callers[waiter.caller]
        self.waiting -= 1
        stop(waiter.timer)

    def _expire(self, waiter: _Waiter) -> None:
        self._leave(waiter)
        waited = self._clock.seconds() - waiter.since
        waiter.result.errback(TargetBusy(f"had no call to spare for {waited:.1f} s"))

    def _release(self, mark: int, outcome: Outcome, latency: float | None) -> None:
        self._limit.end(mark, self.in_flight, outcome, latency)
        self.in_flight -= 1
        if self.waiting:
            self._grant()

    def _grant(self) -> None:
        if self._granting:  # a waiter ended at once, in its callback: the loop goes on, the stack does not grow
            return
        self._granting = True
        try:
            while self.waiting and self.in_flight < self.limit.value:
                caller = next(iter(self._callers))
                waiter = self._callers[caller][0]
                self._leave(waiter)
                if line := self._callers.pop(caller, None):
                    self._callers[caller] = line  # behind the others
                self.in_flight += 1
                waiter.result.callback(Slot(self, self._limit.begin(), self._clock.seconds() - waiter.since))
        finally:
            self._granting = False


@attrs.define(eq=False)
class Slot:
    """The right to one call. ``release`` it on every way out; only the first time counts.

    :ivar waited: seconds spent in the queue.
    """

    _queue: FairQueue | None
    _mark: int
    waited: float

    def release(self, outcome: Outcome = Outcome.IGNORED, latency: float | None = None) -> None:
        """:param latency: seconds to the first token."""
        queue, self._queue = self._queue, None
        if queue is not None:
            queue._release(self._mark, outcome, latency)


@attrs.define(eq=False)
class _Waiter:
    caller: str
    since: float
    result: Deferred[Slot]
    timer: Any = None
