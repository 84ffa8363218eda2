"""A stream that has begun, at the place it was given."""

from __future__ import annotations

from llmedge.errors import EdgeError, TargetError
from llmedge.model import Clock, EventKind
from llmedge.pipeline.deployment import Lease
from llmedge.pipeline.meter import Meter
from llmedge.pipeline.verdicts import cause_of, verdict_of
from llmedge.record import Attempt
from llmedge.streams import Batch, FilteredStream, ReplyStream


class RoutedStream(FilteredStream):
    """A stream whose first content has arrived; what came before it (roles, empty deltas) goes out with it.

    Gives its place at the deployment back when it ends, breaks or is given up.
    """

    def __init__(self, stream: ReplyStream, held: Batch | None, attempt: Attempt, clock: Clock, lease: Lease) -> None:
        super().__init__(stream, held)
        self.attempt = attempt
        self._clock = clock
        self._lease = lease
        self.meter: Meter = Meter()

    @property
    def held(self) -> Batch:
        """What came before its first reader, and with the first content."""
        return self._coming if isinstance(self._coming, list) else []

    @classmethod
    async def begin(cls, stream: ReplyStream, attempt: Attempt, clock: Clock, lease: Lease) -> RoutedStream:
        """Wait for the first content, holding lifecycle events back.

        :raises EdgeError: it failed first; nothing of it reaches the client.
        """
        held: Batch = []
        try:
            while not any(event.kind is not EventKind.LIFECYCLE for event in held):
                held += await stream.read()
        except BaseException:
            attempt.usage = stream.usage
            stream.abort()
            raise
        return cls(stream, held, attempt, clock, lease)

    def on_end(self, events: Batch) -> Batch:
        usage = self.usage
        self._lease.end(None if usage is None else usage.input + usage.output)
        self._end("ok")
        return events

    def on_error(self, error: EdgeError) -> None:
        self.attempt.cause = cause_of(error)
        self._lease.failed(verdict_of(error), self._clock.seconds() - self.attempt.started)
        self._end(error.outcome if isinstance(error, TargetError) else "refused", error.message)

    def on_abort(self) -> None:
        self._lease.abandon()
        self._end("aborted")

    def _end(self, outcome: str, error: str = "") -> None:
        if self.attempt.ended is None:
            self.attempt.end(self._clock.seconds(), outcome, error)
            self.attempt.usage = self.usage
            if outcome != "ok" or self.attempt.usage is None:
                self.attempt.said = self.meter.said
