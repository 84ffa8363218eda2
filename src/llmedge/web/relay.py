"""A Reply's stream → the client: backpressure, heartbeats, and an end that tells the truth."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from llmedge.dialects.dialect import Dialect
from llmedge.errors import DeadlineExceeded, EdgeError
from llmedge.model import Event, EventKind
from llmedge.streams import ReplyStream, nobody
from llmedge.web.answer import show_call
from llmedge.web.request import EdgeRequest


class Relay:
    """Writes one stream to one client.

    The status goes out with the first content, or with the first heartbeat if the vendor is silent for longer
    than that: from then on a failure can only be an error event. While no vendor is asked there is no heartbeat: who
    waits for a place may still be refused. The connection ends cleanly after the vendor's
    terminal event and never otherwise.
    """

    def __init__(self, request: EdgeRequest, dialect: Dialect) -> None:
        self._request = request
        self._dialect = dialect
        self._limits = request.edge.limits
        self._clock = request.edge.clock
        self._flow = request.backpressure(self._pump)
        self._over: Deferred[None] | None = None
        self._ended = False
        self._stream: ReplyStream | None = None
        self._wrote = self._clock.seconds()

    async def run(self, stream: Awaitable[ReplyStream]) -> None:
        """Relay the stream that ``stream`` will be.

        :raises EdgeError: it failed before a status was sent, so that it can still become one.
        """
        request = self._request
        self._flow.start()
        self._schedule_beat()
        try:
            found = self._stream = await stream
            request.context.begin_answer(self._limits)
            if not self._flow.paused and (events := found.read_now()) is not None:
                self._write(events)
            if not self._ended:  # else all of it was here
                self._over = Deferred()
                found.on_readable(self._pump)
                self._pump()
                await self._over
        except CancelledError:
            if not request.context.expired:
                raise  # the client has gone
            late = DeadlineExceeded(f"The answer took longer than {self._limit():g} s.")
            self._fail(request.context.cut_off or late)
        except EdgeError as error:
            self._fail(error)
        except Exception:
            if request.startedWriting:
                self._abort()
            raise
        finally:
            if not self._ended:
                self._stop()
            if self._stream is not None:
                self._stream.abort()
                self._stream.on_readable(nobody)  # it knows this relay

    def _pump(self) -> None:
        """Write what is there. Called when more of it came, and when the client takes more."""
        over = self._over
        if over is None or over.called:
            return
        try:
            stream = self._stream
            assert stream is not None
            while not self._flow.paused and (events := stream.read_now()) is not None:
                self._write(events)
                if stream.drained or over.called:
                    return
        except BaseException:
            over.errback(Failure())  # type: ignore[no-untyped-call]  # twisted has no types here

    def _write(self, events: list[Event]) -> None:
        request = self._request
        if request.context.record.first_event is None:
            request.context.record.first_event = self._clock.seconds()
        if not request.startedWriting:
            self._begin()
        data = events[0].frame if len(events) == 1 else b"".join([event.frame for event in events])
        if events[-1].kind is EventKind.DONE:
            self._stop()
            self._ended = True
            request.finish(data)
            if self._over is not None:
                self._over.callback(None)
            return
        if request.startedWriting and (channel := request.channel) is not None:  # nothing is left to decide
            request.sentLength += len(data)
            channel.write_body(data, False)
        else:
            request.write(data)
        self._wrote = self._clock.seconds()

    def _begin(self) -> None:
        request = self._request
        if not request.startedWriting:
            show_call(request)
            request.responseHeaders._rawHeaders[b"Content-Type"] = [b"text/event-stream; charset=utf-8"]
            # The first is for caches on the way, which know nothing of keys; the second for nginx, which would hold it.
            request.lines.append(b"Cache-Control: private, no-store\r\nX-Accel-Buffering: no\r\n")

    def _fail(self, error: EdgeError) -> None:
        request = self._request
        self._stop()
        if not request.startedWriting:
            raise error
        request.context.record.fail(error)
        request.write(self._dialect.error_frame(error))
        self._abort()

    def _abort(self) -> None:
        """End the connection. What the stream cost until now belongs into the record, which is read at once."""
        if self._stream is not None:
            self._stream.abort()
        self._request.abort()

    def _limit(self) -> float:
        context = self._request.context
        begun = context.record.first_event is not None
        return context.stream_seconds(self._limits) if begun else context.deadline.seconds

    def _stop(self) -> None:
        self._request.edge.heartbeats.drop(self)
        self._flow.stop()

    # Heartbeats: looked at when one may be due, by when something was last written.

    def _schedule_beat(self) -> None:
        if self._limits.heartbeat:
            self._request.edge.heartbeats.set(self, self._wrote + self._limits.heartbeat)

    def beat(self) -> None:
        """A heartbeat may be due."""
        now = self._clock.seconds()
        if now - self._wrote >= self._limits.heartbeat - 0.001:
            request = self._request
            if not self._flow.paused and (request.startedWriting or request.context.record.routing.asking):
                self._begin()
                self._request.write(self._dialect.heartbeat)
            self._wrote = now
        if not self._request._disconnected and not self._request.finished:
            self._schedule_beat()
