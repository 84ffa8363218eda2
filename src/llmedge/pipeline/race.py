"""Hedging: when a target is slower than it ever is, the next one is asked too, and the first answer is taken
(Dean & Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from llmedge.call import Call
from llmedge.errors import EdgeError, TargetError
from llmedge.model import Answer
from llmedge.pipeline.attempt import make
from llmedge.pipeline.plan import Option, Plan
from llmedge.pipeline.verdicts import Next, verdict_of
from llmedge.streams import Reply

LOOK_AGAIN = 1.0
"""Seconds after which it is looked again whether one more call may be made, where it could not."""


async def race(plan: Plan, first: Option, call: Call) -> Reply:
    """The first answer of ``first`` and, while all that were asked are silent for too long, of those after it.

    :raises EdgeError: of the last one that failed, or at once where the request is at fault.
    """
    return await _Race(plan, call).result(first)


class _Race:
    def __init__(self, plan: Plan, call: Call) -> None:
        self._plan = plan
        self._call = call
        self._running: dict[Deferred[Reply], Option] = {}
        self._ended: list[tuple[Any, Option]] = []
        self._wake: Deferred[None] | None = None
        self._timer: Any = None
        self._late = False

    async def result(self, first: Option) -> Reply:
        newest, routing = first, self._call.record.routing
        routing.raced = True
        self._start(first, self._plan.kind)
        try:
            while True:
                while self._ended:
                    result, option = self._ended.pop(0)
                    if not isinstance(result, Failure):
                        return cast(Reply, result)
                    error = cast(BaseException, result.value)
                    if not self._running or not _may_differ(error):
                        raise error
                    if option is newest:
                        self._late = True  # the others are silent still
                if self._late:
                    self._late = False
                    hedge = self._plan.hedge(next(iter(self._running.values())))
                    if hedge is not None:
                        newest = hedge
                        self._start(hedge, "hedge")
                        continue
                    if self._plan.others_left:
                        self._arm(LOOK_AGAIN)
                self._wake = Deferred()
                await self._wake
        finally:
            self._wake = None
            self._disarm()
            for each, option in tuple(self._running.items()):
                each.cancel()
                self._plan.overtaken(option)
            for result, _ in self._ended:
                _give_up(result)
            routing.raced = False

    def _start(self, option: Option, kind: str) -> None:
        attempt: Deferred[Reply] = Deferred.fromCoroutine(make(self._plan, option, kind, self._call))
        self._running[attempt] = option
        attempt.addBoth(self._done, attempt)
        if attempt in self._running and (patience := self._plan.patience(option)) is not None:
            self._arm(patience)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._plan.deps.clock.callLater(seconds, self._is_late)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _done(self, result: Any, attempt: Deferred[Reply]) -> None:
        self._ended.append((result, self._running.pop(attempt)))
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)

    def _is_late(self) -> None:
        self._late = True
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)


def _may_differ(error: BaseException) -> bool:
    """Whether the other target may answer all the same."""
    return isinstance(error, TargetError) or (isinstance(error, EdgeError) and verdict_of(error).next is Next.LARGER)


def _give_up(result: Any) -> None:
    """A result nobody waits for any more."""
    if not isinstance(result, Failure | Answer):
        result.abort()
