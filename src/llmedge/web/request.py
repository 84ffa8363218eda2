"""Our Request: the body is capped and kept in memory, and nothing is ever answered with HTML."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from llmedge.errors import EdgeError, InternalError, NotFound, RequestTooLarge, ValidationError
from llmedge.model import Caller, Deadline, Record
from llmedge.tls import certificate_names
from llmedge.web.answer import send_error

if TYPE_CHECKING:
    from llmedge.web.site import EdgeSite

_HOST = re.compile(rb"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~\-][A-Za-z0-9._~\-]{0,254})(:\d{0,5})?$")


class EdgeRequest(Request):
    """One request, over HTTP/1.1 or HTTP/2.

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
        self.upgraded = False
        self.deadline_timer: Any = None
        self._cap = site.limits.max_request_size
        self._size = 0

    # twisted.web keeps bodies over 100 kB in a temporary file; ours are capped, and a disk may be slow.
    def gotLength(self, length: int | None) -> None:
        self.content: Any = io.BytesIO()
        if length is not None and length > self._cap:
            self._refuse_size()

    def judge(self, target: bytes) -> None:
        """Called with the request's target when its head is complete and a body is to come."""
        if self.refusal is None:
            self.refusal = self.channel.site.gate(self, target.partition(b"?")[0])  # type: ignore[attr-defined]
            if self.refusal is not None:
                self.channel.refuse_soon(self)  # type: ignore[attr-defined]

    def handleContentChunk(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._cap:
            self._refuse_size()
            if self._size > 4 * self._cap + 1048576:
                abort_channel(self.channel)  # it does not stop pushing
        elif self.refusal is None:
            self.content.write(data)

    def _refuse_size(self) -> None:
        if self.refusal is None:
            self.refusal = RequestTooLarge(
                f"The request body is over {self._cap} bytes (server.max_request_size, MAX_REQUEST_SIZE)."
            )
            self.content = io.BytesIO()
            channel: Any = self.channel
            channel.refuse_soon(self)

    def process(self) -> None:
        channel: Any = self.channel
        self.site = channel.site
        if self.refusal is None:
            self.refusal = self._check()
        super().process()  # type: ignore[no-untyped-call]  # twisted has no types here

    def _check(self) -> EdgeError | None:
        """What is wrong with the request's head, if anything is. Decodes the path, once for everybody."""
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        longest = self.site.limits.max_url_length
        if len(self.uri) > longest:
            return ValidationError(f"The URL is over {longest} bytes (server.max_url_length).", status=414)
        if len(hosts) > 1 or (hosts and not _HOST.match(hosts[0])):
            return ValidationError("The Host header is not a host name.")
        if not hosts and self.clientproto == b"HTTP/1.1":
            return ValidationError("HTTP/1.1 requires a Host header.")  # RFC 9112 section 3.2
        if b"%" in self.path:
            self.path = unquote_to_bytes(self.path)
        if self.path == b"*":
            self.path = b"/*"  # twisted.web would answer it past the onion
        if b"%" in self.path or not self.path.isascii():
            try:
                self.path.decode()
            except UnicodeDecodeError:
                return ValidationError("The URL is not UTF-8.")
            return NotFound("There is nothing at this path. GET / says what there is.")
        return None

    # No route of ours depends on the host, and Klein would fail on names that IDNA cannot encode.
    def getRequestHostname(self) -> bytes:
        return b"localhost"

    # Klein finishes whatever its route returns: a request that was answered already, has lost its client, or,
    # worst of all, was aborted, and would then look complete.
    def finish(self) -> None:
        if not self.finished and not self._disconnected and not self.aborted and not self.upgraded:
            super().finish()  # type: ignore[no-untyped-call]  # twisted has no types here

    def processingFailed(self, reason: Failure) -> Failure:
        """A defect in the onion itself: an honest 500 in our own form."""
        self._log.failure("a request could not be processed", failure=reason)
        send_error(self, InternalError())
        return reason

    def certificate_names(self) -> frozenset[str]:
        """The names in the client's verified certificate; none without one."""
        channel: Any = self.channel
        transport = channel.transport or channel._conn.transport
        certificate = getattr(transport, "getPeerCertificate", lambda: None)()
        return frozenset() if certificate is None else certificate_names(certificate.to_cryptography())

    def expire(self) -> None:
        """The deadline has passed."""
        if self.work is not None and not self.work.called:
            self.expired = True
            self.work.cancel()

    def extend_deadline(self, seconds: float) -> None:
        """The answer has begun: from now on ``seconds`` from the first byte in hold."""
        timer = self.deadline_timer
        if timer is not None and timer.active():
            timer.reset(max(0.001, self.received + seconds - self.site.clock.seconds()))

    def upgrade(self) -> None:
        """The connection becomes something else; this request is over when that is."""
        self.upgraded = True
        self.code, self.startedWriting = 101, 1

    def abort(self) -> None:
        """End an answer that cannot be completed: what is written goes out, then the connection (HTTP/1.1) or the
        stream (HTTP/2) ends with the response visibly unfinished."""
        self.aborted = True
        channel: Any = self.channel
        if channel is None or self._disconnected:
            return
        if self.producer is not None:
            self.unregisterProducer()
        channel.break_off()

    def abort_now(self) -> None:
        """End the connection or stream at once, whatever is still unsent."""
        if self.channel is not None and not self._disconnected:
            abort_channel(self.channel)


def abort_channel(channel: Any) -> None:
    """Drop an HTTP/1.1 connection, or reset an HTTP/2 stream."""
    transport = channel.transport  # None for an HTTP/2 stream
    (channel if transport is None else transport).abortConnection()
