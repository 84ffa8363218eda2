"""One thread for all that takes more than a millisecond: reading a question, its vector, the comparison with others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
WAITING = 8
"""Pieces of work that may wait or be under way; a question that comes then is not looked at."""


class Aside(Protocol):
    """Where such work goes; tests do it at once."""

    def __call__(self, work: Callable[..., T], *args: Any) -> Deferred[T] | None:
        """``work(*args)``; ``None``: there is too much to do already."""


class Worker:
    """The thread begins with the first work. It is a daemon: nobody waits for it when the process ends.

    :ivar busy: how often there was too much to do.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way = 0
        self.busy = 0

    def __call__(self, work: Callable[..., T], *args: Any) -> Deferred[T] | None:
        """See :class:`Aside`."""
        if self._under_way >= WAITING:
            self.busy += 1
            return None
        self._under_way += 1
        done: Deferred[T] = Deferred(lambda _: None)  # what was begun is done; nobody hears of it
        self._jobs.put((done, work, args))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="llmedge-semantic", daemon=True)
            self._thread.start()
        return done

    def close(self) -> None:
        """No more work comes."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, work, args = job
            try:
                result: Any = work(*args)
            except Exception:
                result = Failure()  # type: ignore[no-untyped-call]  # twisted has no types here
            self._reactor.callFromThread(self._tell, done, result)

    def _tell(self, done: Deferred[Any], result: Any) -> None:
        self._under_way -= 1
        if not done.called:
            done.callback(result)
