"""Our Request: the body is capped and kept in memory, and nothing is ever answered with HTML."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from twisted.web.http_headers import Headers, _nameEncoder
from twisted.web.server import Request

from llmedge.deadlines import Deadlines
from llmedge.errors import EdgeError, InternalError, NotFound, RequestTooLarge, ValidationError
from llmedge.model import Caller, Deadline, Record
from llmedge.tls import certificate_names
from llmedge.web.answer import send_error
from llmedge.web.body import BodyStream, ClientGone
from llmedge.web.head import Head
from llmedge.web.paths import split_target, streams_body
from llmedge.web.work import Work

if TYPE_CHECKING:
    from llmedge.web.site import EdgeSite

_HOST = re.compile(rb"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~\-][A-Za-z0-9._~\-]{0,254})(:\d{0,5})?$")


class EdgeRequest(Request):
    """One request, over HTTP/1.1 or HTTP/2.

    :ivar head: what its head says; shared with other requests.
    :ivar lines: lines of the answer's head, ready to be written; ``responseHeaders`` has the others.
    :ivar over: what is called with this request when it is over, and with whether its client left before;
        ``notifyFinish`` says the same with a Deferred each.
    :ivar received: clock seconds of the first byte.
    :ivar record: set by ``AccessRecord``; what happened to this request.
    :ivar refusal: why this request must not reach the onion's inside, found while it was parsed.
    :ivar body: what to read the body from, where it is not in ``content``; see :func:`llmedge.web.paths.streams_body`.
    :ivar work: what answers, for the deadline to cancel.
    """

    site: EdgeSite
    defaultContentType = b"application/json"
    record: Record
    caller: Caller
    deadline: Deadline
    caller_exempt = False
    show_limits: Callable[[EdgeRequest], None] | None = None
    head: Head
    # What a request begins with; of twisted's, what is never used here (arguments, cookies, forms) stays so.
    queued = False
    received_cookies: Any = MappingProxyType({})  # nobody writes into what all share
    cookies: Any = ()
    _parsePOSTFormSubmission = False
    refusal: EdgeError | None = None
    body: BodyStream | None = None
    work: Deferred[Any] | Work | None = None
    expired = False
    aborted = False
    upgraded = False
    deadlines: Deadlines | None = None
    _mute = False
    _pack: Callable[[EdgeRequest, bytes], bytes] | None = None
    _setting = "server.max_request_size, MAX_REQUEST_SIZE"
    _announced: int | None = None
    _judged = False
    _size = 0

    if TYPE_CHECKING:  # twisted.web gives these no types

        def registerProducer(self, producer: Any, streaming: bool) -> None: ...
        def unregisterProducer(self) -> None: ...
        def getClientAddress(self) -> Any: ...

    def __init__(self, channel: Any, queued: object = False) -> None:
        # What http.Request, server.Request and Componentized set, without their three calls.
        self.channel = channel
        self.transport = channel.transport
        self.client = channel.getPeer()
        self.host = channel.getHost()
        self.requestHeaders = Headers()
        self.responseHeaders = Headers()
        self.notifications = []
        self._adapterCache: dict[str, Any] = {}
        self.site = site = channel.site
        self.received = site.clock.seconds()
        self.lines: list[bytes] = []
        self.over: list[Callable[[EdgeRequest, bool], None]] = []
        self._cap = site.limits.max_request_size

    # Coming in

    # twisted.web keeps bodies over 100 kB in a temporary file; ours are capped, and a disk may be slow.
    def gotLength(self, length: int | None) -> None:
        self.content: Any = io.BytesIO()
        self._announced = length
        self._check_announced()

    def _check_announced(self) -> None:
        """How much may come depends on the path: HTTP/2 tells the length first, HTTP/1.1 the path."""
        if self._judged and self._announced is not None and self._announced > self._cap:
            self._refuse_size()

    def judge(self, target: bytes) -> None:
        """Called with the request's target when its head is complete and a body is to come."""
        self._judged = True
        if self.refusal is None:
            self._take_target(target)
            if streams_body(self.path):
                self._cap = self.site.limits.max_upload_size
                self._setting = "server.max_upload_size"
            self._check_announced()
        if self.refusal is None:
            if not hasattr(self, "head"):
                self.head = Head(b"", target, b"", self.requestHeaders._rawHeaders)
            self.refusal = self.site.gate(self, unquote_to_bytes(self.path))
            if self.refusal is not None:
                self.channel.refuse_soon(self)

    def wants_stream(self, target: bytes, pause: Callable[[], None], resume: Callable[[], None]) -> bool:
        """Whether the onion is to run before the body is here. If so, ``body`` is what to read it from."""
        self._take_target(target)
        if not streams_body(self.path):
            return False
        self.body = BodyStream(pause, resume)
        return True

    def handleContentChunk(self, data: bytes) -> None:
        if self._disconnected:
            return
        self._size += len(data)
        if self._size > self._cap:
            self._refuse_size()
            if self._size > 4 * self._cap + 1048576:
                abort_channel(self.channel)  # it does not stop pushing
        elif self.body is not None:
            self.body.feed(data)
        elif self.refusal is None:
            self.content.write(data)

    def _refuse_size(self) -> None:
        if self.refusal is None:
            self.refusal = RequestTooLarge(f"The request body is over {self._cap} bytes ({self._setting}).")
            self.content = io.BytesIO()
            channel: Any = self.channel
            channel.refuse_soon(self)

    def _take_target(self, target: bytes) -> None:
        """Path and query, and the host, if the target names one: that is then what counts (RFC 9112 section 3.2.2)."""
        self.uri = target
        if not target.startswith(b"/") and (split := split_target(target)) is not None:
            authority, self.uri = split
            if authority is not None and self.requestHeaders.hasHeader(b"host"):
                self.requestHeaders.setRawHeaders(b"host", [authority])
        self.path = self.uri.partition(b"?")[0]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called when the request is complete; where its body is streamed, when its head is."""
        self.method, self.clientproto = command, version
        self._take_target(path)
        self.args = {}
        if not hasattr(self, "head") or not self.head.method:
            self.head = Head(command, path, version, self.requestHeaders._rawHeaders)
        self.content.seek(0)
        if self.body is None and streams_body(self.path):  # not by this channel, which has read it all
            self.body = BodyStream()
            self.body.feed(self.content.read())
            self.body.end()
            self.content = io.BytesIO()
        self.process()

    def take(self, body: bytes) -> None:
        """All of the request is here, and its head was judged good before."""
        head = self.head
        self.method, self.uri, self.path, self.clientproto = head.method, head.target, head.path, head.version
        self.content = io.BytesIO(body)
        self._size = len(body)
        self.process()

    def process(self) -> None:
        site = self.site
        error = self.examine()  # also of what is refused already: its path is the decoded one, and its head is known
        if self.refusal is None:
            self.refusal = error
        self.lines.append(site.usual_lines())
        resource: Any = site.resource  # a leaf, whatever the path
        try:
            self._pack = getattr(resource, "pack", None)
            resource.render(self)
        except BaseException:
            self.processingFailed(Failure())  # type: ignore[no-untyped-call]  # twisted has no types here

    def examine(self) -> EdgeError | None:
        """What is wrong with the request's head, if anything is; found out once for all heads like it."""
        head = self.head
        if head.judged is self.site.limits:
            self.path = head.path
            return None
        error = self._check()
        if error is None:
            head.path, head.judged = self.path, self.site.limits
            head.place(self.method, self.path)
        return error

    def _check(self) -> EdgeError | None:
        """What is wrong with the request's head, if anything is. Decodes the path, once for everybody."""
        if self.method == b"CONNECT" or not self.path.startswith((b"/", b"*")):
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
            self.channel.persistent = 0  # what follows may be meant for a tunnel
            return ValidationError("The request's target is not a path. Nothing is forwarded here.")
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

    __hash__ = object.__hash__  # twisted's says the same in Python

    def getHeader(self, key: Any) -> Any:
        """twisted's, without its two calls for a name that was seen before."""
        if isinstance(key, bytes):
            values = self.requestHeaders._rawHeaders.get(_nameEncoder.encode(key))
            return values[-1] if values else None
        return super().getHeader(key)

    # Going out

    def write(self, data: bytes) -> None:
        """twisted's two ``write`` in one, with less asked of the header table."""
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if not self._disconnected and not self._mute:
            self._put(data, False)

    def _put(self, data: bytes, last: bool) -> None:
        """Write ``data``, behind the head if it is not out yet, and with the end of the body where it is the last."""
        channel: Any = self.channel
        if not self.startedWriting:
            headers, code = self.responseHeaders._rawHeaders, self.code
            length = headers.get(b"Content-Length")
            if b"Content-Type" not in headers and code not in NO_BODY_CODES and length != [b"0"]:
                headers[b"Content-Type"] = [self.defaultContentType]
            if self._pack is not None:
                data = self._pack(self, data)
            self.startedWriting = 1
            self._mute = self.method == b"HEAD" or code in NO_BODY_CODES
            if length is None and not self._mute and self.clientproto == b"HTTP/1.1":
                headers[b"Transfer-Encoding"] = [b"chunked"]
                self.chunked = 1
            if channel.holds_head:
                channel.write_head(self.clientproto, code, self.code_message, headers, self.lines)
            else:
                for line in b"".join(self.lines).split(b"\r\n")[:-1]:
                    name, _, value = line.partition(b": ")
                    headers[name] = [value]
                channel.writeHeaders(self.clientproto, b"%d" % code, self.code_message, self.responseHeaders)
            if self._mute:
                data = b""
            if not data and channel.holds_head and not (last and self.chunked):
                channel.write(b"")
                return
        self.sentLength += len(data)
        if self.chunked and (data or last):
            end = b"0\r\n\r\n" if last else b""
            channel.write(b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end)
        elif data:
            channel.write(data)

    # Klein finishes whatever its route returns: a request that was answered already, has lost its client, or,
    # worst of all, was aborted, and would then look complete.
    def finish(self, last: bytes = b"") -> None:
        """The answer is complete, with ``last`` at its end."""
        if self.finished or self._disconnected or self.aborted or self.upgraded:
            return
        if not self._mute and (last or self.chunked or not self.startedWriting):
            self._put(last, True)
        channel: Any = self.channel
        self.finished = 1
        if self.producer is not None:
            self.unregisterProducer()
        self._tell(False)  # first, since the next of a pipeline may begin before requestDone returns
        channel.requestDone(self)
        del self.channel
        self.content.close()
        if self.notifications:
            notifications, self.notifications = self.notifications, []
            for waiting in notifications:
                waiting.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        self._disconnected = True
        self.channel: Any = None
        self._tell(True)
        if self.body is not None:
            self.body.fail(ClientGone("The client left before its body was complete."))
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # twisted has no types here
        self.producer = None  # it knows this request

    def _tell(self, lost: bool) -> None:
        over, self.over = self.over, []
        for then in over:
            try:
                then(self, lost)
            except Exception:
                self._log.failure("what follows a request failed")

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
        if self.deadlines is not None:
            self.deadlines.move(self, self.received + seconds)

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
