"""Choose a target, put the call to it, go to the next one when it fails before anything reached the client."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from llmedge.errors import EdgeError, ElsewhereError, InternalError, NotFound
from llmedge.model import Answer, Attempt, Call, Clock, Event, EventKind, EventStream, Reply, Usage
from llmedge.pipeline.models import ModelIndex
from llmedge.providers.provider import Provider

log = Logger()


class Route:
    """The innermost handler of the call onion: tries a model's targets in order."""

    def __init__(self, models: ModelIndex, providers: Mapping[str, Provider], clock: Clock) -> None:
        self._models = models
        self._providers = providers
        self._clock = clock

    async def __call__(self, call: Call) -> Reply:
        """:raises EdgeError: the client's fault at once, a target's only when no target is left."""
        match = self._models.find(call.model)
        if match is None:
            raise NotFound(f"The model '{call.model}' does not exist here.", param="model")
        failures: list[ElsewhereError] = []
        for target in match.targets:
            attempt = Attempt(target, self._clock.seconds())
            call.record.attempts.append(attempt)
            if (trace := call.record.trace) is not None:
                attempt.span_id = trace.new_span_id()
                if trace.capture:
                    call.record.asked = bytes(call.fields.get("messages") or call.fields.get("prompt") or b"")
            try:
                return await self._try(call, attempt)
            except ElsewhereError as error:
                failures.append(error)
                log.warn(
                    "{target} failed ({outcome}): {error}",
                    target=str(target),
                    outcome=error.outcome,
                    error=error.message,
                    request_id=call.record.request_id,
                )
        raise _all_failed(failures)

    async def _try(self, call: Call, attempt: Attempt) -> Reply:
        try:
            reply = await self._providers[attempt.target.provider].complete(call, attempt)
            if isinstance(reply, Answer):
                self._end(attempt, "ok")
                if call.record.trace is not None and call.record.trace.capture:
                    call.record.answered = reply.body
                return reply
            return await RoutedStream.begin(reply, attempt, self._clock)
        except CancelledError:
            self._end(attempt, "aborted")
            raise
        except ElsewhereError as error:
            self._end(attempt, error.outcome, error.message)
            raise
        except EdgeError as error:
            self._end(attempt, "refused", error.message)
            raise
        except Exception as error:
            self._end(attempt, "defect", type(error).__name__)
            log.failure("{target} could not be asked", target=str(attempt.target))
            raise InternalError from error

    def _end(self, attempt: Attempt, outcome: str, error: str = "") -> None:
        attempt.ended = self._clock.seconds()
        attempt.outcome = outcome
        attempt.error = error


def _all_failed(failures: list[ElsewhereError]) -> ElsewhereError:
    """What the client is told: the last failure's status, every failure's reason."""
    last = failures[-1]
    if len(failures) > 1:
        last.message = f"All {len(failures)} targets failed. " + " ".join(error.message for error in failures)
        waits = [error.retry_after for error in failures if error.retry_after is not None]
        last.retry_after = min(waits, default=None)
    return last


class RoutedStream:
    """A stream whose first content has arrived; what came before it (roles, empty deltas) goes out with it."""

    def __init__(self, stream: EventStream, held: list[Event], attempt: Attempt, clock: Clock) -> None:
        self._stream = stream
        self._held = held
        self._attempt = attempt
        self._clock = clock

    @classmethod
    async def begin(cls, stream: EventStream, attempt: Attempt, clock: Clock) -> RoutedStream:
        """Wait for the first content, holding lifecycle events back.

        :raises EdgeError: it failed first; nothing of it reaches the client.
        """
        held: list[Event] = []
        try:
            while not any(event.kind is not EventKind.LIFECYCLE for event in held):
                held += await stream.next()
        except BaseException:
            stream.abort()
            raise
        return cls(stream, held, attempt, clock)

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        if self._held:
            events, self._held = self._held, []
        else:
            try:
                events = await self._stream.next()
            except EdgeError as error:
                outcome = error.outcome if isinstance(error, ElsewhereError) else "refused"
                self._end(outcome, error.message)
                raise
        if events[-1].kind is EventKind.DONE:
            self._end("ok")
        return events

    def abort(self) -> None:
        self._stream.abort()
        self._end("aborted")

    def _end(self, outcome: str, error: str = "") -> None:
        if self._attempt.ended is None:
            self._attempt.ended = self._clock.seconds()
            self._attempt.outcome = outcome
            self._attempt.error = error
