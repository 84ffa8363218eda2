"""Chat over a WebSocket (RFC 6455): each text message is a chat request, its answer comes as one message an event.

Each message becomes a request of its own that goes through the whole onion, with a writer that turns what is written
to it into messages: the same authentication, limits, deadline and record as for a POST.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import deque
from collections.abc import Collection
from typing import Any

import msgspec
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from llmedge.deadlines import stop
from llmedge.dialects.sse import SseParser
from llmedge.errors import EdgeError, ValidationError
from llmedge.web.paths import CHAT
from llmedge.web.request import EdgeRequest

WAITING = 8
WAITING_BYTES = 1048576
"""Messages that may wait while one is answered, and their bytes."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEPT = (
    b"authorization x-api-key api-key upgrade sec-websocket-protocol x-forwarded-for host traceparent tracestate"
    b" x-llmedge-guardrails"
).split()
"""Headers of the handshake that each message has as well."""
_KEY_PROTOCOL = b"openai-insecure-api-key."
_encode = msgspec.json.encode


def wants_upgrade(request: EdgeRequest) -> bool:
    """Whether ``request`` asks for a WebSocket."""
    return (request.getHeader(b"upgrade") or b"").lower() == b"websocket"


def may_open(request: Any, origins: Collection[str]) -> bool:
    """Whether who asks may open a WebSocket. Browsers let any page open one anywhere, so that the rule of CORS has to
    be kept on this side: for pages that are not the gateway's own, or came without TLS where that has it. A key in a
    header was put there by no page: none can (WHATWG WebSockets, section 3.1).

    :param origins: of web pages that may; ``"*"`` for all.
    """
    origin = request.getHeader(b"origin")
    if origin is None or not {"*", origin.decode("latin-1")}.isdisjoint(origins):
        return True
    if (request.getHeader(b"authorization") or b"").lower().startswith(b"bearer "):
        return True
    if any(request.getHeader(name) for name in (b"x-api-key", b"x-goog-api-key", b"api-key")):
        return True
    scheme, _, place = origin.lower().partition(b"://")
    port = {b"http": b":80", b"https": b":443"}.get(scheme, b"")
    host = (request.getHeader(b"host") or b"").lower()
    # Behind a proxy that ends TLS ours is not the scheme of the page.
    good = scheme == b"https" or (scheme == b"http" and not request.isSecure())
    return bool(good and place.removesuffix(port) == host.removesuffix(port))


def accept(request: EdgeRequest) -> ChatSocket:
    """Answer the handshake (RFC 6455 section 4.2) and take the connection over.

    :raises ValidationError: the handshake is not one.
    """
    connection = (request.getHeader(b"connection") or b"").lower()
    key = request.getHeader(b"sec-websocket-key") or b""
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if request.clientproto != b"HTTP/1.1" or b"upgrade" not in connection or len(nonce) != 16:
        raise ValidationError("This is not a WebSocket handshake (RFC 6455 section 4.2.1).")
    if request.getHeader(b"sec-websocket-version") != b"13":
        request.responseHeaders.setRawHeaders(b"sec-websocket-version", [b"13"])
        raise ValidationError("Only WebSocket version 13 is spoken here.", status=426)
    headers = {
        b"upgrade": b"websocket",
        b"connection": b"Upgrade",
        b"sec-websocket-accept": base64.b64encode(hashlib.sha1(key + _GUID).digest()),  # noqa: S324 - RFC 6455
        b"x-request-id": request.context.record.request_id.encode(),
        b"server": b"llmedge",
    }
    offered = [name.strip() for name in (request.getHeader(b"sec-websocket-protocol") or b"").split(b",")]
    if chosen := next((name for name in offered if name and not name.startswith(_KEY_PROTOCOL)), None):
        headers[b"sec-websocket-protocol"] = chosen  # never the one that is a key
    request.upgrade()
    head = b"".join(b"%b: %b\r\n" % item for item in headers.items())
    channel: Any = request.channel
    channel.connection().write(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n")
    return ChatSocket(request, channel)


class ChatSocket:
    """One WebSocket. Answers its messages one after another."""

    def __init__(self, handshake: EdgeRequest, channel: Any) -> None:
        self.handshake = handshake
        self.edge = channel.edge
        self.channel = channel
        self._transport = channel.connection()
        self._connection = Connection(ConnectionType.SERVER)
        self._parts: list[bytes] = []
        self._size = 0  # of the message that is coming
        self._since = 0.0  # when it began to
        self._waiting: deque[bytes] = deque()
        self._pong: Any = None  # what answers the last ping
        self._stalled: Any = None
        self._current: EdgeRequest | None = None
        self._count = 0
        self._leaving = False
        self._silent = 0
        self._timer: Any = None
        channel.upgrade(self)  # one of HTTP/1.1, as the handshake is
        self._schedule()

    # From the client

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        self._silent = 0
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._handle(event)
                if self._closed:
                    return
            if self._pong is not None:
                pong, self._pong = self._pong, None
                self._send(pong)
        except RemoteProtocolError as error:
            self._close(error.event_hint.code if isinstance(error.event_hint, CloseConnection) else 1002)

    def _handle(self, event: Any) -> None:
        if isinstance(event, TextMessage):
            self._take(event.data.encode("utf-8", "surrogatepass"), event.message_finished)
        elif isinstance(event, BytesMessage):
            self._close(1003, "text messages only")
        elif isinstance(event, Ping):
            self._pong = event.response()  # of several the last is answered (RFC 6455 section 5.5.3)
        elif isinstance(event, CloseConnection):
            self._send(event.response())
            self._end()

    def _take(self, part: bytes, finished: bool) -> None:
        """A part of a message, perhaps its last."""
        if not self._parts:
            self._since = self.edge.clock.seconds()
        self._parts.append(part)
        self._size += len(part)
        if self._size > self.edge.limits.max_request_size:
            self._close(1009, "message too big (server.max_request_size)")
        elif not self._hold():
            self._close(1013, "too many bytes are held (server.max_held)")
        elif finished:
            message = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._message(message)

    def _message(self, message: bytes) -> None:
        waiting = self._waiting
        if self._current is None:
            self._ask(message)
        elif len(waiting) < WAITING and len(message) + sum(map(len, waiting)) <= WAITING_BYTES:
            waiting.append(message)
        else:
            most = f"{WAITING} messages or {WAITING_BYTES} bytes"
            self.say(_encode(ValidationError(f"More than {most} wait for their answer.").body()))

    def _hold(self) -> bool:
        """Count what is coming and what waits; what is being answered counts as a request does."""
        return self.handshake.keep(self._size + sum(map(len, self._waiting)))

    def connection_lost(self, reason: Failure) -> None:
        stop(self._timer)
        self._give_up(reason)

    def _give_up(self, reason: Failure) -> None:
        """Nobody waits for an answer any more."""
        stop(self._stalled)
        self._leaving = True
        self._waiting.clear()
        self._parts.clear()
        current, self._current = self._current, None
        if current is not None:
            current.connectionLost(reason)

    # One message

    def _ask(self, body: bytes) -> None:
        self._count += 1
        self._hold()
        try:
            fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            fields["stream"] = msgspec.Raw(b"true")
            body = _encode(fields)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the onion says what is wrong with it
        request = self._current = EdgeRequest(MessageWriter(self))
        headers = request.requestHeaders
        for name in _KEPT:
            if values := self.handshake.requestHeaders.getRawHeaders(name):
                headers.setRawHeaders(name, values)
        headers.setRawHeaders(b"content-type", [b"application/json"])
        headers.setRawHeaders(b"x-request-id", [f"{self.handshake.context.record.request_id}-{self._count}".encode()])
        request.gotLength(len(body))
        request.handleContentChunk(body)
        request.requestReceived(b"POST", CHAT, b"HTTP/1.1")

    def answered(self) -> None:
        """The current message has its answer: on with the next."""
        self._current = None
        if self._waiting:
            self.edge.clock.callLater(0, self._next)
        elif self._leaving:
            self._close(1001, "the gateway is stopping")

    def _next(self) -> None:
        if self._current is None and self._waiting and not self._closed:
            self._ask(self._waiting.popleft())

    # To the client

    @property
    def _closed(self) -> bool:
        return self._connection.state is not ConnectionState.OPEN

    def say(self, data: bytes) -> None:
        """Send one text message."""
        if not self._closed:
            self._send(TextMessage(data.decode("utf-8", "replace")))

    def _send(self, event: Any) -> None:
        self._transport.write(self._connection.send(event))

    def _close(self, code: int, reason: str = "") -> None:
        if not self._closed:
            self._send(CloseConnection(code, reason))
            self._end()

    def _end(self) -> None:
        """The last frame is written: whatever is under way ends, and then the connection."""
        stop(self._timer)
        self._give_up(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
        self.channel.break_off()

    def drain(self) -> None:
        """The service stops: close when the message under way, if there is one, is answered."""
        self._leaving = True
        self._waiting.clear()
        if self._current is None:
            self._close(1001, "the gateway is stopping")

    def cut(self, error: EdgeError) -> None:
        """End the answer to the message under way with ``error``, then close."""
        self.drain()
        if self._current is not None and not self._current.context.cut(error):
            self._close(1001, "the gateway is stopping")

    # Does the client read? If not, nothing of it is read either.

    def blocked(self) -> None:
        stop(self._stalled)
        self._stalled = self.edge.clock.callLater(
            self.edge.limits.write_timeout, self._check_progress, self.channel.progress()
        )

    def unblocked(self) -> None:
        stop(self._stalled)

    def _check_progress(self, before: int) -> None:
        if self.channel.progress() == before:
            self.channel.abort()
        else:
            self.blocked()

    # Is the client there? Half an idle_timeout of silence brings a ping, two of them the end.

    def _schedule(self) -> None:
        self._timer = self.edge.clock.callLater(self.edge.limits.idle_timeout / 2, self._check_silence)

    def _check_silence(self) -> None:
        self._silent += 1
        late = self._parts and self.edge.clock.seconds() - self._since > self.edge.limits.body_timeout
        if self._silent > 2 or late:
            self._transport.abortConnection()
            return
        if not self._closed:
            self._send(Ping(b"llmedge"))
        self._schedule()


class MessageWriter:
    """The :class:`llmedge.web.writer.Writer` of one message's answer: each event becomes a message."""

    transport = None

    def __init__(self, socket: ChatSocket) -> None:
        self._socket = socket
        self._channel = channel = socket.channel
        self.edge = socket.edge
        self._events: SseParser | None = None
        self._body = b""
        # The connection, its other end and its pace are those of the socket.
        self.abort = channel.abort
        self.progress = channel.progress
        self.connection = channel.connection
        self.registerProducer = channel.registerProducer
        self.unregisterProducer = channel.unregisterProducer
        self.ends, self.isSecure = channel.ends, channel.isSecure

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: Headers, lines: list[bytes], has_body: bool
    ) -> None:
        if headers.getRawHeaders(b"content-type", [b""])[0].startswith(b"text/event-stream"):
            self._events = SseParser(2**31)

    def write_body(self, data: bytes, last: bool) -> None:
        if self._events is None:
            self._body += data
        else:
            for event in self._events.feed(data):
                self._socket.say(event.data)

    def requestDone(self, request: Any) -> None:
        if self._body:
            self._socket.say(self._body)
        self._socket.answered()

    def break_off(self) -> None:
        """The answer broke: its error event is out, [DONE] never comes, the socket stays for the next message."""
        request = self._socket._current
        if request is not None:
            self.edge.clock.callLater(0, self._broken, request)

    def _broken(self, request: EdgeRequest) -> None:
        if self._socket._current is request:
            request.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
            self._socket.answered()

    def refuse_soon(self, request: Any) -> None:
        """Its body is complete already."""
