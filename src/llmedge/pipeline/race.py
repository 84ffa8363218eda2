"""Hedging: when a target is slower than it ever is, the next one is asked too, and the first answer is taken
(Dean & Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from llmedge.errors import ElsewhereError
from llmedge.model import Answer, Reply
from llmedge.pipeline.models import Candidate

if TYPE_CHECKING:
    from llmedge.pipeline.route import Run


async def race(run: Run, first: Candidate) -> Reply:
    """The first answer of ``first`` and, if it is silent for too long, of the candidate after it.

    :raises EdgeError: of the last one that failed, or at once where the request is at fault.
    """
    return await _Race(run).result(first)


class _Race:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._running: list[Deferred[Reply]] = []
        self._ended: list[Any] = []
        self._wake: Deferred[None] | None = None
        self._timer: Any = None
        self._late = False

    async def result(self, first: Candidate) -> Reply:
        self._start(first, self._run._kind)
        patience = self._run.patience(first)
        if patience is not None and not self._ended:
            self._timer = self._run.route.clock.callLater(patience, self._is_late)
        try:
            while True:
                while self._ended:
                    result = self._ended.pop(0)
                    if not isinstance(result, Failure):
                        return cast(Reply, result)
                    if not self._running or not isinstance(result.value, ElsewhereError):
                        raise cast(BaseException, result.value)
                if self._late:
                    self._late = False
                    candidate = self._run.hedge()
                    if candidate is not None:
                        self._start(candidate, "hedge")
                        continue
                self._wake = Deferred()
                await self._wake
        finally:
            self._wake = None
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            for each in self._running:
                each.cancel()
            for result in self._ended:
                _give_up(result)

    def _start(self, candidate: Candidate, kind: str) -> None:
        attempt: Deferred[Reply] = Deferred.fromCoroutine(cast(Any, self._run.attempt(candidate, kind)))
        self._running.append(attempt)
        attempt.addBoth(self._done, attempt)

    def _done(self, result: Any, attempt: Deferred[Reply]) -> None:
        self._running.remove(attempt)
        self._ended.append(result)
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)

    def _is_late(self) -> None:
        self._late = True
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)


def _give_up(result: Any) -> None:
    """A result nobody waits for any more."""
    if not isinstance(result, Failure | Answer):
        result.abort()
