"""The pace of the client: whoever writes an answer in pieces waits here until its socket takes more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from llmedge.web.request import EdgeRequest


@implementer(IPushProducer)
class WriteBackpressure:
    """Registered as the request's producer between :meth:`start` and :meth:`stop`.

    A client that takes not one byte for ``write_timeout`` seconds, while an answer waits for it, is cut off: it does
    not get to hold a vendor's work.

    :param resumed: called when the client takes more again.
    """

    def __init__(self, request: EdgeRequest, write_timeout: float, resumed: Callable[[], None] | None = None) -> None:
        self._request = request
        self._timeout = write_timeout
        self._on_resume = resumed
        self._resumed: Deferred[None] | None = None
        self._timer: Any = None
        self._progress = 0

    @property
    def paused(self) -> bool:
        return self._resumed is not None

    def start(self) -> None:
        self._request.registerProducer(self, True)

    def stop(self) -> None:
        self._stop_timer()
        self._on_resume = None
        request = self._request
        if request.producer is self and request.channel is not None:
            request.unregisterProducer()

    async def ready(self) -> None:
        """Return when the client takes more; at once if it does now."""
        if self._resumed is not None:
            await self._resumed

    # IPushProducer

    def pauseProducing(self) -> None:
        if self._resumed is None:
            self._resumed = Deferred()
            self._watch()

    def resumeProducing(self) -> None:
        self._stop_timer()
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)
            if self._on_resume is not None:
                self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going; the request's own notification cancels the work."""

    def _watch(self) -> None:
        channel = self._request.channel
        if channel is not None:
            self._progress = channel.progress()
            self._timer = self._request.edge.clock.callLater(self._timeout, self._check_progress)

    def _check_progress(self) -> None:
        channel = self._request.channel
        if channel is None or self._resumed is None:
            return
        if channel.progress() != self._progress:
            self._watch()
        else:
            self._request.abort_now()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
