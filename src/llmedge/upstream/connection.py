"""One HTTP/1.1 connection to a vendor (RFC 9112), parsed by llhttp, and the exchange it carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httptools
from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.settings import Upstream
from llmedge.deadlines import Deadlines
from llmedge.errors import UpstreamCut, UpstreamMalformed
from llmedge.model import Attempt, Clock, Record
from llmedge.sockets import unsent, was_closed, write_now
from llmedge.upstream.exchange import Exchange

_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,5})")  # RFC 2068 section 19.7.1.1, in wide use still
_SINGLE = {b"content-type", b"content-encoding", b"retry-after", b"retry-after-ms", b"keep-alive"}
"""Headers that are no lists: of several the last one counts."""
_MAX_HEADERS = 200
_MAX_HEADER_BYTES = 65536


class StaleConnection(UpstreamCut):
    """A kept connection turned out to be closed before any byte of the request went out: safe to send again."""

    def __init__(self) -> None:
        super().__init__("closed the connection before its answer was complete")


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
        self._field_bytes = 0  # of all heads of an answer: there may be interim ones
        self._field_count = 0
        self._head_bytes = 0  # read before the last head was complete
        self._headed = False
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
        self._opening: Deferred[Connection] | None = Deferred(lambda _: self.abort())
        self._parser: Any = httptools.HttpResponseParser(self)

    # Twisted's side.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        if not self._secure:
            self._became_ready()

    def handshakeCompleted(self) -> None:
        self._became_ready()

    def ready(self) -> Deferred[Connection]:
        """Fires with this connection when requests can be sent on it, with TLS after the handshake."""
        return self._opening or succeed(self)

    def _became_ready(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None and not opening.called:
            opening.callback(self)

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
            if not self._headed:
                self._head_bytes += len(data)
                self._oversize = self._oversize or self._head_bytes > _MAX_HEADER_BYTES
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
        self._parser = None  # it knows this connection
        if self._opening is not None and not self._opening.called:
            self._opening.errback(reason)
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
        self._field_bytes = self._field_count = self._head_bytes = 0
        self._headed = False
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
        self._field_count += 1  # or interim answers could go on for ever
        self._oversize = self._field_count > _MAX_HEADERS
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._surplus or self._headed:  # trailers say nothing of what came before them (RFC 9110 section 6.5.1)
            return
        self._field_count += 1
        self._field_bytes += len(name) + len(value)
        if self._field_count > _MAX_HEADERS or self._field_bytes > _MAX_HEADER_BYTES:
            self._oversize = True
        else:
            name = name.lower()
            before = self._fields.get(name)
            if before is not None and name not in _SINGLE:
                value = b"%b, %b" % (before, value)  # RFC 9110 section 5.3
            self._fields[name] = value

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        self._status = self._parser.get_status_code()
        fields = self._fields
        self._framed = b"content-length" in fields or b"transfer-encoding" in fields or self._status in (204, 304)
        self._headed = self._status >= 200
        if self._headed and self._exchange is not None and not self._oversize:
            self._exchange.got_headers(self._status, self._fields)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None and not self._surplus:
            self._exchange.got_body(body)

    def on_message_complete(self) -> None:
        if self._status >= 200 and not self._surplus:  # an interim answer (1xx) is only the beginning
            self._finished = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser knows until the next message begins
