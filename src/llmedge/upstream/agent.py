"""``IAgent`` on our own connections, for the calls that are not hot: tokens, webhooks, whatever treq is good for."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import RESPONSES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IClientRequest, IResponse
from zope.interface import implementer

from llmedge.body import HIGH_WATER, BodyStream
from llmedge.config.sections.upstream import Upstream
from llmedge.deadlines import stop
from llmedge.errors import UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.client import Client
from llmedge.upstream.exchange import Exchange

TIMEOUT = 30.0
"""Seconds to the headers of an answer, by default: ``upstream.first_byte_timeout`` may be off, and no deadline of a
call holds here."""

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_URI = re.compile(rb"[\x21-\x7e]+")
_UNSAFE = re.compile(rb"[\x00\r\n]")
_OURS = {b"connection", b"content-length", b"expect", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"}
"""What belongs to the connection, or to how a body is framed on it."""
_WITH_BODY = {b"PATCH", b"POST", b"PUT"}
_log = Logger()


@implementer(IAgent)
class UpstreamAgent:
    """Asks through the pools of ``client``, with their limits and those of ``[upstream]``.

    Where it asks is for whoever uses it to answer for: give the ``origins`` it may ask, or hand it only what the
    configuration says, never a URL that came with a request or an answer. No redirect is followed; treq does that on
    top unless it is told ``allow_redirects=False``, and is refused where ``origins`` are given.

    :param origins: such as ``https://oauth2.googleapis.com``; ``None`` for all.
    :param timeout: seconds to the headers of an answer, connecting and sending included.
    """

    def __init__(
        self,
        reactor: Any,
        client: Client,
        limits: Upstream,
        origins: Collection[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._limits = limits
        self._origins = None if origins is None else {_origin(origin) for origin in origins}
        self._timeout = timeout

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """An ``IResponse``, when its headers are here. Cancelling closes the connection.

        Errors are those of :meth:`llmedge.upstream.client.Pool.send`; ``ValueError``: it cannot, or must not, be
        asked, which includes schemes other than http and https.
        """
        request = _Request(method, uri, headers.copy() if headers is not None else Headers())

        def explain(result: Any, timeout: float) -> Any:
            if isinstance(result, Failure) and isinstance(result.value, CancelledError):
                raise UpstreamTimeout(f"did not answer within {timeout:g} s")
            return result

        asking = Deferred.fromCoroutine(self._ask(request, bodyProducer))
        return asking.addTimeout(self._timeout, self._reactor, onTimeoutCancel=explain)

    async def _ask(self, request: _Request, producer: Any) -> _Response:
        if not _METHOD.fullmatch(request.method) or not _URI.fullmatch(request.absoluteURI):
            raise ValueError("not a method and a URI")
        url = request.absoluteURI.decode("ascii")
        origin = _origin(url)
        if self._origins is not None and origin not in self._origins:
            raise ValueError(f"{origin} is not among the origins that may be asked")
        attempt = Attempt(Target("agent", origin), self._reactor.seconds())
        routing = Routing()  # not a call's: nobody reads it
        pool = self._client.pool_for(url)
        body = None if producer is None else await _ProducedBody.of(producer)
        try:
            if body is None or body.data is not None:
                data = b"" if body is None or body.data is None else body.data
                length = len(data) if body is not None or request.method in _WITH_BODY else None
                exchange = await pool.send(request.head(length) + data, attempt, routing)
            else:
                exchange = await pool.send(request.head(body.length, body=True), attempt, routing, body)
        finally:
            if body is not None:
                body.close()
        return _Response(request, exchange, self._reactor, self._limits)


@implementer(IClientRequest)
@attrs.define
class _Request:
    method: bytes
    absoluteURI: bytes
    headers: Headers

    def head(self, length: int | None, body: bool = False) -> bytes:
        """Request line and headers. ``length`` is the body's, if there is one (``body``) ``None`` for chunks.

        :raises ValueError: a header would be two.
        """
        parts = urlsplit(self.absoluteURI)
        path = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
        lines = [b"%b %b HTTP/1.1" % (self.method, path)]
        if not self.headers.hasHeader(b"host"):
            lines.append(b"Host: " + parts.netloc)
        for name, values in self.headers.getAllRawHeaders():
            if name.lower() not in _OURS:
                lines += [b"%b: %b" % (name, value) for value in values]
        if any(_UNSAFE.search(line) for line in lines):
            raise ValueError("a header has a line break in it")
        if length is not None:
            lines.append(b"Content-Length: %d" % length)
        elif body:
            lines.append(b"Transfer-Encoding: chunked")
        return b"\r\n".join(lines) + b"\r\n\r\n"


@implementer(IResponse)
class _Response:
    """What was answered, as Twisted's agents tell it.

    The reason phrase is the status's usual one: HTTP gives it no meaning (RFC 9112 section 4). Of an answer whose
    body nobody asks for within ``upstream.idle_timeout`` the connection is closed.
    """

    version = (b"HTTP", 1, 1)

    def __init__(self, request: _Request, exchange: Exchange, reactor: Any, limits: Upstream) -> None:
        self.request = request
        self.code = exchange.status
        self.phrase: bytes = RESPONSES.get(self.code, b"")
        self.headers = Headers()
        for name, value in exchange.fields.items():
            self.headers.addRawHeader(name, value)
        self.previousResponse: Any = None
        self._exchange = exchange
        self._limits = limits
        self._delivered = False
        self._unread: Any = None
        bodiless = request.method == b"HEAD" or self.code in (204, 304)  # RFC 9112 section 6.3, rule 1
        length = exchange.fields.get(b"content-length", b"")
        chunked = b"transfer-encoding" in exchange.fields
        self.length: Any = int(length) if length.isdigit() and not chunked else UNKNOWN_LENGTH
        self._has_end = bodiless or chunked or self.length is not UNKNOWN_LENGTH
        if bodiless:
            self.length = 0
            exchange.abort()  # the parser would wait for what is not sent to HEAD; harmless if it does not
        elif self.length != 0:
            self._unread = reactor.callLater(limits.idle_timeout, self._nobody_reads)
        self._bodiless = bodiless

    def setPreviousResponse(self, response: Any) -> None:
        self.previousResponse = response

    def deliverBody(self, protocol: Any) -> None:
        """``ResponseDone`` ends a body that is whole, ``PotentialDataLoss`` one of which only the end of the
        connection says that it is (RFC 9112 section 6.3, rule 8), :class:`~llmedge.errors.TargetError` one that is
        cut, stalls or is larger than ``upstream.max_response_size``.
        """
        if self._delivered:
            raise RuntimeError("the body was delivered before")
        self._delivered = True
        stop(self._unread)
        end = ResponseDone() if self._has_end else PotentialDataLoss()
        delivery = _Delivery(self._exchange, protocol, self._limits.max_response_size, end)
        protocol.makeConnection(delivery)
        if self._bodiless:
            delivery.end(end)
        else:
            self._exchange.listen(delivery.deliver)
            delivery.deliver()

    def _nobody_reads(self) -> None:
        self._exchange.fail(UpstreamTimeout("answered with a body that nobody read"))


@implementer(IConsumer)
class _ProducedBody(BodyStream):
    """A :class:`~llmedge.model.UploadBody` made of an ``IBodyProducer``, which produces its body once.

    :ivar length: in bytes, as the producer says; ``None`` where it does not know.
    :ivar data: the whole body, if it was small: one of known length that is held anyway is sent in one piece, and
        again where a kept connection turns out closed.
    """

    whole = False

    def __init__(self, producer: Any) -> None:
        super().__init__(producer.pauseProducing, self._resume_producer)
        self.length: int | None = None if producer.length is UNKNOWN_LENGTH else int(producer.length)
        self.data: bytes | None = None
        self._producer = producer
        self._size = 0
        self._producing: Deferred[Any] | None = None

    @classmethod
    async def of(cls, producer: Any) -> _ProducedBody:
        """The body; a small one is all here then.

        :raises Exception: what the producer failed with. :raises ValueError: it is not as long as it says.
        """
        body = cls(producer)
        if body.length is not None and body.length <= HIGH_WATER:
            parts = []
            try:
                while data := await body.read():
                    parts.append(data)
            except BaseException:
                body.close()
                raise
            body.data = b"".join(parts)
        return body

    @property
    def again(self) -> bool:
        return self._producing is None

    def rewind(self) -> None:
        """Nothing was taken yet."""

    async def read(self) -> bytes:
        """The next piece; ``b""`` at the end. Errors as for :meth:`of`."""
        if self._producing is None:
            self._producing = Deferred()  # in case the producer is done at once, or asks for more
            self._producing = maybeDeferred(self._producer.startProducing, self)
            self._producing.addCallbacks(self._done, lambda failure: self.fail(failure.value))
        return await super().read()

    def close(self) -> None:
        """No more of it is wanted. Harmless when repeated, and at the end."""
        if not self.over:
            self.over = True
            if self._producing is not None:
                self._producer.stopProducing()

    def _done(self, _: Any) -> None:
        if self.length is not None and self._size < self.length:
            self.fail(ValueError(f"a body of {self.length} bytes had {self._size}"))
        self.end()

    def _resume_producer(self) -> None:
        if not self.over:
            self._producer.resumeProducing()

    # IConsumer, of the producer.

    def write(self, data: bytes) -> None:
        if self.over:
            return
        self._size += len(data)
        if self.length is not None and self._size > self.length:
            self.fail(ValueError(f"a body of {self.length} bytes has more"))
            self._producer.stopProducing()
        else:
            self.feed(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Body producers do not register (``IBodyProducer``)."""

    def unregisterProducer(self) -> None: ...


@attrs.define(eq=False)
class _Delivery:
    """Takes a body to ``protocol``, whose transport it is.

    :param end_reason: what to tell it of a whole one.
    """

    _exchange: Exchange
    _protocol: Any
    _limit: int
    _end_reason: Exception
    _size: int = 0
    _paused: bool = False
    _delivering: bool = False
    disconnecting: bool = False

    def deliver(self) -> None:
        """Hand on what is here; called when there is more."""
        if self._delivering:
            return  # from within ``dataReceived``: the loop below goes on
        self._delivering = True
        try:
            while not self._paused and not self.disconnecting:
                data = self._exchange.take()
                if data is None:
                    self._exchange.expect()
                    break
                self._size += len(data)
                if self._size > self._limit:
                    raise UpstreamTooLarge(f"answered with more than {self._limit} bytes (upstream.max_response_size)")
                if not data:
                    self.end(self._end_reason)
                else:
                    self._protocol.dataReceived(data)
        except Exception as error:
            self.end(error)
        self._delivering = False
        if self.disconnecting:
            self.end(ConnectionAborted())

    def end(self, reason: Exception) -> None:
        """Nothing more comes; the first reason is told."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self.disconnecting = True
            self._exchange.listen(None)
            self._exchange.abort()
            try:
                protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]  # twisted has no types here
            except Exception:
                _log.failure("whoever read an answer failed")

    # The protocol's transport, as far as Twisted's agents have one.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self.deliver()

    def loseConnection(self) -> None:
        """No more is wanted."""
        self.disconnecting = True
        self.deliver()

    stopProducing = abortConnection = loseConnection


def _origin(url: str) -> str:
    """Scheme, host and port, the latter if it is not the scheme's own.

    :raises ValueError: it is none, or has a user name in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("only http:// and https:// URLs without a user name can be asked for")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")
