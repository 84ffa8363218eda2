"""The HTTP/1.1 edge: our Request, channel and Site, each a small change of twisted.web's with its reason."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from llmedge.errors import EdgeError, InternalError, RequestTimeout, RequestTooLarge, ValidationError
from llmedge.model import Caller, Deadline, Record
from llmedge.web.answer import send_error

_HOST = re.compile(rb"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~\-][A-Za-z0-9._~\-]{0,254})(:\d{0,5})?$")


class EdgeRequest(Request):
    """A request whose body is capped, kept in memory, and never answered with HTML.

    :ivar received: clock seconds of the first byte.
    :ivar record: set by ``AccessRecord``; what happened to this request.
    :ivar refusal: why this request must not reach the onion's inside, found while it was parsed.
    :ivar work: the coroutine that answers, for the deadline to cancel.
    """

    site: EdgeSite
    defaultContentType = b"application/json"
    record: Record
    caller: Caller
    deadline: Deadline
    caller_exempt = False

    if TYPE_CHECKING:  # twisted.web gives these no types

        def write(self, data: bytes) -> None: ...
        def registerProducer(self, producer: Any, streaming: bool) -> None: ...
        def unregisterProducer(self) -> None: ...
        def getClientAddress(self) -> Any: ...

    def __init__(self, channel: Any, *args: Any, **kw: Any) -> None:
        super().__init__(channel, *args, **kw)  # type: ignore[no-untyped-call]  # twisted has no types here
        site: EdgeSite = channel.site
        self.received = site.clock.seconds()
        self.refusal: EdgeError | None = None
        self.work: Deferred[Any] | None = None
        self.expired = False
        self.aborted = False
        self.deadline_timer: Any = None
        self._cap = site.max_request_size
        self._size = 0

    # twisted.web keeps bodies over 100 kB in a temporary file; ours are capped, and a disk may be slow.
    def gotLength(self, length: int | None) -> None:
        self.content: Any = io.BytesIO()
        if length is not None and length > self._cap:
            self._refuse_size()

    def handleContentChunk(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._cap:
            self._refuse_size()
            if self._size > 4 * self._cap + 1048576:
                channel: Any = self.channel
                channel.forceAbortClient()  # it does not stop pushing
        elif self.refusal is None:
            self.content.write(data)

    def _refuse_size(self) -> None:
        if self.refusal is None:
            self.refusal = RequestTooLarge(
                f"The request body is over {self._cap} bytes (server.max_request_size, MAX_REQUEST_SIZE)."
            )
            self.content = io.BytesIO()

    def process(self) -> None:
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (hosts and not _HOST.match(hosts[0])):
            self.refusal = ValidationError("The Host header is not a host name.")
        elif not hosts and self.clientproto == b"HTTP/1.1":
            self.refusal = ValidationError("HTTP/1.1 requires a Host header.")  # RFC 9112 section 3.2
        super().process()  # type: ignore[no-untyped-call]  # twisted has no types here

    # No route of ours depends on the host, and Klein would fail on names that IDNA cannot encode.
    def getRequestHostname(self) -> bytes:
        return b"localhost"

    # Klein finishes whatever its route returns: a request that was answered already, has lost its client, or,
    # worst of all, was aborted, and would then look complete.
    def finish(self) -> None:
        if not self.finished and not self._disconnected and not self.aborted:
            super().finish()  # type: ignore[no-untyped-call]  # twisted has no types here

    def processingFailed(self, reason: Failure) -> Failure:
        """A defect in the onion itself: an honest 500 in our own form."""
        self._log.failure("a request could not be processed", failure=reason)
        send_error(self, InternalError())
        return reason

    def expire(self) -> None:
        """The deadline has passed."""
        if self.work is not None and not self.work.called:
            self.expired = True
            self.work.cancel()

    def abort(self, linger: float = 5.0) -> None:
        """End an answer that cannot be completed: what is written goes out, then the connection closes with the
        response visibly unfinished."""
        self.aborted = True
        channel: Any = self.channel
        if channel is None or self._disconnected:
            return
        if self.producer is not None:
            self.unregisterProducer()
        transport = channel.transport
        channel.loseConnection()
        clock = self.site.clock
        timer = clock.callLater(linger, transport.abortConnection)
        self.notifyFinish().addErrback(lambda _: timer.cancel() if timer.active() else None)


class EdgeChannel(HTTPChannel):
    """Errors before a request exists are JSON as well, and a client too slow to finish is told so."""

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._answer(ValidationError("The request is not valid HTTP/1.1."))
        self.loseConnection()  # type: ignore[no-untyped-call]  # twisted has no types here

    def timeoutConnection(self) -> None:
        if self.requests and not self._handlingRequest:
            self._answer(RequestTimeout("The request did not arrive completely in time."))
        super().timeoutConnection()  # type: ignore[no-untyped-call]  # twisted has no types here

    def _answer(self, error: EdgeError) -> None:
        body = msgspec.json.encode(error.body())
        head = f"HTTP/1.1 {error.status} {_REASON[error.status]}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\nserver: llmedge\r\n\r\n"
        transport: Any = self.transport
        transport.write(head.encode() + body)


_REASON = {400: "Bad Request", 408: "Request Timeout"}


class EdgeSite(Site):
    """The factory behind every listening port.

    :param reactor: the clock of requests and connections.
    """

    displayTracebacks = False
    noisy = False
    requestFactory = EdgeRequest
    protocol: Any = EdgeChannel

    def __init__(self, resource: IResource, reactor: Any, *, max_request_size: int, idle_timeout: float) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # twisted has no types here
            resource,
            requestFactory=EdgeRequest,
            timeout=idle_timeout,
            parsePOSTFormSubmission=False,
            reactor=reactor,
        )
        self.clock = reactor
        self.max_request_size = max_request_size

    def log(self, request: Any) -> None:
        """The access log is written from the record."""
