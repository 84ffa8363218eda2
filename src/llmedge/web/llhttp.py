"""HTTP/1.1 on llhttp (httptools): what ``http1`` does with twisted.web's own channel, in less time.

One request is parsed at a time. The channel finds the end of a head, lets llhttp judge exactly those bytes, and
counts the body itself, so that no byte behind a request is looked at before that request is answered. Chunked
bodies go through twisted.web's decoder, which is strict and says where a body ends; httptools does not.

Refused with 400, and the connection closed, is whatever two parsers could read differently: both or several lengths,
codings other than ``chunked``, bare LF or CR, folded lines, space before the colon, NUL, bad chunk sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._abnf import _istoken
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from llmedge.errors import EdgeError, RequestTimeout, ValidationError
from llmedge.sockets import unsent
from llmedge.web.channel import Channel
from llmedge.web.head import METHODS, TRAILER, Head, HeadParser
from llmedge.web.http1 import head_too_large, plain_refusal

if TYPE_CHECKING:
    from llmedge.web.site import EdgeSite

EAGER = 65536
"""Bytes of further requests that are kept while one is answered."""


class LlhttpChannel(Channel):
    """One HTTP/1.1 connection.

    All its time limits share one timer, which is armed when none is under way and looks, when it fires, at what is
    due by then: a request that is quick costs no ``callLater``.

    :param site: gives the limits, the clock and the class of requests.
    """

    def __init__(self, site: EdgeSite) -> None:
        super().__init__(site.clock)
        self.site = self.factory = site
        self.requestFactory: Any = site.requestFactory
        self._buffer = b""
        self._head: HeadParser | None = None
        self._left = 0  # bytes of the body still to come
        self._chunks: Any = None  # or the decoder that knows
        self._running = False
        self._forgave = False  # an empty line before the request to come
        self._discarded = 0
        self._end = self._due = self._armed = 0.0  # of the phase, of the time to act, of the timer
        self._timer: Any = None
        self._progress: int | None = None

    # Twisted's side.

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        self._enter("idle")

    def dataReceived(self, data: bytes) -> None:
        if self._discarding:
            self._discarded += len(data)
            if self._discarded > 4 * self.site.limits.max_request_size + 1048576:
                self.forceAbortClient()  # it does not stop pushing
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self._handling and not self._reading and len(self._buffer) > EAGER:
            # More pipelined than is held. To pause the socket instead would hide that its client leaves.
            self.forceAbortClient()
            return
        if not self._running:
            self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for timer in (self._timer, self._closing):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._closing = None
        self._discarding = True
        self._buffer = b""
        self._phase = ""
        requests, self.requests = self.requests, []
        for request in requests:
            request.connectionLost(reason)
        self._producer = None

    # Parsing.

    def _run(self) -> None:
        """Take from the buffer what can be taken now."""
        self._running = True
        try:
            while self._buffer and not self._discarding:
                if self._reading:
                    self._take_body()
                elif self._handling or self._blocked or not self._take_head():
                    break
        finally:
            self._running = False
        if self._discarding or self._held:
            return
        if self._reading:
            self._enter("body")
        elif self._handling:
            self._phase = ""
            if self.websocket is not None and self._buffer:
                data, self._buffer = self._buffer, b""
                self.websocket.data_received(data)  # came with the handshake
        else:
            self._progress = None
            self._enter("header" if self._buffer else "idle")

    def _take_head(self) -> bool:
        """:returns: whether a head was complete."""
        data = self._buffer
        head = self._head
        limits = self.site.limits
        if head is None:
            end = data.find(b"\r\n\r\n") + 4
            if end > 3 and (known := self.site.heads.find(data, end, limits)) is not None:
                self._begin_known(*known, data, end)
                return True
            if data == b"\r":
                return False
            if data.startswith(b"\r\n") and not self._forgave:  # one empty line is (RFC 9112 section 2.2)
                self._forgave = True
                data = self._buffer = data[2:]
                if data in (b"", b"\r"):
                    return False
            if data.startswith((b"\r", b"\n")):
                self._refuse(_invalid())
                return False
            space = data.find(b" ")
            method = data[:space] if space >= 0 else data
            if method not in METHODS and not _istoken(method):
                self._refuse(_invalid())
                return False
            if space >= 0:
                head = self._head = HeadParser()
                if method not in METHODS:  # llhttp knows some more and refuses the rest; Klein says 405
                    head.feed(b"POST")
                    head.fed = space
            elif len(data) > limits.max_header_size:
                self._refuse(head_too_large(limits))
            if head is None:
                return False
        end = data.find(b"\r\n\r\n", max(head.fed - 3, 0)) + 4
        if end == 3 or end > limits.max_header_size:
            if len(data) > limits.max_header_size:
                self._refuse(head_too_large(limits))
            elif head.feed(data[head.fed :]):
                head.fed = len(data)
            else:
                self._refuse(_invalid())
            return False
        rest = data[end:]
        valid = head.feed(data[head.fed : end] if head.fed or rest else data)
        line = data[: data.find(b"\r\n")]
        version = line[-8:]
        # llhttp also takes versions that are none, more than one space, and a first line that ends in a bare LF.
        valid = valid and head.complete and version in (b"HTTP/1.1", b"HTTP/1.0")
        valid = valid and line == b"%b %b %b" % (line[: line.find(b" ")], head.target, version)
        valid = valid and data.count(b"\r", 0, end) == data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
        if not valid or head.count > limits.max_headers:
            self._refuse(head_too_large(limits) if head.count > limits.max_headers else _invalid())
            return False
        try:
            length = head.length(version)
        except ValueError:
            self._refuse(_invalid())
            return False
        self._buffer = rest
        self._forgave = False
        self._head = head.parser = None  # the parser knows the head: left alone, they would be the collector's work
        request = self._make_request(head.table)
        request.head = Head(line[: line.find(b" ")], head.target, version, head.table)
        self.site.heads.add(data[:end] if rest else data, request.head)
        self._keep_or_close(request, version, head.table.get(b"Connection"))
        self._begin(request, length)
        return True

    def _begin_known(self, head: Head, told: bytes, data: bytes, end: int) -> None:
        """A head that was seen before is complete, and perhaps the body is."""
        self._forgave = False
        table, length = head.table, 0
        if told:
            table = table | {b"Content-Length": [told]}
            length = int(told)
        request = self._make_request(table)
        request.head = head
        if self.site.draining:
            self._keep_or_close(request, head.version, None)
        if length <= len(data) - end and length <= self.site.limits.max_request_size:
            self._buffer = data[end + length :]
            self._handling = True
            request.take(data[end : end + length])
        else:
            self._buffer = data[end:]
            self._begin(request, length)

    def _begin(self, request: Any, length: int | None) -> None:
        """The head is complete."""
        head = request.head
        method, target, version = head.method, head.target, head.version
        request.method, request.uri, request.clientproto = method, target, version
        if length == 0:
            request.gotLength(0)
            self._handling = True
            request.requestReceived(method, target, version)
            return
        request.judge(target)
        request.gotLength(length)
        self._reading = True
        if length is None:
            self._chunks = _ChunkedTransferDecoder(request.handleContentChunk, self._chunks_ended)
        else:
            self._left = length
        expect = head.table.get(b"Expect")
        if expect and expect[0].lower() == b"100-continue" and version == b"HTTP/1.1" and request.refusal is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.refusal is None and request.wants_stream(target, self._hold, self._release):
            self._handling = True
            request.requestReceived(method, target, version)

    def _make_request(self, table: dict[bytes, list[bytes]]) -> Any:
        request = self.requestFactory(self)
        request.requestHeaders._rawHeaders = table
        self.requests.append(request)
        return request

    def _keep_or_close(self, request: Any, version: bytes, connection: list[bytes] | None) -> None:
        if self.site.draining or version != b"HTTP/1.1":
            self.persistent = False
        elif connection:
            self.persistent = b"close" not in [token.strip() for token in b",".join(connection).lower().split(b",")]
        if not self.persistent and version == b"HTTP/1.1":  # HTTP/1.0 expects nothing else
            request.responseHeaders._rawHeaders[b"Connection"] = [b"close"]

    def _take_body(self) -> None:
        data, self._buffer = self._buffer, b""
        if self._chunks is not None:
            try:
                self._chunks.dataReceived(data)
            except _MalformedChunkedDataError:
                self._give_up(_invalid())
        elif len(data) < self._left:
            self._left -= len(data)
            self.requests[0].handleContentChunk(data)
        else:
            left, self._left = self._left, 0
            self.requests[0].handleContentChunk(data[:left] if len(data) > left else data)
            self._body_ended(data[left:])

    def _chunks_ended(self, rest: bytes) -> None:
        if self._chunks is None:
            return  # answered by somebody who would not read to the end
        # The decoder takes any line for a trailer, also one with a bare LF that others take for the end, or with
        # framing in it.
        if not all(TRAILER.fullmatch(line) for line in self._chunks._trailerHeaders):
            raise _MalformedChunkedDataError
        self._body_ended(rest)

    def _body_ended(self, rest: bytes) -> None:
        self._reading = False
        self._chunks = None
        self._buffer = rest
        if not self.requests:
            return  # its last piece was one too many, and the connection is gone
        request = self.requests[0]
        if self._handling:
            request.body.end()
        else:
            self._handling = True
            request.requestReceived(request.method, request.uri, request.clientproto)

    def _hold(self) -> None:
        """The reader of a streamed body has enough for now."""
        self._held = True
        if self._phase != "body":  # all that came with the head
            self._end = self._clock.seconds() + self.site.limits.body_timeout
        self._end -= self._clock.seconds()  # its own slowness is not the client's
        self._phase = ""
        self.transport.pauseProducing()

    def _release(self) -> None:
        self._held = False
        if not self._discarding:
            if self._reading:
                self._end += self._clock.seconds()
                self._phase = "body"
                self._enter("body")
            self.transport.resumeProducing()

    def _go_on(self) -> None:
        if self._buffer and not self._running:
            self._run()

    # Refusing.

    def refuse_soon(self, request: Any) -> None:
        """Answer ``request`` with its refusal as soon as the parser is off the stack, without waiting for its body."""
        self._clock.callLater(0, self._refuse_early, request)

    def _refuse_early(self, request: Any) -> None:
        if self.requests and self.requests[0] is request and self._reading and not self._discarding:
            self._give_up(request.refusal)

    def _give_up(self, error: EdgeError) -> None:
        """The body of the request at hand is not waited for: say so to whoever reads it, or answer."""
        if self._handling:
            self._stop_reading()
            self.requests[0].body.fail(error)
        else:
            self._refuse(error)

    def _stop_reading(self) -> None:
        self._reading = False
        self._discarding = True
        self._chunks = None
        self._buffer = b""
        self._phase = ""
        self.persistent = False

    def _refuse(self, error: EdgeError) -> None:
        """Answer a request that is not complete, and close; through the onion where its first line is known."""
        head, self._head = self._head, None
        line, found, _ = self._buffer.partition(b"\r\n")
        self._stop_reading()
        if not self.requests and head is not None and head.target and found and line.count(b" ") == 2:
            method, _, version = line.split(b" ")
            request = self._make_request(head.table)
            request.method, request.uri, request.clientproto = method, head.target, version
        if self.requests:
            request = self.requests[0]
            request.refusal = request.refusal or error
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            if request.content is None:
                request.gotLength(0)
            self._handling = True
            request.requestReceived(request.method, request.uri, request.clientproto)
        else:
            self.transport.write(plain_refusal(error))
            self._close()

    # Time.

    def _enter(self, phase: str) -> None:
        """From now on ``phase`` holds. ``header`` and ``body`` end in time as a whole, and none may be silent for
        longer than ``idle_timeout``."""
        limits = self.site.limits
        now = self._clock.seconds()
        due = now + limits.idle_timeout
        if phase != "idle":
            if phase != self._phase:
                self._end = now + (limits.header_timeout if phase == "header" else limits.body_timeout)
            due = min(due, self._end)
        self._phase = phase
        self._due = due
        if self._timer is None:
            self._arm(due - now)
        elif due < self._armed:
            self._armed = due
            self._timer.reset(due - now)

    def _arm(self, seconds: float) -> None:
        self._armed = self._clock.seconds() + seconds
        self._timer = self._clock.callLater(max(seconds, 0.001), self._look)

    def _look(self) -> None:
        """The timer: has the time of what is going on now passed?"""
        self._timer = None
        if not self._phase:
            return  # an answer is under way; its end arms the timer again
        left = self._due - self._clock.seconds()
        if left > 0.0005:
            self._arm(left)
        elif self._phase != "idle":
            self._give_up(RequestTimeout(f"The request's {self._phase} did not arrive completely in time."))
        elif unsent(self.transport):
            # Not idle: the last answer is still going out. It may, while the client takes of it.
            before, self._progress = self._progress, self.progress()
            if before == self._progress:
                self.forceAbortClient()
            else:
                self._due = self._clock.seconds() + self.site.limits.write_timeout
                self._arm(self.site.limits.write_timeout)
        else:
            self._close()

    def requestDone(self, request: Any) -> None:
        if self._answer:
            self.write(b"")
        self.requests.remove(request)
        self._handling = False
        if self._held:
            self._held = False
            self.transport.resumeProducing()
        if self._reading:
            self._stop_reading()
        if not self.persistent:
            self._buffer = b""
            self._phase = ""
            self.loseConnection()
            self._discarding = True
        elif self._blocked:
            self.transport.pauseProducing()
            self._enter("idle")
        elif not self._running:
            self._run()

    def drain(self) -> None:
        """Close as soon as the request under way, if there is one, is answered."""
        if self.websocket is not None:
            self.websocket.drain()
        elif not self.requests:
            self._close()
        else:
            self.persistent = False
            request = self.requests[0]
            if not request.startedWriting:
                request.responseHeaders.setRawHeaders(b"connection", [b"close"])


def _invalid() -> ValidationError:
    return ValidationError("The request is not valid HTTP/1.1.")
