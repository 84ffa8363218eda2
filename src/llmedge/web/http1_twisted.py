"""HTTP/1.1 by the reference parser: twisted.web's channel with errors in our form, a limit for each phase of a
request, and draining."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, _ChunkedTransferDecoder
from twisted.web.http_headers import Headers

from llmedge.deadlines import stop
from llmedge.errors import EdgeError, RequestTimeout
from llmedge.sockets import close, close_writing, unsent
from llmedge.web.edge import Edge
from llmedge.web.refusals import LINGER, head_too_large, not_http, plain_refusal
from llmedge.web.writer import Http1Writer, with_lines


class TwistedChannel(Http1Writer, HTTPChannel):
    """One HTTP/1.1 connection, and a :class:`llmedge.web.writer.Writer`.

    ``idle_timeout`` holds between requests (it is reset by every byte), ``header_timeout`` and ``body_timeout``
    from the first byte of a request's head and body to the last, however slowly they drip.
    """

    _phase = ""
    _phase_timer: Any = None
    _discarding = False
    _progress: int | None = None
    _optimisticEagerReadSize = 65536
    _chunked = False
    _first = b""

    def __init__(self, edge: Edge, requestFactory: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self.edge = edge
        self.requestFactory = requestFactory
        self.timeOut = edge.limits.idle_timeout  # type: ignore[assignment]  # twisted's is an int
        self.callLater = edge.clock.callLater  # type: ignore[method-assign]  # as twisted does it

    def connectionMade(self) -> None:
        limits = self.edge.limits
        self.maxHeaders = limits.max_headers
        self.totalHeadersSize = limits.max_header_size
        super().connectionMade()  # type: ignore[no-untyped-call]  # twisted has no types here
        self.ends = self.getPeer(), self.getHost()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.data_received(data)
            return
        if self._discarding:
            return
        if self._handlingRequest and sum(map(len, self._dataBuffer)) + len(data) > self._optimisticEagerReadSize:
            # More pipelined than is held. To pause the socket instead would hide that its client leaves.
            self.forceAbortClient()
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # twisted has no types here
        if not self._handlingRequest or self._phase:
            self._watch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._enter("")
        if self._upgraded is not None:
            self._upgraded.connection_lost(reason)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # twisted has no types here

    def _watch(self) -> None:
        if self._handlingRequest or self._discarding:
            self._enter("")
        elif self.requests:
            self._enter("header" if self.line_mode else "body")
        else:
            self._enter("header" if self._buffer else "")

    def _enter(self, phase: str) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        stop(self._phase_timer)
        if phase:
            limits = self.edge.limits
            seconds = limits.header_timeout if phase == "header" else limits.body_timeout
            self._phase_timer = self.edge.clock.callLater(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(RequestTimeout(f"The request's {self._phase} did not arrive completely in time."))

    def timeoutConnection(self) -> None:
        if self._phase:
            self._too_slow()
        elif unsent(self.transport):
            # Not idle: the last answer is still going out (twisted #12498). It may, while the client takes of it.
            if self._progress == self.progress():
                self.forceAbortClient()
            else:
                self._progress = self.progress()
                self.setTimeout(self.edge.limits.write_timeout)  # type: ignore[no-untyped-call]
        else:
            self._close()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(head_too_large(self.edge.limits))

    def _respondToBadRequestAndDisconnect(self) -> None:
        over = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self._refuse(head_too_large(self.edge.limits) if over else not_http(self._first))

    def lineReceived(self, line: bytes) -> None:
        if not self._first:
            self._first = line
        super().lineReceived(line)  # type: ignore[no-untyped-call]  # twisted has no types here

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        decoder = self._transferDecoder
        if not self._handlingRequest and isinstance(decoder, _ChunkedTransferDecoder) and decoder.state == "BODY":
            self.requests[-1].announce(decoder.length)

    def _send100Continue(self) -> None:
        if not self.requests[-1].refused:  # else it is refused before a byte of the body (RFC 9110 section 10.1.1)
            super()._send100Continue()  # type: ignore[no-untyped-call]  # twisted has no types here

    def allHeadersReceived(self) -> None:
        if self.length != 0:
            target: Any = self._path
            self.requests[-1].judge(target)
        super().allHeadersReceived()  # type: ignore[no-untyped-call]  # twisted has no types here

    def _refuse_early(self, request: Any) -> None:
        here = self.requests and self.requests[-1] is request and not request._disconnected
        if here and not self._handlingRequest and not self._discarding:
            self._refuse(request.context.refusal)

    def _refuse(self, error: EdgeError) -> None:
        """Answer a request that is not complete, and close; through the onion where its first line is known."""
        self._enter("")
        self._discarding = True
        # What came in the same read is still in the parser's hands.
        ignore: Any = lambda _: None  # noqa: E731
        self.lineReceived = self.rawDataReceived = ignore  # type: ignore[method-assign]
        request = self.requests[-1] if self.requests else None
        if request is not None and hasattr(self, "_command"):
            request.refuse(error)
            self.persistent = 0
            self.allContentReceived()  # type: ignore[no-untyped-call]  # twisted has no types here
            return
        transport: Any = self.transport
        transport.write(plain_refusal(error))
        self._close()

    _give_up = _refuse

    @property
    def _waits_for_more(self) -> bool:
        return not self._handlingRequest and not self._discarding

    def _close(self) -> None:
        self._enter("")
        if self._abortingCall is None:
            self._abortingCall = self.edge.clock.callLater(LINGER, self.forceAbortClient)
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close after what is written. A client that still sends is listened to for a while, or it would be reset
        before it has read why (RFC 9112 section 9.6)."""
        transport: Any = self.transport
        if self._abortingCall is None:
            seconds = self.edge.limits.write_timeout if unsent(transport) and not self._discarding else LINGER
            self._abortingCall = self.edge.clock.callLater(seconds, self._check_progress, self.progress())
        self._networkProducer.unregisterProducer()
        if self._discarding:
            transport.resumeProducing()
            close_writing(transport)
        else:
            close(transport)

    def _check_progress(self, before: int) -> None:
        self._abortingCall = None
        if (now := self.progress()) == before:
            self.forceAbortClient()
        else:
            seconds = self.edge.limits.write_timeout if now else LINGER
            self._abortingCall = self.edge.clock.callLater(seconds, self._check_progress, now)

    def forceAbortClient(self) -> None:
        stop(self._abortingCall)
        self._abortingCall = None
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    abort, break_off = forceAbortClient, _close

    # What the request and the site ask for.

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: Headers, lines: list[bytes], has_body: bool
    ) -> None:
        self._chunked = has_body and version == b"HTTP/1.1" and not headers.hasHeader(b"content-length")
        if self._chunked:
            headers.setRawHeaders(b"transfer-encoding", [b"chunked"])
        self.writeHeaders(b"HTTP/1.1", b"%d" % code, reason, with_lines(headers, lines))  # type: ignore[no-untyped-call]

    def write_body(self, data: bytes, last: bool) -> None:
        if data:
            self.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)  # type: ignore[no-untyped-call]
        if last and self._chunked:
            self.write(b"0\r\n\r\n")  # type: ignore[no-untyped-call]

    def upgrade(self, protocol: Any) -> None:
        self._upgraded = protocol

    def pauseProducing(self) -> None:
        super().pauseProducing()  # type: ignore[no-untyped-call]  # twisted has no types here
        if self._upgraded is not None:
            network: Any = self._networkProducer
            network.pauseProducing()
            self._upgraded.blocked()

    def resumeProducing(self) -> None:
        if self._upgraded is not None:
            network: Any = self._networkProducer
            self._upgraded.unblocked()
            network.resumeProducing()
        super().resumeProducing()  # type: ignore[no-untyped-call]  # twisted has no types here

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        if self.edge.draining:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        if version != b"HTTP/1.1":  # whose answers are ours all the same
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return bool(super().checkPersistence(request, version))  # type: ignore[no-untyped-call]
