"""One HTTP/1.1 connection to a vendor (RFC 9112), parsed by llhttp, and the exchange it carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum, auto
from typing import Any

import httptools
from OpenSSL import SSL
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.sections.upstream import Upstream
from llmedge.deadlines import Deadlines
from llmedge.errors import ConnectFailed, UpstreamCut, UpstreamMalformed
from llmedge.model import Clock
from llmedge.record import Attempt, Routing
from llmedge.sockets import unsent, was_closed, write_now
from llmedge.upstream.exchange import Exchange
from llmedge.upstream.reasons import tls_reason

_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,5})")  # RFC 2068 section 19.7.1.1, in wide use still
_SINGLE = {b"content-type", b"content-encoding", b"retry-after", b"retry-after-ms", b"keep-alive"}
"""Headers that are no lists: of several the last one counts."""
_MAX_HEADERS = 200
_MAX_HEADER_BYTES = 65536


class State(IntEnum):
    """Where a connection stands; docs/states.rst draws the ways from one to the next."""

    OPENING = auto()  # it is not ready for requests, as before the end of the TLS handshake
    IDLE = auto()  # it carries no exchange
    HEAD = auto()  # a request is going out, or is out: the head of the answer is awaited, after interim answers (1xx)
    BODY = auto()  # the head was read, and the body is coming
    ANSWERED = auto()  # the whole answer was read; the connection can be used again
    SPENT = auto()  # the whole answer was read; the connection cannot be used again
    OVERSIZE = auto()  # the vendor sent more headers than the gateway takes
    CLOSING = auto()  # the gateway closed it
    LOST = auto()  # it is gone


OPENING, IDLE, HEAD, BODY, ANSWERED, SPENT, OVERSIZE, CLOSING, LOST = State  # a global is found faster than a member

_CLOSE_SECONDS = 5.0

TRANSITIONS = {
    "ready": {OPENING: IDLE},
    "start": {IDLE: HEAD},
    "headers": {HEAD: BODY},
    "too large": {HEAD: OVERSIZE},
    "end": {BODY: ANSWERED},
    "last end": {BODY: SPENT},
    "more": {ANSWERED: SPENT},  # a second answer to one request
    "rest": {ANSWERED: IDLE},
    "close": {state: CLOSING for state in State if state is not LOST},
    "lost": {state: LOST for state in State if state is not LOST},
}
"""By event, which state follows which. Anything else would be a defect of ours."""


class StaleConnection(UpstreamCut):
    """A kept connection turned out to be closed before any byte of the request went out: safe to send again."""

    def __init__(self) -> None:
        super().__init__("closed the connection before its answer was complete")


@implementer(IHandshakeListener)
class Connection(protocol.Protocol):
    """A persistent connection. ``on_idle`` takes it back when an exchange is over, ``on_lost`` when it is gone.

    :param deadlines: those of the pool, on one timer: how long its connections may be idle, or silent.
    :ivar ready: fires with this connection when requests can be sent on it, with TLS after the handshake.
    :ivar sending: the request at hand is not out yet.
    """

    transport: Any

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
        self._deadlines = deadlines or Deadlines(clock, Connection.expire)
        self._limits = limits
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._secure = secure
        self.sending = False
        self._state = OPENING
        self._exchange: Exchange | None = None
        self._status = 0
        self._fields: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._field_bytes = 0  # of all heads of an answer: there may be interim ones
        self._field_count = 0
        self._head_bytes = 0  # read before the last head was complete
        self._request_size = 0
        self._used = 0
        self.ready: Deferred[Connection] = Deferred(lambda _: self.abort())
        self._parser: Any = httptools.HttpResponseParser(self)

    # Twisted's side.

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            with suppress(OSError):  # a unix socket has no such thing
                self.transport.setTcpNoDelay(True)
        if not self._secure:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        if self._state is OPENING:
            self._state = TRANSITIONS["ready"][self._state]
            self.ready.callback(self)

    def dataReceived(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()  # an answer to nothing
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            exchange.got(self._status, self._fields, self._chunks)
            exchange.fail(UpstreamMalformed("answered with something that is not HTTP/1.1"))
            return
        if self._state is HEAD:
            self._head_bytes += len(data)
            if self._head_bytes <= _MAX_HEADER_BYTES:
                return  # there is nothing to tell
            self._state = TRANSITIONS["too large"][HEAD]
        if self._state is OVERSIZE:
            exchange.fail(UpstreamMalformed("answered with more headers than the gateway takes"))
            return
        chunks, self._chunks = self._chunks, []
        if self._state is BODY:
            exchange.got(self._status, self._fields, chunks)
        else:
            self._end(exchange, chunks)
        exchange.notify()

    def _end(self, exchange: Exchange, chunks: list[bytes]) -> None:
        """The answer is whole, with its last ``chunks``: keep the connection for another, or close it."""
        self._exchange = None
        exchange.got(self._status, self._fields, chunks, whole=True)
        seconds = self._limits.keepalive
        if (field := self._fields.get(b"keep-alive")) and (hint := _KEEP_ALIVE.search(field)):
            seconds = min(seconds, int(hint[1]) - 1.0)  # a second before the vendor closes
        if self.sending:
            self.abort()  # the vendor wanted no more of the request
        elif self._state is SPENT or seconds <= 0:
            self.lose()
        else:
            self._state = TRANSITIONS["rest"][ANSWERED]
            self._deadlines.set(self, (exchange.heard or self._clock.seconds()) + seconds)
            self._on_idle(self)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        before = self._state
        self._state = TRANSITIONS["lost"][self._state]
        self._deadlines.drop(self)
        self._parser = None  # it knows this connection
        if not self.ready.called:
            self.ready.errback(reason)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            framed = b"content-length" in exchange.fields or b"transfer-encoding" in exchange.fields
            if before is BODY and not framed and exchange.status not in (204, 304):
                exchange.got(self._status, self._fields, [], whole=True)  # RFC 9112 section 6.3, rule 8
                exchange.notify()
            elif self._used > 1 and unsent(self.transport) >= self._request_size:
                exchange.fail(StaleConnection())
            elif isinstance(reason.value, SSL.Error) and self._used == 1 and not exchange.status:
                # With TLS 1.3 a vendor says what it has against our certificate after the handshake.
                exchange.fail(ConnectFailed(f"broke off: TLS failed: {tls_reason(reason.value)}", cause="tls"))
            else:
                cause = "cut" if before is BODY else "reset"
                exchange.fail(UpstreamCut("closed the connection before its answer was complete", cause=cause))
        self._on_lost(self)

    # The pool's side.

    @property
    def usable(self) -> bool:
        """A request can be sent on it, and where it carried one before, the vendor has not closed it since."""
        return self._state is IDLE and not (self._used and was_closed(self.transport))

    def start(self, request: bytes, attempt: Attempt, routing: Routing) -> Exchange | None:
        """Send ``request``: head and body, or the head alone and the body with :meth:`send`.

        :returns: ``None`` where the connection is not :attr:`usable`; it is closed then.
        """
        if not self.usable:
            self.abort()
            return None
        self._state = TRANSITIONS["start"][self._state]
        exchange = self._exchange = Exchange(self, self._clock, self._limits, attempt, routing)
        self._request_size = len(request)
        self._status = self._field_bytes = self._field_count = self._head_bytes = 0
        self._used += 1
        attempt.reused = self._used > 1
        write_now(self.transport, request)
        return exchange

    def send(self, data: bytes) -> None:
        """More of the request."""
        self._request_size += len(data)
        self.transport.write(data)

    def abort(self) -> None:
        """Close at once."""
        self._exchange = None
        self._deadlines.drop(self)
        if self._state is not LOST:
            self._state = TRANSITIONS["close"][self._state]
            self.transport.abortConnection()

    def lose(self) -> None:
        """Close after what is written."""
        self._deadlines.drop(self)
        if self._state is not LOST:
            self._state = TRANSITIONS["close"][self._state]
            self._deadlines.set(self, self._clock.seconds() + _CLOSE_SECONDS)
            self.transport.loseConnection()

    def expire_at(self, due: float) -> None:
        self._deadlines.set(self, due)

    def expire(self) -> None:
        """The time is over that was set last: to keep the connection at rest, or for its exchange."""
        if self._state is CLOSING:
            self.abort()  # within TLS the vendor has a word in it
        elif self._exchange is None:
            self.lose()
        else:
            self._exchange.expire()

    def pause(self) -> None:
        if self._state is not LOST:
            self.transport.pauseProducing()

    def resume(self) -> None:
        if self._state is not LOST:
            self.transport.resumeProducing()

    # llhttp's side. These only collect: nobody is woken while the parser is on the stack.

    def on_message_begin(self) -> None:
        if self._state is HEAD:
            self._fields = {}
            self._field_count += 1  # or interim answers could go on for ever
            if self._field_count > _MAX_HEADERS:
                self._state = TRANSITIONS["too large"][self._state]
        elif self._state is ANSWERED:
            self._state = TRANSITIONS["more"][self._state]

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state is not HEAD:  # trailers say nothing of what came before them (RFC 9110 section 6.5.1)
            return
        self._field_count += 1
        self._field_bytes += len(name) + len(value)
        if self._field_count > _MAX_HEADERS or self._field_bytes > _MAX_HEADER_BYTES:
            self._state = TRANSITIONS["too large"][self._state]
            return
        name = name.lower()
        before = self._fields.get(name)
        if before is not None and name not in _SINGLE:
            value = b"%b, %b" % (before, value)  # RFC 9110 section 5.3
        self._fields[name] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._state is HEAD and status >= 200:  # else it is an interim answer
            self._state = TRANSITIONS["headers"][self._state]
            self._status = status

    def on_body(self, body: bytes) -> None:
        if self._state is BODY:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._state is BODY:  # the parser knows whether the connection can be kept until the next message begins
            event = "end" if self._parser.should_keep_alive() else "last end"
            self._state = TRANSITIONS[event][BODY]
