"""A short queue in front of a deployment that has all the calls it takes, fair to callers."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from llmedge.deadlines import stop
from llmedge.errors import TargetBusy
from llmedge.model import Clock
from llmedge.state.concurrency import Limit, Outcome


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
