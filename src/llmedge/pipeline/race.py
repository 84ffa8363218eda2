"""Hedging: when a target is slower than it ever is, the next one is asked too, and the first answer is taken
(Dean & Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from llmedge.errors import EdgeError, ElsewhereError
from llmedge.model import Answer, Reply
from llmedge.pipeline.models import Candidate
from llmedge.pipeline.verdicts import Next, verdict_of

if TYPE_CHECKING:
    from llmedge.pipeline.route import Run

LOOK_AGAIN = 1.0
"""Seconds after which it is looked again whether one more call may be made, where it could not."""


async def race(run: Run, first: Candidate) -> Reply:
    """The first answer of ``first`` and, while all that were asked are silent for too long, of those after it.

    :raises EdgeError: of the last one that failed, or at once where the request is at fault.
    """
    return await _Race(run).result(first)


class _Race:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._running: dict[Deferred[Reply], Candidate] = {}
        self._ended: list[tuple[Any, Candidate]] = []
        self._wake: Deferred[None] | None = None
        self._timer: Any = None
        self._late = False

    async def result(self, first: Candidate) -> Reply:
        newest = first
        self._start(first, self._run.kind)
        try:
            while True:
                while self._ended:
                    result, candidate = self._ended.pop(0)
                    if not isinstance(result, Failure):
                        return cast(Reply, result)
                    error = cast(BaseException, result.value)
                    if not self._running or not _may_differ(error):
                        raise error
                    if candidate is newest:
                        self._late = True  # the others are silent still
                if self._late:
                    self._late = False
                    hedge = self._run.hedge(next(iter(self._running.values())))
                    if hedge is not None:
                        newest = hedge
                        self._start(hedge, "hedge")
                        continue
                    if self._run.others_left:
                        self._arm(LOOK_AGAIN)
                self._wake = Deferred()
                await self._wake
        finally:
            self._wake = None
            self._disarm()
            for each in tuple(self._running):
                each.cancel()
            for result, _ in self._ended:
                _give_up(result)

    def _start(self, candidate: Candidate, kind: str) -> None:
        attempt: Deferred[Reply] = Deferred.fromCoroutine(cast(Any, self._run.attempt(candidate, kind)))
        self._running[attempt] = candidate
        attempt.addBoth(self._done, attempt)
        if attempt in self._running and (patience := self._run.patience(candidate)) is not None:
            self._arm(patience)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._run.route.clock.callLater(seconds, self._is_late)

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
    return isinstance(error, ElsewhereError) or (isinstance(error, EdgeError) and verdict_of(error).next is Next.LARGER)


def _give_up(result: Any) -> None:
    """A result nobody waits for any more."""
    if not isinstance(result, Failure | Answer):
        result.abort()
