"""The pace of whoever is written to: who writes in pieces waits here until more is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from llmedge.deadlines import stop
from llmedge.model import Clock


@implementer(IPushProducer)
@attrs.define(eq=False)
class WriteBackpressure:
    """The producer of ``consumer`` between :meth:`start` and :meth:`stop`.

    :param patience: seconds in which something has to be taken, while some waits for it.
    :param progress: gives a number that changes when something was taken.
    :param stalled: called when nothing was: nobody gets to hold up the other side.
    :param on_resume: called when more is taken again.
    :ivar paused: no more is taken for now.
    """

    _consumer: Any
    _clock: Clock
    _patience: float
    _progress: Callable[[], int]
    _stalled: Callable[[], None]
    _on_resume: Callable[[], None] | None = None
    paused: bool = False
    _resumed: Deferred[None] | None = None
    _timer: Any = None
    _taken: int = 0

    def start(self) -> None:
        self._consumer.registerProducer(self, True)

    def stop(self) -> None:
        if self._timer is not None:
            stop(self._timer)
        self._on_resume = None
        self._consumer.unregisterProducer()

    async def ready(self) -> None:
        """Return when more is taken; at once if it is now."""
        if self.paused:
            self._resumed = Deferred()
            await self._resumed

    # IPushProducer

    def pauseProducing(self) -> None:
        if not self.paused:
            self.paused = True
            self._watch()

    def resumeProducing(self) -> None:
        stop(self._timer)
        if self.paused:
            self.paused = False
            resumed, self._resumed = self._resumed, None
            if resumed is not None:
                resumed.callback(None)
            if self._on_resume is not None:
                self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going, of which others tell whoever writes."""

    def _watch(self) -> None:
        self._taken = self._progress()
        self._timer = self._clock.callLater(self._patience, self._check_progress)

    def _check_progress(self) -> None:
        if self._progress() != self._taken:
            self._watch()
        else:
            self._stalled()
