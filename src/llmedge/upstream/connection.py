"""One HTTP/1.1 connection to a vendor (RFC 9112), parsed by llhttp, and the exchange it carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httptools
from twisted.internet import protocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.settings import Upstream
from llmedge.deadlines import Deadlines
from llmedge.errors import ElsewhereError, UpstreamCut, UpstreamMalformed, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Attempt, Clock, Record
from llmedge.sockets import unsent, was_closed, write_now
from llmedge.upstream.sender import Sender

HIGH_WATER = 65536
"""Bytes an exchange holds for a slow consumer before the vendor's socket is paused."""

GO_ON = "go on with its answer"
_DRAIN_SECONDS = 1.0
_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,5})")  # RFC 2068 section 19.7.1.1, in wide use still
_MAX_HEADERS = 200
_MAX_HEADER_BYTES = 65536


class StaleConnection(UpstreamCut):
    """A kept connection turned out to be closed before any byte of the request went out: safe to send again."""

    def __init__(self) -> None:
        super().__init__("closed the connection before its answer was complete")


class Exchange:
    """One request on one connection and the response to it.

    The consumer pulls: :meth:`headers`, then :meth:`read` until ``b""``. While it does not pull, at most
    :data:`HIGH_WATER` bytes and one socket read are held, and the vendor's socket is paused.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        limits: Upstream,
        attempt: Attempt,
        record: Record,
        deadlines: Deadlines,
    ) -> None:
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self._connection: Connection | None = connection
        self._clock = clock
        self._deadlines = deadlines
        self._limits = limits
        self._attempt = attempt
        self._record = record
        self._chunks: list[bytes] = []
        self._held = 0
        self._paused = False
        self._draining = False
        self._drained_out = False
        self._headers_done = False
        self._complete = False
        self._error: ElsewhereError | None = None
        self._waiter: Deferred[None] | None = None
        self._patience = 0.0
        self._phase = ""
        self.sender: Sender | None = None

    @property
    def settled(self) -> bool:
        """Nothing more of the request need be sent: it was answered in full, or with an error, or has failed."""
        return self._complete or self._error is not None or self.status >= 300

    async def headers(self) -> int:
        """Wait for the status line and headers; their status.

        :raises ElsewhereError: cut, malformed, or silent for ``first_byte_timeout``.
        """
        while not self._headers_done:
            if self._error is not None:
                raise self._error
            await self._wait(self._limits.first_byte_timeout, "send the first byte of its answer")
        return self.status

    async def read(self, patience: float | None = None, what: str = GO_ON) -> bytes:
        """What has arrived since the last call, at least one byte; ``b""`` at the end.

        :param patience: seconds of silence allowed; ``upstream.idle_timeout`` by default, 0 for no limit.
        :param what: what the vendor owes, for the message.
        :raises ElsewhereError: cut, malformed, or silent for too long. What arrived before comes first.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            await self._wait(self._limits.idle_timeout if patience is None else patience, what)
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

    def fail(self, error: ElsewhereError) -> None:
        """Give up: close the connection, and tell whoever waits."""
        self._fail(error)
        self.abort()
        self._tell()

    # Waiting.

    async def _wait(self, patience: float, what: str) -> None:
        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        self._phase = what
        self._patience = patience
        now = self._clock.seconds()
        if patience:
            self._deadlines.set(self, now + patience)
        self._record.begin_wait(now)
        try:
            await waiter
        except CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None
            self._record.end_wait(self._clock.seconds())

    def expire(self) -> None:
        """What was waited for did not come in time."""
        if self._draining:
            self._drained_out = True
            self.abort()
        elif self._waiter is not None and self._patience:
            cause = "stall" if self._phase == GO_ON else "silent"
            self.fail(UpstreamTimeout(f"did not {self._phase} within {self._patience:g} s", cause=cause))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def _tell(self) -> None:
        if self._waiter is not None:
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
        self._connection = None
        self._deadlines.drop(self)

    def got_error(self, error: ElsewhereError) -> None:
        self._fail(error)
        self._connection = None
        self._deadlines.drop(self)

    def settle(self) -> None:
        """After each read of the socket: hold the vendor back, or wake whoever waits."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.callback(None)
        if self.sender is not None:
            self.sender.news()
        if self._held > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause()


def shared_deadlines(clock: Clock) -> Deadlines:
    """For the connections of a pool and their exchanges: how long they may be idle, or silent."""
    return Deadlines(clock, lambda what: what.expire())


@implementer(IHandshakeListener)
class Connection(protocol.Protocol):
    """A persistent connection. ``on_idle`` takes it back when an exchange is over, ``on_lost`` when it is gone.

    :ivar sending: the request at hand is not out yet.
    """

    def __init__(
        self,
        clock: Clock,
        limits: Upstream,
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        secure: bool,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._clock = clock
        self._deadlines = deadlines or shared_deadlines(clock)
        self._limits = limits
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._secure = secure
        self.sending = False
        self._exchange: Exchange | None = None
        self._fields: dict[bytes, bytes] = {}
        self._field_bytes = 0
        self._field_count = 0
        self._status = 0
        self._framed = False
        self._finished = False
        self._keep_alive = False
        self._oversize = False
        self._surplus = False
        self._request_size = 0
        self._used = 0
        self._lost = False
        self._aborted = False
        self.ready: Deferred[Connection] = Deferred(lambda _: self.abort())
        self._parser = httptools.HttpResponseParser(self)

    # Twisted's side.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        if not self._secure:
            self._became_ready()

    def handshakeCompleted(self) -> None:
        self._became_ready()

    def _became_ready(self) -> None:
        if not self.ready.called:
            self.ready.callback(self)

    def dataReceived(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()  # an answer to nothing
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            exchange.got_error(UpstreamMalformed("answered with something that is not HTTP/1.1"))
            self._exchange = None
            self.abort()
        else:
            if self._oversize:
                exchange.got_error(UpstreamMalformed("answered with more headers than the gateway takes"))
                self._exchange = None
                self.abort()
            elif self._finished:
                self._finished = False
                self._exchange = None
                exchange.got_end()
                if self.sending:
                    self.abort()  # it wanted no more of the request
                elif self._keep_alive and not self._surplus:
                    self._rest()
                else:
                    self.lose()
        exchange.settle()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._lost = True
        self._deadlines.drop(self)
        if not self.ready.called:
            self.ready.errback(reason)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.status and not self._framed:
                exchange.got_end()  # RFC 9112 section 6.3, rule 8
            elif self._used > 1 and unsent(self.transport) >= self._request_size:
                exchange.got_error(StaleConnection())
            else:
                cause = "cut" if exchange.status else "reset"
                exchange.got_error(UpstreamCut("closed the connection before its answer was complete", cause=cause))
            exchange.settle()
        self._on_lost(self)

    # The pool's side.

    @property
    def usable(self) -> bool:
        return not self._lost and not self._aborted and not was_closed(self.transport)

    def start(self, request: bytes, attempt: Attempt, record: Record) -> Exchange:
        """Send ``request``: head and body, or the head alone and the body with :meth:`send`. Only on a connection that
        carries no exchange."""
        assert self._exchange is None
        deadlines = self._deadlines
        deadlines.drop(self)
        exchange = self._exchange = Exchange(self, self._clock, self._limits, attempt, record, deadlines)
        self._request_size = len(request)
        self._used += 1
        attempt.reused = self._used > 1
        write_now(self.transport, request)
        return exchange

    def send(self, data: bytes) -> None:
        """More of the request."""
        self._request_size += len(data)
        transport: Any = self.transport
        transport.write(data)

    def abort(self) -> None:
        self._exchange = None
        self._aborted = True
        self._deadlines.drop(self)
        if not self._lost and self.transport is not None:
            transport: Any = self.transport
            transport.abortConnection()

    def pause(self) -> None:
        if not self._lost:
            transport: Any = self.transport
            transport.pauseProducing()

    def resume(self) -> None:
        if not self._lost:
            transport: Any = self.transport
            transport.resumeProducing()

    def _rest(self) -> None:
        seconds = self._limits.keepalive
        if (told := self._fields.get(b"keep-alive")) and (hint := _KEEP_ALIVE.search(told)):
            seconds = min(seconds, int(hint[1]) - 1.0)  # a second before the vendor closes
        if seconds > 0:
            self._deadlines.set(self, self._clock.seconds() + seconds)
            self._on_idle(self)
        else:
            self.lose()

    def lose(self) -> None:
        """Close after what is written."""
        self._aborted = True
        self._deadlines.drop(self)
        if not self._lost and self.transport is not None:
            transport: Any = self.transport
            transport.loseConnection()

    expire = lose

    # llhttp's side. These only collect: nobody is woken while the parser is on the stack.

    def on_message_begin(self) -> None:
        if self._finished:
            self._surplus = True  # a second answer to one request: not read, and the connection is not kept
            return
        self._fields = {}
        self._field_bytes = self._field_count = 0
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._surplus:
            return
        self._field_count += 1
        self._field_bytes += len(name) + len(value)
        if self._field_count > _MAX_HEADERS or self._field_bytes > _MAX_HEADER_BYTES:
            self._oversize = True
        else:
            self._fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        self._status = self._parser.get_status_code()
        fields = self._fields
        self._framed = b"content-length" in fields or b"transfer-encoding" in fields or self._status in (204, 304)
        if self._status >= 200 and self._exchange is not None and not self._oversize:
            self._exchange.got_headers(self._status, self._fields)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None and not self._surplus:
            self._exchange.got_body(body)

    def on_message_complete(self) -> None:
        if self._status >= 200 and not self._surplus:  # an interim answer (1xx) is only the beginning
            self._finished = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser knows until the next message begins
