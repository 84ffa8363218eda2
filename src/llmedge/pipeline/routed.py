"""A stream that has begun, at the place it was given."""

from __future__ import annotations

from collections.abc import Callable

from llmedge.errors import EdgeError, ElsewhereError
from llmedge.model import Attempt, Clock, Event, EventKind, EventStream, Usage
from llmedge.pipeline.deployments import Lease
from llmedge.pipeline.polled import polled
from llmedge.pipeline.verdicts import cause_of, verdict_of


class RoutedStream:
    """A stream whose first content has arrived; what came before it (roles, empty deltas) goes out with it.

    Gives its place at the deployment back when it ends, breaks or is given up.
    """

    def __init__(self, stream: EventStream, held: list[Event], attempt: Attempt, clock: Clock, lease: Lease) -> None:
        self.attempt = attempt
        self._stream = polled(stream)
        self._held = held
        self.dry = False
        self._clock = clock
        self._lease = lease

    @classmethod
    async def begin(cls, stream: EventStream, attempt: Attempt, clock: Clock, lease: Lease) -> RoutedStream:
        """Wait for the first content, holding lifecycle events back.

        :raises EdgeError: it failed first; nothing of it reaches the client.
        """
        held: list[Event] = []
        try:
            while not any(event.kind is not EventKind.LIFECYCLE for event in held):
                held += await stream.next()
        except BaseException:
            attempt.usage = stream.usage
            attempt.skipped_events = getattr(stream, "skipped", 0)
            stream.abort()
            raise
        return cls(stream, held, attempt, clock, lease)

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        if self._held:
            return self._took(self._first())
        try:
            events = await self._stream.next()
        except EdgeError as error:
            self._broke(error)
            raise
        return self._took(events)

    def listen(self, wake: Callable[[], None]) -> None:
        self._stream.listen(wake)

    def poll(self) -> list[Event] | None:
        """See :class:`PolledStream`."""
        self.dry = False
        if self._held:
            return self._took(self._first())
        try:
            events = self._stream.poll()
        except EdgeError as error:
            self._broke(error)
            raise
        if events is None:
            return None
        self.dry = self._stream.dry
        return self._took(events)

    def _first(self) -> list[Event]:
        events, self._held = self._held, []
        return events

    def _took(self, events: list[Event]) -> list[Event]:
        self.attempt.said += events[0].count if len(events) == 1 else sum([event.count for event in events])
        if events[-1].kind is EventKind.DONE:
            usage = self._stream.usage
            self._lease.end(None if usage is None else usage.input + usage.output)
            self._end("ok")
        return events

    def _broke(self, error: EdgeError) -> None:
        self.attempt.cause = cause_of(error)
        self._lease.failed(verdict_of(error), self._clock.seconds() - self.attempt.started)
        self._end(error.outcome if isinstance(error, ElsewhereError) else "refused", error.message)

    def abort(self) -> None:
        self._stream.abort()
        self._lease.abandon()
        self._end("aborted")

    def _end(self, outcome: str, error: str = "") -> None:
        if self.attempt.ended is None:
            self.attempt.ended = self._clock.seconds()
            self.attempt.outcome = outcome
            self.attempt.error = error
            self.attempt.usage = self._stream.usage
            self.attempt.skipped_events = getattr(self._stream, "skipped", 0)
