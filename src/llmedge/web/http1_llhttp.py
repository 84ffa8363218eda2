"""HTTP/1.1 on llhttp: what ``http1_twisted`` does with twisted.web's own channel, in less time.

``http1_parser`` says what is in the bytes; here is when they are read, what is answered, and how long is waited. The
states of a connection are drawn in docs/states.rst.
"""

from __future__ import annotations

from typing import Any

from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from llmedge.deadlines import stop
from llmedge.errors import EdgeError, RequestTimeout
from llmedge.sockets import close, close_writing, unsent, write_now
from llmedge.web.edge import Edge
from llmedge.web.head import RequestHead, Table
from llmedge.web.http1_parser import Body, RequestParser
from llmedge.web.http1_states import TRANSITIONS, State
from llmedge.web.refusals import LINGER, not_http, plain_refusal
from llmedge.web.writer import Http1Writer

EAGER = 65536
"""Bytes of further requests that are kept while one is answered."""
# Each ``State.IDLE`` is a call on Python 3.11.
IDLE, HEAD, BODY, STREAMING, ANSWERING, UPGRADED, REFUSING, CLOSING, CLOSED = State


@implementer(IPushProducer)
class LlhttpChannel(Http1Writer):
    """One HTTP/1.1 connection; what twisted.web's requests know as ``HTTPChannel``, and a
    :class:`llmedge.web.writer.Writer`.

    All its time limits share one timer. It is put off by each request, which costs little (twisted moves a call that
    is put off when its old time comes), and left to run while one is answered.

    :param edge: gives the limits and the clock.
    :param requestFactory: the class of requests.
    :ivar requests: the one at hand, if there is one.
    :ivar persistent: another request may follow.
    """

    transport: Any = None

    def __init__(self, edge: Edge, requestFactory: Any) -> None:
        self.edge = edge
        self.requestFactory = requestFactory
        self.requests: list[Any] = []
        self.persistent = True
        self._state: State = IDLE
        self._parser = RequestParser(edge)
        self._clock = edge.clock
        self._running = False  # the parser is on the stack
        # Who wants no more for now, in whatever state:
        self._held = False  # the body's reader
        self._blocked = False  # the transport
        self._answer = b""  # the head of an answer, until its first byte of body
        self._chunked = False  # how its body is framed
        self._producer: Any = None
        self._discarded = 0
        self._end = 0.0  # when the head or body at hand has to be here
        self._timer: Any = None
        self._progress: int | None = None

    def _become(self, state: State) -> None:
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"A connection that is {self._state.name} cannot become {state.name}.")
        self._state = state

    # Twisted's side.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.ends = transport.getPeer(), transport.getHost()  # each a system call
        self._watch()

    def dataReceived(self, data: bytes) -> None:
        state, parser = self._state, self._parser
        if state >= UPGRADED:
            if self._upgraded is not None:
                self._upgraded.data_received(data)
                return
            self._discarded += len(data)
            if self._discarded > 4 * self.edge.limits.max_request_size + 1048576:
                self.abort()  # it does not stop pushing
            return
        parser.buffer = parser.buffer + data if parser.buffer else data
        if state == ANSWERING and len(parser.buffer) > EAGER:
            # More pipelined than is held. To pause the socket instead would hide that its client leaves.
            self.abort()
            return
        if not self._running:
            self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._become(CLOSED)
        self._parser.stop()
        stop(self._timer)
        if self._upgraded is not None:
            self._upgraded.connection_lost(reason)
        requests, self.requests = self.requests, []
        for request in requests:
            request.connectionLost(reason)
        self._producer = None

    # Reading.

    def _run(self) -> None:
        """Take from what came what can be taken now."""
        parser = self._parser
        self._running = True
        try:
            while parser.buffer:
                state = self._state
                if state > STREAMING:
                    break
                if state >= BODY:
                    self._take_body()
                elif self._blocked or not self._take_head():
                    break
        finally:
            self._running = False
        state = self._state
        if state <= HEAD:
            self._progress = None
            if (found := HEAD if parser.buffer else IDLE) != state:
                self._become(found)
                self._end = self._clock.seconds() + self.edge.limits.header_timeout
            self._watch()
        elif state <= STREAMING:
            if not self._held:
                self._watch()
        elif self._upgraded is not None and parser.buffer:
            data, parser.buffer = parser.buffer, b""
            self._upgraded.data_received(data)  # came with the handshake

    def _take_head(self) -> bool:
        """:returns: whether a head was complete."""
        try:
            found = self._parser.next_head()
        except EdgeError as error:
            self._refuse(error)
            return False
        if found is None:
            return False
        head, table, length, body = found
        if body is not None:
            self._become(ANSWERING)
        request = self._make_request(head, table)
        if self.edge.draining or (body is None and head.ends_connection()):  # no known head with its body does
            self.persistent = False
            request.responseHeaders._rawHeaders[b"Connection"] = [b"close"]
        if body is not None:
            request.take(body)
            return True
        method, target, version = head.method, head.target, head.version
        request.method, request.uri, request.clientproto = method, target, version
        if length == 0:
            request.gotLength(0)
            self._become(ANSWERING)
            request.requestReceived(method, target, version)
            return True
        request.judge(target)
        request.gotLength(length)
        self._end = self._clock.seconds() + self.edge.limits.body_timeout
        expect = table.get(b"Expect")
        if expect and expect[0].lower() == b"100-continue" and version == b"HTTP/1.1" and not request.refused:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not request.refused and request.wants_stream(target, self._hold, self._release):
            self._become(STREAMING)
            request.requestReceived(method, target, version)
        else:
            self._become(BODY)
        return True

    def _make_request(self, head: RequestHead, table: Table) -> Any:
        request = self.requestFactory(self, False, head)
        request.requestHeaders._rawHeaders = table
        self.requests.append(request)
        return request

    def _take_body(self) -> None:
        request, parser = self.requests[0], self._parser
        data = parser.next_data()
        if data:
            request.handleContentChunk(data)
        if announced := parser.announced:
            request.announce(announced)
        if not BODY <= self._state <= STREAMING:
            return  # answered by somebody who would not read to the end; or it was too much, and the connection is gone
        if parser.body is Body.BROKEN:
            self._give_up(not_http())
        elif parser.body is Body.COMPLETE:
            streaming = self._state == STREAMING
            self._become(ANSWERING)
            if streaming:
                request.body.end()
            else:
                request.requestReceived(request.method, request.uri, request.clientproto)

    def _hold(self) -> None:
        """The reader of a streamed body has enough for now."""
        self._held = True
        self._end -= self._clock.seconds()  # its own slowness is not the client's
        self.transport.pauseProducing()

    def _release(self) -> None:
        held, self._held = self._held, False
        if held and self._state < REFUSING:
            self._end += self._clock.seconds()
            if self._state == STREAMING:
                self._watch()
            self.transport.resumeProducing()

    # Refusing.

    def _refuse_early(self, request: Any) -> None:
        if self.requests and self.requests[0] is request and self._waits_for_more:
            self._give_up(request.context.refusal)

    @property
    def _waits_for_more(self) -> bool:
        return BODY <= self._state <= STREAMING

    def _give_up(self, error: EdgeError) -> None:
        """What is missing of the request at hand is not waited for: say so to whoever reads it, or answer."""
        if self._state == STREAMING:
            self._stop_reading()
            self.requests[0].body.fail(error)
        else:
            self._refuse(error)

    def _stop_reading(self) -> None:
        self._become(REFUSING)
        self._parser.stop()
        self.persistent = False

    def _refuse(self, error: EdgeError) -> None:
        """Answer a request that is not complete, and close; through the onion where its first line is known."""
        head = None if self.requests else self._parser.broken_head()
        self._stop_reading()
        if head is not None:
            request = self._make_request(head, head.table)
            request.method, request.uri, request.clientproto = head.method, head.target, head.version
        if self.requests:
            request = self.requests[0]
            request.refuse(error)
            request.requestReceived(request.method, request.uri, request.clientproto)
        else:
            self.transport.write(plain_refusal(error))
            self._close()

    # Time.

    def _watch(self) -> None:
        """From now on the client may be silent for ``idle_timeout``; a head or a body has an end of its own."""
        seconds = self.edge.limits.idle_timeout
        if self._state != IDLE:
            seconds = min(seconds, max(0.001, self._end - self._clock.seconds()))
        self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)
        else:
            self._timer = self._clock.callLater(seconds, self._overdue)

    def _overdue(self) -> None:
        state = self._state
        if state == CLOSING:
            before, self._progress = self._progress, self.progress()
            if before == self._progress:
                self.abort()
            else:
                self._set_timer(self.edge.limits.write_timeout if self._progress else LINGER)
        elif state > STREAMING or self._held:
            pass  # an answer is under way; its end sets the timer again
        elif state != IDLE:
            part = "header" if state == HEAD else "body"
            self._give_up(RequestTimeout(f"The request's {part} did not arrive completely in time."))
        elif not unsent(self.transport):
            self._close()
        else:  # Not idle: the last answer is still going out. It may, while the client takes of it.
            before, self._progress = self._progress, self.progress()
            if before == self._progress:
                self.abort()
            else:
                self._set_timer(self.edge.limits.write_timeout)

    # Writing.

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: Headers, lines: list[bytes], has_body: bool
    ) -> None:
        """Keeps the head back until the first of the body is written: they leave as one."""
        table = headers._rawHeaders
        if self._state == STREAMING:  # what is left of the body is not waited for
            self.persistent = False
            table[b"Connection"] = [b"close"]
        self._chunked = has_body and version == b"HTTP/1.1" and b"Content-Length" not in table
        if self._chunked:
            table[b"Transfer-Encoding"] = [b"chunked"]
        made = [b"HTTP/1.1 %d %b\r\n" % (code, reason), *lines]  # our version, not the client's (RFC 9110 section 2.5)
        for name, values in table.items():
            for value in values:
                made.append(b"%b: %b\r\n" % (name, value))
        made.append(b"\r\n")
        self._answer = b"".join(made)

    def write_body(self, data: bytes, last: bool) -> None:
        if self._chunked and (data or last):
            end = b"0\r\n\r\n" if last else b""
            data = b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end  # RFC 9112 section 7.1
        if self._answer:
            data = self._answer + data
            self._answer = b""
        if data:
            write_now(self.transport, data)

    def requestDone(self, request: Any) -> None:
        if self._answer:  # to HEAD
            self.write_body(b"", False)
        self.requests.remove(request)
        if self._state == CLOSING:
            return
        if self._held:
            self._held = False
            self.transport.resumeProducing()
        if self._state == STREAMING:
            self._stop_reading()
        if not self.persistent:
            self.loseConnection()
            return
        self._become(IDLE)
        if self._blocked:
            self.transport.pauseProducing()
            self._watch()
        elif not self._running:
            self._run()

    def upgrade(self, protocol: Any) -> None:
        """What comes from now on is for ``protocol``: its ``data_received``, ``connection_lost`` and ``drain``. Nothing
        comes while the client takes nothing, between its ``blocked`` and ``unblocked``."""
        self._become(UPGRADED)
        self._upgraded = protocol

    # Ending.

    def _close(self) -> None:
        """What is written has some seconds to go out."""
        self.write_body(b"", False)
        self.loseConnection()
        if self._state == CLOSING:
            self._set_timer(LINGER)

    break_off = _close

    def loseConnection(self) -> None:
        """Close after what is written. A client that still sends is listened to for a while, or it would be reset
        before it has read why (RFC 9112 section 9.6)."""
        transport, still_sends = self.transport, self._state == REFUSING
        if self._state >= CLOSING:
            return
        self._become(CLOSING)
        self._parser.stop()
        self._progress = self.progress()
        self._set_timer(self.edge.limits.write_timeout if unsent(transport) and not still_sends else LINGER)
        transport.unregisterProducer()  # TLS would wait for it to go by itself
        if still_sends:
            transport.resumeProducing()
            close_writing(transport)
        else:
            close(transport)

    def abort(self) -> None:
        self.transport.abortConnection()

    # The pace: the transport's producer is this channel, this channel's is the one that the request registered.

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
        if self._state <= BODY:
            self.transport.pauseProducing()
        elif self._state == UPGRADED:
            self.transport.pauseProducing()
            self._upgraded.blocked()

    def resumeProducing(self) -> None:
        self._blocked = False
        if self._state == UPGRADED:
            self._upgraded.unblocked()
        if self._producer is not None:
            self._producer.resumeProducing()
        if not self._held:
            self.transport.resumeProducing()
        if self._parser.buffer and not self._running:
            self._run()

    def stopProducing(self) -> None:
        if self._producer is not None:
            self._producer.stopProducing()

    # What requests ask.

    def getPeer(self) -> Any:
        return self.ends[0]

    def getHost(self) -> Any:
        return self.ends[1]

    def isSecure(self) -> bool:
        return ISSLTransport(self.transport, None) is not None
