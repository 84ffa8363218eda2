"""The short queue of calls that come when their deployment has no place for them: fair to callers, and within each
first come, first served."""

from __future__ import annotations

from collections import deque
from random import SystemRandom
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from llmedge.deadlines import stop
from llmedge.errors import TargetFull
from llmedge.model import Clock
from llmedge.state.concurrency import Limit, Outcome
from llmedge.state.pacing import Pacer
from llmedge.state.window import SlidingSum

_SPAN = 5.0
"""Seconds over which it is counted how fast the queue moves."""
_SURE = 1.2
"""Times its wait that a call would have to wait, by that, to be refused at once."""


class FairQueue:
    """Gives slots, ``limit.value`` at once; who finds none free waits, bounded in number and in time.

    Callers take turns, not requests (round robin, as Nagle proposed for gateways in RFC 970): a caller with a hundred
    waiting delays another one by one call. When the queue is full, the caller with most waiting loses its newest
    (RFC 8290 section 4.1.3 drops from the fattest flow), or the newcomer is refused if it is that caller.

    A call that cannot be served in its time, by its place in the queue and by how fast it moves, is refused at once.

    :param length: calls that may wait, of all callers.
    :param max_wait: seconds any of them may.
    :param pacer: may let calls begin more slowly than there are places.
    """

    def __init__(
        self, clock: Clock, limit: Limit, length: int = 100, max_wait: float = 5.0, pacer: Pacer | None = None
    ) -> None:
        self._clock = clock
        self._pacer = pacer or Pacer(clock, SystemRandom())
        self._pacer.wake = self._grant
        self._timer: Any = None
        self._served = SlidingSum(_SPAN)  # calls that had waited
        self._served_since = 0.0
        self._callers: dict[str, deque[_Waiter]] = {}  # in order of their turns; no deque is empty
        self._granting = False
        self._limit = limit
        self.length = length
        self.max_wait = max_wait
        self.in_flight = self.begun = 0
        self.waiting = 0

    @property
    def limit(self) -> Limit:
        """Another one holds at once: who waits and has room now goes on."""
        return self._limit

    @limit.setter
    def limit(self, limit: Limit) -> None:
        self._limit = limit
        self._grant()

    async def acquire(self, caller: str, wait: float, again: bool = False) -> Slot:
        """A slot. Cancelled at any time, it leaves nothing behind.

        :param caller: whose turn it takes.
        :param wait: seconds the call has left; it never waits longer, nor longer than ``max_wait``.
        :param again: it had a slot already, and comes before its caller's others.
        :raises TargetFull: no slot came free in time, or the queue is full.
        """
        return self.take() or await self._enqueue(caller, min(wait, self.max_wait), again)

    def take(self) -> Slot | None:
        """A slot, if one is free and nobody waits for it."""
        limit = self._limit
        if self.in_flight >= limit.value or self.waiting:
            return None
        if self._pacer.slow:
            if self._pacer.delay():
                return None
            self._pacer.began()
        self.in_flight += 1  # as _begin does, for nearly every call
        self.begun += 1
        return Slot(self, self.begun, self.in_flight, 0.0)

    def _enqueue(self, caller: str, wait: float, again: bool) -> Deferred[Slot]:
        if wait <= 0.0 or self.length <= 0:
            raise TargetFull("has as many calls under way as it takes")
        if not again and (ahead := self._expected(caller)) > wait * _SURE + 0.5:
            raise TargetFull(f"has calls waiting for {ahead:.0f} s", retry_after=ahead - wait)
        dropped = self._room_for(caller) if self.waiting >= self.length else None
        waiter = _Waiter(caller, self._clock.seconds(), Deferred(lambda _: self._leave(waiter)))
        waiter.timer = self._clock.callLater(wait, self._expire, waiter)
        line = self._callers.setdefault(caller, deque())
        line.appendleft(waiter) if again else line.append(waiter)
        self.waiting += 1
        if dropped is not None:  # told last: it may come back at once and must find the queue as it is
            dropped.result.errback(TargetFull("has a full queue"))
        self._grant()  # where ``limit`` was raised meanwhile; the newcomer still comes last
        return waiter.result

    def _expected(self, caller: str) -> float:
        """Seconds until one more of ``caller`` would be served, by its turn and by how many were in the last seconds;
        0.0 while that is not known."""
        now = self._clock.seconds()
        span = min(_SPAN, now - self._served_since)
        served = self._served.total(now)
        if served < 4 or span < 1.0 or not self.waiting or self._pacer.is_returning:
            return 0.0
        turns = len(self._callers.get(caller, ())) + 1
        ahead = sum(min(len(line), turns) for line in self._callers.values())
        return ahead * span / served

    def _room_for(self, caller: str) -> _Waiter:
        """Take out the newest waiter of the caller with most.

        :raises TargetFull: ``caller`` is that one, or would be.
        """
        longest = max(self._callers.values(), key=len)
        if len(self._callers.get(caller, ())) + 1 >= len(longest):
            raise TargetFull("has a full queue")
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
        if not self.waiting and self._timer is not None:
            stop(self._timer)
            self._timer = None

    def _expire(self, waiter: _Waiter) -> None:
        self._leave(waiter)
        waited = self._clock.seconds() - waiter.since
        waiter.result.errback(TargetFull(f"had no call to spare for {waited:.1f} s"))

    def _release(self, outcome: Outcome) -> None:
        self._limit.end(self.in_flight, outcome is Outcome.OK)
        self.in_flight -= 1
        if self.waiting:
            if self._pacer.slow and outcome is Outcome.OK:
                self._pacer.freed(self.begun + 1)
            self._grant()

    def _grant(self) -> None:
        if self._granting:  # a waiter ended at once, in its callback: the loop goes on, the stack does not grow
            return
        self._granting = True
        try:
            while self.waiting and self.in_flight < self._limit.value:
                if self._pacer.slow:
                    if delay := self._pacer.delay():
                        self._look_again(delay)
                        break
                    self._pacer.began()
                caller = next(iter(self._callers))
                waiter = self._callers[caller][0]
                self._leave(waiter)
                if line := self._callers.pop(caller, None):
                    self._callers[caller] = line  # behind the others
                self._begin()
                now = self._clock.seconds()
                if not self._served.total(now) or self._pacer.is_returning:
                    self._served.clear()
                    self._served_since = now
                self._served.add(now, 1.0)
                waiter.result.callback(Slot(self, self.begun, self.in_flight, now - waiter.since))
        finally:
            self._granting = False

    def _begin(self) -> None:
        self.in_flight += 1
        self.begun += 1

    def _look_again(self, seconds: float) -> None:
        stop(self._timer)
        self._timer = self._clock.callLater(seconds, self._grant)


@attrs.define(eq=False)
class Slot:
    """The right to one call. ``release`` it on every way out; only the first time counts.

    :ivar number: of its call among those that began; ``load``: calls under way then, it too.
    :ivar waited: seconds spent in the queue.
    """

    _queue: FairQueue | None
    number: int
    load: int
    waited: float

    def answered(self, latency: float, kind: object) -> None:
        """The answer begins; see :meth:`Limit.answered`."""
        if self._queue is not None:
            self._queue.limit.answered(self.number, (self.load, self._queue.in_flight), latency, kind)

    def refused(self) -> bool:
        """The call was refused as one too many; whether it may be for want of places."""
        queue = self._queue
        return queue is not None and queue.limit.refused(self.number, self.load, queue.begun)

    def release(self, outcome: Outcome = Outcome.IGNORED) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue._release(outcome)


@attrs.define(eq=False)
class _Waiter:
    caller: str
    since: float
    result: Deferred[Slot]
    timer: Any = None
