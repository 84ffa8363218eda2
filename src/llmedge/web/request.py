"""Our Request: nothing is ever answered with HTML, and what is not asked for is not made."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from llmedge.backpressure import WriteBackpressure
from llmedge.body import BodyStream, ClientGone
from llmedge.errors import EdgeError, InternalError, ValidationError
from llmedge.tls import certificate_names
from llmedge.web.context import RequestContext
from llmedge.web.head import NO_HEAD, RequestHead
from llmedge.web.held import SMALL
from llmedge.web.intake import Intake, too_much_held
from llmedge.web.paths import PATHS, nothing_at, path_of, split_target, streams_body
from llmedge.web.writer import Writer

_certificates: WeakKeyDictionary[Any, tuple[frozenset[str], float]] = WeakKeyDictionary()
"""By connection, which never changes its certificate: the names in it, and when it expires."""
_HOST = re.compile(rb"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~\-][A-Za-z0-9._~\-]{0,254})(:\d{0,5})?$")


class EdgeRequest(Request):
    """One request, as twisted.web, Klein and our layers know it. Its body comes in through an :class:`Intake`, unless
    it is here with the head; its answer goes out through a :class:`Writer`.

    :ivar channel: the writer, ``None`` when the request is over.
    :ivar edge: what it shares with all others of its site.
    :ivar context: what the layers know of it.
    :ivar size: bytes of the body that have come.
    :ivar body: what to read the body from, where it is not in ``content``; see :func:`llmedge.web.paths.streams_body`.
    :ivar deployment: the model that the path names where ours has none; see :meth:`llmedge.web.paths.Paths.meant`.
    :ivar lines: lines of the answer's head, ready to be written; ``responseHeaders`` has the others.
    :ivar over: what is called with this request when it is over, and with whether its client left before;
        ``notifyFinish`` says the same with a Deferred each.
    """

    defaultContentType = b"application/json"
    # What a request begins with; of twisted's, what is never used here (arguments, cookies, forms) stays so.
    queued = False
    received_cookies: Any = MappingProxyType({})  # nobody writes into what all share
    cookies: Any = ()
    _parsePOSTFormSubmission = False
    size = 0
    body: BodyStream | None = None
    deployment = ""
    aborted = False
    upgraded = False
    _intake: Intake | None = None
    _mute = False
    _kept = False

    if TYPE_CHECKING:  # twisted.web gives these no types

        def registerProducer(self, producer: Any, streaming: bool) -> None: ...

    def __init__(self, channel: Writer, queued: object = False, head: RequestHead = NO_HEAD) -> None:
        # What http.Request, server.Request and Componentized set, without their three calls.
        self.channel: Writer | None = channel  # type: ignore[assignment]  # all of an HTTPChannel that is used
        self.transport = channel.transport
        self.client, self.host = channel.ends
        self.requestHeaders = Headers()
        self.responseHeaders = Headers()
        self.notifications = []
        self._adapterCache: dict[str, Any] = {}
        self.edge = edge = channel.edge
        self.context = RequestContext(edge.clock.seconds(), head)
        self.lines: list[bytes] = []
        self.over: list[Callable[[EdgeRequest, bool], None]] = []

    # Coming in

    def _arriving(self) -> Intake:
        if self._intake is None:
            self._intake = Intake(self.edge.limits, self.context)
        return self._intake

    def gotLength(self, length: int | None) -> None:
        intake = self._arriving()
        self.content: Any = intake.content
        self._refuse_soon(intake.expect(length=length))

    def announce(self, length: int) -> None:
        """So many more bytes of the body will come."""
        self._refuse_soon(self._arriving().announce(length))

    def judge(self, target: bytes) -> None:
        """Called with the request's target when its head is complete and a body is to come."""
        context, intake = self.context, self._arriving()
        if context.refusal is None:
            self._set_target(target)
            self._refuse_soon(intake.expect(self.path))
        if context.refusal is None:
            if context.head is NO_HEAD:
                context.head = RequestHead(b"", target, b"", self.requestHeaders._rawHeaders)
            context.refusal = self.edge.gate(self, self.path)
            self._refuse_soon(context.refusal is not None)

    def wants_stream(self, target: bytes, pause: Callable[[], None], resume: Callable[[], None]) -> bool:
        """Whether the onion is to run before the body is here. If so, ``body`` is what to read it from."""
        self._set_target(target)
        if streams_body(self.path):
            self.body = self._arriving().stream = BodyStream(pause, resume)
        return self.body is not None

    def handleContentChunk(self, data: bytes) -> None:
        if not self._disconnected:
            intake = self._arriving()
            self._refuse_soon(intake.feed(data))
            self.size = intake.size
            if intake.size > SMALL and intake.stream is None:
                if self.refused:
                    self.edge.held.drop(self)
                elif not self.keep(intake.size):
                    self._refuse_soon(intake.refuse(too_much_held()))
            if intake.floods:
                self.abort_now()

    def keep(self, size: int) -> bool:
        """Hold ``size`` bytes for its client until it is over, whatever was held before.

        :returns: whether that may be; see :class:`llmedge.web.held.Held`.
        """
        if not self._kept:
            self._kept = True
            self.over.append(lambda request, lost: request.edge.held.drop(request))
        context = self.context
        caller = getattr(context, "caller", None) or context.head.caller
        return self.edge.held.hold(self, (caller and caller.name) or str(getattr(self.client, "host", "")), size)

    @property
    def refused(self) -> bool:
        return self.context.refusal is not None

    def refuse(self, error: EdgeError) -> None:
        """It will not be complete: whatever came, this is its answer, unless it was refused before."""
        self.context.refusal = self.context.refusal or error
        self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        if self.content is None:
            self.gotLength(0)

    def _refuse_soon(self, refused: bool) -> None:
        if refused and self.channel is not None:
            self.channel.refuse_soon(self)

    def _set_target(self, target: bytes) -> None:
        """Path, and the host, if the target names one: that is then what counts (RFC 9112 section 3.2.2)."""
        self.uri = target
        if not target.startswith(b"/") and (split := split_target(target)) is not None:
            authority, self.uri = split
            if authority is not None and self.requestHeaders.hasHeader(b"host"):
                self.requestHeaders.setRawHeaders(b"host", [authority])
        path = self.uri.partition(b"?")[0]
        if path in PATHS.fixed:
            self.path = path
        else:
            self.path, self.deployment = path_of(path)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called when the request is complete; where its body is streamed, when its head is."""
        self.method, self.clientproto = command, version
        self._set_target(path)
        self.args = {}
        if not self.context.head.method:
            self.context.head = RequestHead(command, path, version, self.requestHeaders._rawHeaders)
        if self.body is None and streams_body(self.path):  # not by this channel, which has read it all
            self.body = self._arriving().as_stream()
        self.content.seek(0)
        self.process()

    def take(self, body: bytes) -> None:
        """All of the request is here, and its head was found good before."""
        head = self.context.head
        self.method, self.uri, self.path, self.clientproto = head.method, head.target, head.path, head.version
        self.content = io.BytesIO(body)
        self.size = len(body)
        self.process()

    def process(self) -> None:
        edge, context = self.edge, self.context
        if context.head.checked_with is edge.limits:
            self.path = context.head.path
        else:
            error = self.check_head()  # also of what is refused already: its path is the decoded one
            context.refusal = context.refusal or error
        now = edge.clock.seconds()
        self.lines.append(edge.usual_lines if int(now) == edge.second else edge.renew_usual_lines(int(now)))
        try:
            edge.resource.render(self)
        except BaseException:
            self.processingFailed(Failure())  # type: ignore[no-untyped-call]  # twisted has no types here

    def check_head(self) -> EdgeError | None:
        """What is wrong with the request's head, if anything is; found out once for all heads like it."""
        error = self._head_error()
        if error is None:
            head = self.context.head
            head.path, head.checked_with = self.path, self.edge.limits
            head.resolve_route(self.method, self.path, self.deployment)
        return error

    def _head_error(self) -> EdgeError | None:
        if self.method == b"CONNECT" or not self.path.startswith((b"/", b"*")):
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
            channel: Any = self.channel
            channel.persistent = 0  # what follows may be meant for a tunnel
            return ValidationError("The request's target is not a path. Nothing is forwarded here.")
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        longest = self.edge.limits.max_url_length
        if len(self.uri) > longest:
            return ValidationError(f"The URL is over {longest} bytes (server.max_url_length).", status=414)
        if len(hosts) > 1 or (hosts and not _HOST.match(hosts[0])):
            return ValidationError("The Host header is not a host name.")
        if not hosts and self.clientproto == b"HTTP/1.1":
            return ValidationError("HTTP/1.1 requires a Host header.")  # RFC 9112 section 3.2
        if self.path == b"*":
            self.path = b"/*"  # twisted.web would answer it past the onion
        if b"%" in self.path or not self.path.isascii():
            try:
                self.path.decode()
            except UnicodeDecodeError:
                return ValidationError("The URL is not UTF-8.")
            return nothing_at(self.path)
        return None

    # No route of ours depends on the host, and Klein would fail on names that IDNA cannot encode.
    def getRequestHostname(self) -> bytes:
        return b"localhost"

    # Going out

    def write(self, data: bytes) -> None:
        """twisted's two ``write`` in one, with less asked of the header table."""
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if not self._disconnected and not self._mute:
            channel: Any = self.channel
            if not self.startedWriting:
                data = self._begin(channel, data)
            self.sentLength += len(data)
            channel.write_body(data, False)

    def _begin(self, channel: Writer, data: bytes) -> bytes:
        """Write the head.

        :returns: how ``data``, the first of the body or all of it, is to be sent.
        """
        headers, code, pack = self.responseHeaders, self.code, self.edge.pack
        table = headers._rawHeaders
        if b"Content-Type" not in table and code not in NO_BODY_CODES and table.get(b"Content-Length") != [b"0"]:
            table[b"Content-Type"] = [self.defaultContentType]
        if pack is not None:
            data = pack(self, data)
        self.startedWriting = 1
        self._mute = self.method == b"HEAD" or code in NO_BODY_CODES
        channel.write_head(self.clientproto, code, self.code_message, headers, self.lines, not self._mute)
        return b"" if self._mute else data

    # Klein finishes whatever its route returns: a request that was answered already, has lost its client, or,
    # worst of all, was aborted, and would then look complete.
    def finish(self, last: bytes = b"") -> None:
        """The answer is complete, with ``last`` at its end."""
        if self.finished or self._disconnected or self.aborted or self.upgraded:
            return
        channel: Any = self.channel
        if not self._mute:
            if not self.startedWriting:
                last = self._begin(channel, last)
            self.sentLength += len(last)
            channel.write_body(last, True)
        self.finished = 1
        if self.producer is not None:
            self.unregisterProducer()
        self._call_over(False)  # first, since the next of a pipeline may begin before requestDone returns
        channel.requestDone(self)
        self.channel = None
        self.content.close()
        if self.notifications:
            notifications, self.notifications = self.notifications, []
            for waiting in notifications:
                waiting.callback(None)

    def backpressure(self, resumed: Callable[[], None] | None = None) -> WriteBackpressure:
        """For an answer in pieces. A client that takes not one byte of it for ``server.write_timeout`` seconds is cut
        off: it does not get to hold a vendor's work.

        :param resumed: called when it takes more again.
        """
        edge = self.edge
        return WriteBackpressure(self, edge.clock, edge.limits.write_timeout, self._progress, self.abort_now, resumed)

    def _progress(self) -> int:
        return 0 if self.channel is None else self.channel.progress()

    def unregisterProducer(self) -> None:
        """Harmless where there is none."""
        if self.producer is not None and self.channel is not None:
            super().unregisterProducer()  # type: ignore[no-untyped-call]  # twisted has no types here

    def connectionLost(self, reason: Failure) -> None:
        self._disconnected = True
        self.channel = None
        self._call_over(True)
        if self.body is not None:
            self.body.fail(ClientGone("The client left before its body was complete."))
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # twisted has no types here
        self.producer = None  # it knows this request

    def _call_over(self, lost: bool) -> None:
        over, self.over = self.over, []
        for then in over:
            try:
                then(self, lost)
            except Exception:
                self._log.failure("what follows a request failed")

    def processingFailed(self, reason: Failure) -> Failure:
        """A defect in the onion itself: an honest 500 in our own form."""
        self._log.failure("a request could not be processed", failure=reason)
        self.edge.failed(self, InternalError())
        return reason

    def certificate_names(self) -> frozenset[str]:
        """The names in the client's verified certificate; none without one, or once it has expired: a connection may
        last longer."""
        channel: Any = self.channel
        connection = channel.connection()
        shown = getattr(connection, "getPeerCertificate", lambda: None)()
        if shown is None:
            return frozenset()
        known = _certificates.get(connection)
        if known is None:
            certificate = shown.to_cryptography()
            known = certificate_names(certificate), certificate.not_valid_after_utc.timestamp()
            _certificates[connection] = known
        names, expires = known
        return names if self.edge.clock.seconds() < expires else frozenset()

    def upgrade(self) -> None:
        """The connection becomes something else; this request is over when that is."""
        self.upgraded = True
        self.code, self.startedWriting = 101, 1

    def abort(self) -> None:
        """End an answer that cannot be completed: what is written goes out, then the connection (HTTP/1.1) or the
        stream (HTTP/2) ends with the response visibly unfinished."""
        self.aborted = True
        if self.channel is not None:
            self.unregisterProducer()
            self.channel.break_off()

    def abort_now(self) -> None:
        """End the connection or stream at once, whatever is still unsent."""
        if self.channel is not None:
            self.channel.abort()
