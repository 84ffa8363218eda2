"""HTTP/2 (RFC 9113): twisted.web's connection, with the holes that matter to long answers closed.

- A connection with a stream under way is not idle, however long the answer takes.
- An answer that broke is reset (RST_STREAM) after what was written, never ended as if it were complete.
- Floods of control frames end the connection (ENHANCE_YOUR_CALM); resets are bounded by twisted itself, header
  lists and CONTINUATION by h2, concurrent streams by a setting.
- A connection error is told by its code and ends the connection (RFC 9113 section 5.4.1), within TLS too, where
  closing waits for whoever still produces.
- Draining sends GOAWAY and lets the streams under way finish; so does a client's own GOAWAY.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import h2.errors
import h2.exceptions
import priority
from hyperframe.frame import GoAwayFrame
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.python.failure import Failure
from twisted.web import _http2
from twisted.web.http_headers import Headers

from llmedge.deadlines import stop
from llmedge.errors import EdgeError
from llmedge.sockets import BUFFER, close
from llmedge.web.edge import Edge
from llmedge.web.http2_state import Connection
from llmedge.web.refusals import LINGER
from llmedge.web.writer import with_lines

_H2Connection: Any = _http2.H2Connection  # twisted has no types here
_H2Stream: Any = _http2.H2Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every HTTP/2 client sends first (RFC 9113 section 3.4)."""

_FRAMES_A_TURN = 32


class EdgeStream(_H2Stream):  # type: ignore[misc]
    """One request and its answer; a :class:`llmedge.web.writer.Writer`."""

    def __init__(self, streamID: int, connection: EdgeHttp2, headers: Any) -> None:
        self.edge = edge = connection.edge
        self.ends = connection.getPeer(), connection.getHost()
        self.sent, self.seen = 0, -1
        self._body_timer = edge.clock.callLater(edge.limits.body_timeout, self.abort)
        super().__init__(streamID, connection, headers, connection.requestFactory, None, None)
        if self.command not in (b"GET", b"HEAD"):
            self._request.judge(self.path or b"")

    def refuse_soon(self, request: Any) -> None:
        """The body is discarded and the refusal sent when it ends; what does not end is reset."""

    def progress(self) -> int:
        return self.sent

    def connection(self) -> Any:
        return self._conn.transport

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: Headers, lines: list[bytes], has_body: bool
    ) -> None:
        self.writeHeaders(version, b"%d" % code, reason, with_lines(headers, lines))

    def write_body(self, data: bytes, last: bool) -> None:
        if data:
            self.write(data)

    def requestComplete(self) -> None:
        stop(self._body_timer)
        super().requestComplete()

    def requestDone(self, request: Any) -> None:
        super().requestDone(request)
        self._conn.watch_ends()

    def connectionLost(self, reason: Any) -> None:
        stop(self._body_timer)
        super().connectionLost(reason)

    def abort(self) -> None:
        """Reset the stream; whoever works on it is told that its client is gone."""
        connection, stream = self._conn, self.streamID
        if stream in connection.streams:
            connection.abortRequest(stream)
            self.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]

    abortConnection = abort

    def break_off(self) -> None:
        """Send what is written, then reset; a client whose window stays closed is reset without it."""
        connection = self._conn
        connection.conn.broken.add(self.streamID)
        connection.endRequest(self.streamID)
        connection.edge.clock.callLater(LINGER, self._give_up)

    def _give_up(self) -> None:
        if self.streamID in self._conn.streams:
            self.abort()


class EdgeHttp2(_H2Connection):  # type: ignore[misc]
    """One HTTP/2 connection."""

    def __init__(self, edge: Edge, requestFactory: Any) -> None:
        super().__init__(reactor=edge.clock)
        limits = edge.limits
        self.edge = edge
        self.requestFactory = requestFactory
        self.timeOut = limits.idle_timeout
        self.callLater = edge.clock.callLater
        self.conn = Connection(edge.clock, limits.max_streams, limits.max_header_size)
        self._sendingDeferred: Any = None
        self._draining = False
        self._leaving: Any = None
        self._ends: Any = None

    def _requestReceived(self, event: Any) -> None:
        """twisted's, but for the class of the stream."""
        stream = event.stream_id
        self.streams[stream] = EdgeStream(stream, self, event.headers)
        self._streamCleanupCallbacks[stream] = Deferred()
        self._outboundStreamQueues[stream] = deque()
        try:
            self.priority.insert_stream(stream)
        except priority.DuplicateStreamError:
            pass  # a PRIORITY frame came before the headers
        else:
            self.priority.block(stream)

    def dataReceived(self, data: bytes) -> None:
        if self._leaving is not None:
            return
        super().dataReceived(data)
        if (code := self.conn.goaway) is not None and self._stillProducing:
            if code:
                self._terminate(Failure(ConnectionLost("The client sent GOAWAY.")))  # type: ignore[no-untyped-call]
            else:
                self._finish()
        if self._stillProducing:
            self._resume_streams()

    def _handleWindowUpdate(self, event: Any) -> None:
        """Looked at once, after all events of a read: settings open windows too."""

    def _resume_streams(self) -> None:
        """Go on with the streams whose window has opened."""
        for stream_id, stream in tuple(self.streams.items()):
            if stream_id not in self.streams or self.conn.local_flow_control_window(stream_id) <= 0:
                continue
            if self._outboundStreamQueues[stream_id]:
                self.priority.unblock(stream_id)
            stream.windowUpdated()
        waiting, self._sendingDeferred = self._sendingDeferred, None
        if waiting is not None:
            waiting.callback(None)

    def _sendPrioritisedData(self, *_: Any) -> None:
        """The sending loop. twisted's sends one frame a turn, and spins as long as a window is closed."""
        for _turn in range(_FRAMES_A_TURN):
            if not self._stillProducing:
                return
            if self._consumerBlocked is not None:
                self._consumerBlocked.addCallback(self._sendPrioritisedData)
                return
            try:
                stream = next(self.priority)
            except priority.DeadlockError:
                self._sendingDeferred = Deferred()
                self._sendingDeferred.addCallback(self._sendPrioritisedData)
                return
            try:
                self._send_frame(stream)
            except h2.exceptions.StreamClosedError:
                # Reset in the very read that began it: h2 knows already, the event is still to come. The loop goes on.
                self._outboundStreamQueues[stream].clear()
                self.priority.block(stream)
        self._reactor.callLater(0, self._sendPrioritisedData)

    def _send_frame(self, stream: int) -> None:
        self.resetTimeout()
        queue = self._outboundStreamQueues[stream]
        data = queue.popleft()
        if data is _http2._END_STREAM_SENTINEL:
            self.conn.end_stream(stream)
            self.transport.write(self.conn.data_to_send())
            self._requestDone(stream)
            return
        room = min(self.conn.max_outbound_frame_size, self.conn.local_flow_control_window(stream))
        if room <= 0:
            queue.appendleft(data)
            self.priority.block(stream)
            self.streams[stream].flowControlBlocked()
            return
        if len(data) > room:
            queue.appendleft(data[room:])
            data = data[:room]
        if data:
            self.streams[stream].sent += len(data)
            self.conn.send_data(stream, data)
            self.transport.write(self.conn.data_to_send())
        if not queue:
            self.priority.block(stream)
        if self.remainingOutboundWindow(stream) <= 0:
            self.streams[stream].flowControlBlocked()
        else:
            self.streams[stream].windowUpdated()

    def remainingOutboundWindow(self, streamID: int) -> int:
        """What a stream may still write: less than its window, which may be 2 GiB while nobody reads."""
        sentinel = _http2._END_STREAM_SENTINEL
        queued = sum(len(data) for data in self._outboundStreamQueues[streamID] if data is not sentinel)
        window: int = self.conn.local_flow_control_window(streamID)
        return min(window, BUFFER) - queued

    def abortRequest(self, streamID: int) -> None:
        """twisted's, which resets with NO_ERROR."""
        self.conn.reset_stream(streamID, h2.errors.ErrorCodes.CANCEL)
        if self._tryToWriteControlData():
            self._requestDone(streamID)

    def timeoutConnection(self) -> None:
        if self.streams:  # their own deadlines bound them
            self.setTimeout(self.timeOut)
        else:
            self.conn.close_connection()
            self._leave()

    def _requestDone(self, streamID: int) -> None:
        if streamID in self.conn.broken:  # its request never finished: it is told that it is over all the same
            self.conn.broken.discard(streamID)
            self.streams[streamID].connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]
        super()._requestDone(streamID)
        if self._draining and not self.streams:
            self._leave()

    def watch_ends(self) -> None:
        """An answer is complete, but not taken: it may wait as long as something of it is."""
        if self._ends is None:
            self._ends = self.edge.clock.callLater(self.edge.limits.write_timeout, self._check_ends)

    def _check_ends(self) -> None:
        self._ends = None
        for stream in tuple(self.streams.values()):
            if stream._request.finished:
                if stream.sent == stream.seen:
                    stream.abort()
                else:
                    stream.seen = stream.sent
                    self.watch_ends()

    def drain(self) -> None:
        """No new streams; the connection closes when those under way are over."""
        # By hand: h2 takes a GOAWAY of its own for the end and would refuse to send another byte.
        goaway = GoAwayFrame(0, last_stream_id=self.conn.highest_inbound_stream_id, error_code=0)
        self.transport.write(goaway.serialize())
        self._finish()

    def _finish(self) -> None:
        """Close when the streams under way are over."""
        self._draining = True
        if not self.streams:
            self._leave()

    def cut(self, error: EdgeError) -> None:
        """End the streams under way with ``error``; those that have not begun to be answered are reset."""
        for stream in tuple(self.streams.values()):
            if not stream._request.context.cut(error):
                stream.abort()

    def _terminate(self, reason: Failure) -> None:
        """End the connection, with what h2 has to say last."""
        self._leave()
        super().connectionLost(reason, _cancelTimeouts=False)

    def _leave(self) -> None:
        """Close after what is written; where the client does not let that happen, without."""
        transport = self.transport
        if transport is None or self._leaving is not None:
            return
        self._leaving = self.edge.clock.callLater(LINGER, transport.abortConnection)
        transport.write(b"".join(self._bufferedControlFrames) + self.conn.data_to_send())
        self._bufferedControlFrames.clear()
        transport.unregisterProducer()  # TLS would wait for it to go by itself
        close(transport)

    def connectionLost(self, reason: Any, _cancelTimeouts: bool = True) -> None:
        stop(self._leaving)
        stop(self._ends)
        super().connectionLost(reason, _cancelTimeouts=_cancelTimeouts)
