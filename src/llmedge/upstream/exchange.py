"""One request to a vendor and the answer to it, for whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum, auto
from math import inf
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import TargetError, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Clock
from llmedge.record import Attempt, Routing

HIGH_WATER = 16384
"""Bytes an exchange holds for a slow consumer before the vendor's socket is paused."""

_DRAIN_SECONDS = 1.0


class State(IntEnum):
    """Where an exchange stands; docs/states.rst draws the ways from one to the next."""

    ASKED = auto()  # the request is going out, or is out: the answer's headers are awaited
    ANSWERING = auto()  # the headers are here, and the body is coming
    DRAINING = auto()  # the consumer has all it needs, and only the end of the framing is awaited
    COMPLETE = auto()  # all of the answer arrived
    FAILED = auto()  # the answer was cut, malformed or too slow
    ABORTED = auto()  # the consumer gave it up


ASKED, ANSWERING, DRAINING, COMPLETE, FAILED, ABORTED = State  # a global is found faster than a member

TRANSITIONS = {
    "headers": {ASKED: ANSWERING},
    "end": {ANSWERING: COMPLETE, DRAINING: COMPLETE},
    "error": {ASKED: FAILED, ANSWERING: FAILED, DRAINING: FAILED},
    "drain": {ANSWERING: DRAINING},
    "abort": {ASKED: ABORTED, ANSWERING: ABORTED},
    "timeout": {DRAINING: ABORTED},
}
"""By event, which state follows which. Whatever else happens leaves the state as it is: the first end of an exchange
stands, and one that is drained takes no notice of its consumer's abort."""


class Owed(Enum):
    """What the vendor has to send next, in the words of the error that says it did not."""

    HEADERS = "send the first byte of its answer"
    CONTENT = "send the first content of its answer"
    MORE = "go on with its answer"
    END = "end its answer"


HEADERS, CONTENT, MORE, END = Owed


class Flow(Protocol):
    """The connection, as far as an exchange acts on it."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    def expire_at(self, due: float) -> None:
        """Call :meth:`Exchange.expire` at ``due``, in clock seconds, instead of at a time given before."""


class Body(Protocol):
    """What a consumer has of an exchange, once its headers are here; see :class:`Exchange`."""

    @property
    def state(self) -> State: ...

    @property
    def status(self) -> int: ...

    @property
    def fields(self) -> dict[bytes, bytes]: ...

    def take(self) -> bytes | None: ...

    async def read_all(self) -> bytes: ...

    def listen(self, wake: Callable[[], None] | None) -> None: ...

    def expect(self, patience: float | None = None, owed: Owed = MORE) -> None: ...

    def drain(self) -> None: ...

    def abort(self) -> None: ...


@attrs.define(eq=False)
class Exchange:
    """One request on one connection and the response to it.

    The consumer pulls: :meth:`headers`, then :meth:`read` until ``b""``. While it does not pull, at most
    :data:`HIGH_WATER` bytes and one socket read are held, and the vendor's socket is paused.

    :ivar status: 0 until the headers are here.
    :ivar heard: when they came, in the turn in which they did.
    """

    _flow: Flow | None
    _clock: Clock
    _limits: Upstream
    _attempt: Attempt
    _routing: Routing
    state: State = ASKED
    status: int = 0
    fields: dict[bytes, bytes] = attrs.Factory(dict)
    _chunks: list[bytes] = attrs.Factory(list)
    _held: int = 0
    _paused: bool = False
    _error: TargetError | None = None
    _wake: Callable[[], None] | None = None
    _arrived: Deferred[None] | None = None
    _owed: Owed | None = None
    _alone_since: float | None = None
    heard: float | None = None
    _patience: float = 0.0
    _due: float = inf
    _timer_due: float = inf

    def _move(self, event: str) -> State:
        self.state = state = TRANSITIONS[event].get(self.state, self.state)
        return state

    @property
    def wants_body(self) -> bool:
        """The rest of the request is of use: no error and no whole answer came before it was out."""
        return self.state <= ANSWERING and self.status < 300

    async def headers(self) -> int:
        """Wait for the status line and headers; their status.

        :raises TargetError: cut, malformed, or silent for ``first_byte_timeout``.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            self.expect(self._limits.first_byte_timeout, HEADERS)
            await self.arrival()
        return self.status

    async def read(self) -> bytes:
        """What has arrived since the last call, at least one byte; ``b""`` at the end.

        :raises TargetError: cut, malformed, or silent for ``idle_timeout``. What arrived before comes first.
        """
        while (data := self.take()) is None:
            self.expect()
            await self.arrival()
        return data

    def take(self) -> bytes | None:
        """As :meth:`read`, without waiting: ``None`` where nothing is here yet. A caller that listens (:meth:`listen`)
        then says with :meth:`expect` how long it may take."""
        if not self._chunks:
            if self._error is not None:
                raise self._error
            return b"" if self.state is COMPLETE else None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._resume()
        return data

    async def read_all(self) -> bytes:
        """The whole body.

        :raises UpstreamTooLarge: it is over ``upstream.max_response_size``.
        """
        limit = self._limits.max_response_size
        if self.state is COMPLETE and self._held <= limit and len(self._chunks) == 1:
            return self._chunks.pop()  # it came in one piece, as most do
        self.check_length(limit)
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.abort()
                raise UpstreamTooLarge(f"answered with more than {limit} bytes (upstream.max_response_size)")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def check_length(self, limit: int) -> None:
        """:raises UpstreamTooLarge: the headers say that the body is over ``limit`` bytes."""
        length = self.fields.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            self.abort()
            raise UpstreamTooLarge(f"announced more than {limit} bytes (upstream.max_response_size)")

    def drain(self) -> None:
        """The consumer has all it needs: let the framing's end arrive, so that the connection can be used again."""
        self._chunks.clear()
        self._held = 0
        if self._move("drain") is DRAINING:
            self._set_timer(self._clock.seconds() + _DRAIN_SECONDS)
            self._resume()

    def abort(self) -> None:
        """Close the connection at once, unless the answer is complete or all of it that matters is here."""
        if self._move("abort") is not DRAINING:
            self._close()
            self._wake = None

    def fail(self, error: TargetError) -> None:
        """Give up: close the connection, and tell whoever listens."""
        if self.state is not FAILED and self._move("error") is FAILED:
            self._error = error
        self._close()
        self.notify()

    def _close(self) -> None:
        flow, self._flow = self._flow, None
        if flow is not None:
            flow.abort()
        self._stop_waiting()

    def _resume(self) -> None:
        if self._paused and self._flow is not None:
            self._paused = False
            self._flow.resume()

    # Waiting.

    def listen(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called, and no other any more, when there is something to :meth:`take`, or never will be."""
        self._wake = wake

    def expect(self, patience: float | None = None, owed: Owed = MORE) -> None:
        """From now on the vendor owes something.

        :param patience: seconds of silence allowed; ``upstream.idle_timeout`` by default, 0 for no limit.
        """
        now = self._clock.seconds()
        self._patience = patience = self._limits.idle_timeout if patience is None else patience
        self._due = due = now + patience if patience else inf
        if due < self._timer_due:  # a later one is set when the timer has fired
            self._set_timer(due)
        if self._owed is None:
            if self._routing.raced:
                self._routing.begin_wait(now)
            else:  # each event pays for this
                self._alone_since = now
        self._owed = owed

    def _set_timer(self, due: float) -> None:
        self._timer_due = due
        if self._flow is not None:
            self._flow.expire_at(due)

    def _stop_waiting(self, now: float | None = None) -> None:
        if self._owed is not None:
            self._owed = None
            since, self._alone_since = self._alone_since, None
            if now is None:
                now = self._clock.seconds()
            if since is None:
                self._routing.end_wait(now)
            else:
                self._routing.waited += now - since

    def arrival(self) -> Deferred[None]:
        """Fires at the next :meth:`notify`, which then calls nobody else; cancelling it aborts the exchange."""
        arrived = self._arrived = Deferred(lambda _: self.abort())
        self._wake = self._arrive
        return arrived

    def _arrive(self) -> None:
        arrived, self._arrived, self._wake = self._arrived, None, None
        if arrived is not None:
            arrived.callback(None)

    def expire(self) -> None:
        """Called at the time given to :meth:`Flow.expire_at`, or earlier; the vendor may have longer by now."""
        self._timer_due = inf
        if self.state is DRAINING:
            self._move("timeout")
            self.abort()
        elif self._owed is not None and self._due < inf:
            if self._due > self._clock.seconds() + 0.001:
                self._set_timer(self._due)
            else:
                cause = "stall" if self._owed is MORE else "silent"
                message = f"did not {self._owed.value} within {self._patience:g} s"
                self.fail(UpstreamTimeout(message, cause=cause))

    def notify(self) -> None:
        """Tell the listener that something came, or that nothing will; if it does not take it, hold the vendor back."""
        heard, self.heard = self.heard, None
        self._stop_waiting(heard)
        if self._wake is not None:
            self._wake()
        if self._held > HIGH_WATER and not self._paused and self._flow is not None:
            self._paused = True
            self._flow.pause()

    # Called by the connection after each read, before notify().

    def got(self, status: int, fields: dict[bytes, bytes], chunks: list[bytes], whole: bool = False) -> None:
        """What came: the status, 0 until all headers are here, and pieces of the body.

        :param whole: the answer ends with them.
        """
        if status and self.state is ASKED:
            self.state = TRANSITIONS["headers"][ASKED]
            self.status, self.fields = status, fields
            self._attempt.status = status
            self.heard = now = self._clock.seconds()
            if self._attempt.first_byte is None:
                self._attempt.first_byte = now
        if self.state is ANSWERING:
            self._chunks += chunks
            self._held += len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        if whole:
            self.state = TRANSITIONS["end"][self.state]
            if self._paused:
                self._resume()  # under TLS what was read before the pause comes after it
            self._flow = None
