"""A body as it arrives, for whoever does not want it whole."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from llmedge.errors import RequestTimeout

HIGH_WATER = 65536
"""Unread bytes from which whoever sends them is paused."""


class ClientGone(RequestTimeout):
    """The client left before its body was complete. Nobody is there to read this."""


class BodyStream:
    """What ``request.body`` is where :func:`llmedge.web.paths.streams_body` says so.

    :param pause: called when more than 64 KiB are unread; ``resume`` when they have been read.
    :ivar over: no more of it will come.
    """

    def __init__(self, pause: Callable[[], None] | None = None, resume: Callable[[], None] | None = None) -> None:
        self._pause = pause
        self._resume = resume
        self._chunks: list[bytes] = []
        self._held = 0
        self._paused = False
        self.over = False
        self._error: Exception | None = None
        self._waiter: Deferred[None] | None = None

    async def read(self) -> bytes:
        """What has come of the body since the last time; ``b""`` when there is no more.

        :raises EdgeError: it will not be complete: over the cap (413), too slow (408), malformed (400), or the
            client has gone (:class:`ClientGone`). What had arrived by then is not given out any more.
        """
        while not self._chunks and not self.over:
            waiter = self._waiter = Deferred()
            try:
                await waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if self._resume is not None:
                self._resume()
        return data

    # The side it comes from.

    def feed(self, data: bytes) -> None:
        """More of it has arrived."""
        if self.over or not data:
            return
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and not self._paused and self._pause is not None:
            self._paused = True
            self._pause()
        self._wake()

    def end(self) -> None:
        """All of it has arrived."""
        self.over = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """It will not be complete. The first reason stands."""
        if not self.over:
            self._error = error
            self._chunks.clear()
            self.end()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
