"""What requests ask of an HTTP/1.1 connection: to write, to keep its client's pace, to end."""

from __future__ import annotations

from typing import Any

from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.web.http_headers import Headers
from zope.interface import implementer

from llmedge.sockets import unsent, write_now
from llmedge.web.http1 import LINGER


@implementer(IPushProducer)
class Channel:
    """The half of ``LlhttpChannel`` that twisted.web's requests know as ``HTTPChannel``.

    :ivar requests: the one at hand, if there is one.
    :ivar persistent: another request may follow.
    """

    holds_head = True
    transport: Any = None
    websocket: Any = None

    def __init__(self, clock: Any) -> None:
        self.requests: list[Any] = []
        self.persistent = True
        self._clock = clock
        self._phase = ""  # what is waited for: "header", "body", "idle"; nothing while an answer is made
        self._handling = False  # requests[0] is at work
        self._reading = False  # and its body is not here yet
        self._discarding = False  # what is still read is thrown away
        self._held = False  # the body's reader wants no more
        self._blocked = False  # the transport takes no more
        self._answer = b""  # the head of an answer, until its first byte of body
        self._producer: Any = None
        self._closing: Any = None

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._peer, self._host = transport.getPeer(), transport.getHost()  # each a system call

    def _go_on(self) -> None:
        """The transport takes more: on with what was read already."""

    # What requests write.

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """As twisted's requests say it."""
        self.write_head(version, int(code), reason, headers._rawHeaders, [])

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: dict[bytes, list[bytes]], lines: list[bytes]
    ) -> None:
        """Keeps the head back until the first of the body is written: they leave as one.

        :param lines: headers that are lines already.
        """
        if self._reading:  # what is left of the body is not waited for
            self.persistent = False
            headers[b"Connection"] = [b"close"]
        made = [b"%b %d %b\r\n" % (version, code, reason), *lines]
        for name, values in headers.items():
            for value in values:
                made.append(b"%b: %b\r\n" % (name, value))
        made.append(b"\r\n")
        self._answer = b"".join(made)

    def write(self, data: bytes) -> None:
        if self._answer:
            data = self._answer + data
            self._answer = b""
        write_now(self.transport, data)

    def writeSequence(self, chunks: Any) -> None:
        self.write(b"".join(chunks))

    # Ending.

    def _close(self) -> None:
        if self._answer:
            self.write(b"")
        self._phase = ""
        self._linger()
        self.loseConnection()

    def _linger(self) -> None:
        if self._closing is None:
            self._closing = self._clock.callLater(LINGER, self.forceAbortClient)

    def loseConnection(self) -> None:
        """Close after what is written. A client that still sends is listened to for a while, or it would be reset
        before it has read why (RFC 9112 section 9.6)."""
        transport = self.transport
        half_close = getattr(transport, "loseWriteConnection", None)
        transport.unregisterProducer()
        if not self._discarding or half_close is None:
            transport.loseConnection()
            return
        self._linger()
        transport.resumeProducing()
        half_close()

    def forceAbortClient(self) -> None:
        self.transport.abortConnection()

    abortConnection = forceAbortClient

    def break_off(self) -> None:
        """Send what is written, then close without the end of the response."""
        self._close()

    # The pace: the transport's producer is this channel, this channel's is the one that the request registered.

    def progress(self) -> int:
        """A number that changes when the client has taken something."""
        return -unsent(self.transport)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"Cannot register {producer}, {self._producer} was never unregistered.")
        if not streaming:
            producer = _PullToPush(producer, self)  # type: ignore[no-untyped-call]  # twisted has no types here
            producer.startStreaming()
        self._producer = producer

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if isinstance(producer, _PullToPush):
            producer.stopStreaming()  # type: ignore[no-untyped-call]

    def pauseProducing(self) -> None:
        self._blocked = True
        if self._producer is not None:
            self._producer.pauseProducing()
        if not self._handling:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._blocked = False
        if self._producer is not None:
            self._producer.resumeProducing()
        if not self._held:
            self.transport.resumeProducing()
        self._go_on()

    def stopProducing(self) -> None:
        if self._producer is not None:
            self._producer.stopProducing()

    # What requests ask.

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._host

    def isSecure(self) -> bool:
        return ISSLTransport(self.transport, None) is not None
