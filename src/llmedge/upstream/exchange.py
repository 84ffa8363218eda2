"""One request to a vendor and the answer to it, for whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred

from llmedge.config.settings import Upstream
from llmedge.deadlines import Deadlines
from llmedge.errors import ElsewhereError, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Attempt, Clock, Record

if TYPE_CHECKING:
    from llmedge.upstream.connection import Connection
    from llmedge.upstream.sender import Sender

HIGH_WATER = 65536
"""Bytes an exchange holds for a slow consumer before the vendor's socket is paused."""

GO_ON = "go on with its answer"
_DRAIN_SECONDS = 1.0


class Exchange:
    """One request on one connection and the response to it.

    The consumer pulls: :meth:`headers`, then :meth:`read` until ``b""``. While it does not pull, at most
    :data:`HIGH_WATER` bytes and one socket read are held, and the vendor's socket is paused.
    """

    # What an exchange begins with.
    status = 0
    sender: Sender | None = None
    _held = 0
    _paused = False
    _draining = False
    _drained_out = False
    _headers_done = False
    _complete = False
    _error: ElsewhereError | None = None
    _waiter: Deferred[None] | None = None
    _wake: Callable[[], None] | None = None
    _expecting = False
    _patience = 0.0
    _phase = ""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        limits: Upstream,
        attempt: Attempt,
        record: Record,
        deadlines: Deadlines,
    ) -> None:
        self.fields: dict[bytes, bytes] = {}
        self._connection: Connection | None = connection
        self._clock = clock
        self._deadlines = deadlines
        self._limits = limits
        self._attempt = attempt
        self._record = record
        self._chunks: list[bytes] = []

    @property
    def settled(self) -> bool:
        """Nothing more of the request need be sent: it was answered in full, or with an error, or has failed."""
        return self._complete or self._error is not None or self.status >= 300

    async def headers(self) -> int:
        """Wait for the status line and headers; their status.

        :raises ElsewhereError: cut, malformed, or silent for ``first_byte_timeout``.
        """
        since = self._clock.seconds()
        while not self._headers_done:
            if self._error is not None:
                raise self._error
            self.expect(self._limits.first_byte_timeout, "send the first byte of its answer", since)
            await self.arrival()
        return self.status

    async def read(self, patience: float | None = None, what: str = GO_ON) -> bytes:
        """What has arrived since the last call, at least one byte; ``b""`` at the end.

        :param patience: seconds of silence allowed; ``upstream.idle_timeout`` by default, 0 for no limit.
        :param what: what the vendor owes, for the message.
        :raises ElsewhereError: cut, malformed, or silent for too long. What arrived before comes first.
        """
        while (data := self.take()) is None:
            self.expect(patience, what)
            await self.arrival()
        return data

    def take(self) -> bytes | None:
        """The same, without waiting: ``None`` where it is to come. Whoever has :meth:`listen` said who wants to know
        of it, then says with :meth:`expect` how long it may take."""
        if not self._chunks:
            if self._error is not None:
                raise self._error
            return b"" if self._complete else None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if self._connection is not None:
                self._connection.resume()
        return data

    async def read_all(self) -> bytes:
        """The whole body.

        :raises UpstreamTooLarge: it is over ``upstream.max_response_size``.
        """
        limit = self._limits.max_response_size
        if self._complete and self._held <= limit and len(self._chunks) == 1 and self._error is None:
            return self._chunks.pop()  # it came in one piece, as most do
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.abort()
                raise UpstreamTooLarge(f"answered with more than {limit} bytes (upstream.max_response_size)")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def is_empty(self) -> bool:
        """There is nothing to :meth:`take`, nor an end or an error, yet."""
        return not (self._chunks or self._complete or self._error is not None)

    def drain(self) -> None:
        """The consumer has all it needs: let the framing's end arrive, so that the connection can be used again."""
        self._draining = True
        self._chunks.clear()
        if self._connection is not None:
            self._deadlines.set(self, self._clock.seconds() + _DRAIN_SECONDS)
            if self._paused:
                self._paused = False
                self._connection.resume()

    def abort(self) -> None:
        """Close the connection at once, unless the answer is complete or all of it that matters is here."""
        if self._draining and self._connection is not None and not self._drained_out:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._deadlines.drop(self)
        self._wake = None
        self._arrived()

    def fail(self, error: ElsewhereError) -> None:
        """Give up: close the connection, and tell whoever waits."""
        self._fail(error)
        wake = self._wake
        self.abort()
        self._wake = wake
        self._tell()

    # Waiting.

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when there is something to :meth:`take`, or never will be."""
        self._wake = wake

    def expect(self, patience: float | None = None, what: str = GO_ON, since: float | None = None) -> None:
        """From now on, or from ``since``, something is waited for; as for :meth:`read`."""
        self._phase = what
        self._patience = patience = self._limits.idle_timeout if patience is None else patience
        now = self._clock.seconds()
        if patience:
            self._deadlines.set(self, (now if since is None else since) + patience)
        if not self._expecting:
            self._expecting = True
            self._record.begin_wait(now)

    def _arrived(self) -> None:
        """It is not waited for any more."""
        if self._expecting:
            self._expecting = False
            self._record.end_wait(self._clock.seconds())

    async def arrival(self) -> None:
        """Wait for what is expected; cancelled, nobody wants the rest of the answer."""
        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        try:
            await waiter
        except CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None
            self._arrived()

    def expire(self) -> None:
        """What was waited for did not come in time."""
        if self._draining:
            self._drained_out = True
            self.abort()
        elif self._expecting and self._patience:
            cause = "stall" if self._phase == GO_ON else "silent"
            self.fail(UpstreamTimeout(f"did not {self._phase} within {self._patience:g} s", cause=cause))

    def _tell(self) -> None:
        self._arrived()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
        elif self._wake is not None:
            self._wake()
        if self.sender is not None:
            self.sender.news()

    def _fail(self, error: ElsewhereError) -> None:
        if self._error is None and not self._complete:
            self._error = error

    # Called by the connection.

    def got_headers(self, status: int, fields: dict[bytes, bytes]) -> None:
        self.status = status
        self.fields = fields
        self._headers_done = True
        self._attempt.status = status
        if self._attempt.first_byte is None:
            self._attempt.first_byte = self._clock.seconds()

    def got_body(self, data: bytes) -> None:
        if self._draining:
            return
        self._chunks.append(data)
        self._held += len(data)

    def got_end(self) -> None:
        self._complete = True
        if self._paused and self._connection is not None:  # under TLS what was read before the pause comes after it
            self._paused = False
            self._connection.resume()
        self._connection = None
        self._deadlines.drop(self)

    def got_error(self, error: ElsewhereError) -> None:
        self._fail(error)
        self._connection = None
        self._deadlines.drop(self)

    def settle(self) -> None:
        """After each read of the socket: hold the vendor back, or wake whoever waits."""
        self._tell()
        if self._held > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause()
