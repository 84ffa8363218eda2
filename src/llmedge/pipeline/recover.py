"""Streams that survive: what happens when one breaks after the client has got a part of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from llmedge.dialects import form
from llmedge.dialects.dialect import Asked, ChatDialect, Saying
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import AnswerDiverged, EdgeError, ElsewhereError, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Answer, Call, Deadline, Event, EventKind, EventStream, Reply, Usage
from llmedge.pipeline.polled import Later, polled
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.splice import Continuation, Diverged, Splicer, spoken

if TYPE_CHECKING:
    from llmedge.pipeline.route import Run

log = Logger()

KEPT_IN_ALL = 134217728
"""The same, of all streams together: beyond it those that grow can only end in an error, too."""
KEPT = 1048576
"""Bytes of a stream that are kept to be able to go on with it; a longer one can only end in an error."""
HELD = 67108864
"""Bytes of a stream that are held where all of it is."""
_MAX_EVENT = 1 << 24
_PROMPT = ("messages", "system", "input", "instructions", "contents", "systemInstruction")


_MOST = ("max_tokens", "max_completion_tokens", "max_output_tokens")
BYTES_A_TOKEN = 4
"""Of text, roughly."""


class _Join(Protocol):
    def take(self, events: list[form.StreamEvent]) -> list[form.StreamEvent]: ...


class BufferedStream:
    """A stream that is held until all of it is here; one that breaks is asked for from the beginning."""

    def __init__(self, run: Run, stream: RoutedStream) -> None:
        self._run = run
        self._stream: EventStream = stream
        self._held: list[Event] = []
        self._size = 0

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        """All events, at once.

        :raises EdgeError: nobody gave a whole answer; nothing of any was shown.
        """
        while True:
            try:
                events = await self._stream.next()
            except ElsewhereError as error:
                self._held, self._size = [], 0
                self._stream = await self._again(error)
                continue
            self._held += events
            self._size += sum([len(event.frame) for event in events])
            if events[-1].kind is EventKind.DONE:
                return self._held
            if self._size > HELD:
                self._stream.abort()
                raise UpstreamTooLarge(f"The answer has more than {HELD} bytes, too much to hold.")

    async def _again(self, error: ElsewhereError) -> EventStream:
        run = self._run
        if run.call.upload is not None and run.call.upload.spent:
            raise error
        run.broke(error)
        run.call = call = msgspec.structs.replace(
            run.call, deadline=Deadline(run.route.clock, run.call.deadline.seconds)
        )
        reply = await _in_time(run.ask(), call)
        assert not isinstance(reply, Answer)
        return reply

    def abort(self) -> None:
        self._stream.abort()


class RecoveringStream:
    """A stream that is asked for again when it breaks: spliced, or continued."""

    def __init__(self, run: Run, stream: RoutedStream, mode: str) -> None:
        self._run = run
        self._stream = polled(stream)
        self._wake: Callable[[], None] = lambda: None
        self._recovering: Later | None = None
        self.dry = False
        self._mode = mode
        self._frames: list[bytes] | None = []
        self._size = 0

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        while True:
            try:
                events = await self._stream.next()
            except ElsewhereError as error:
                self._stream = polled(await self._recovered(error))
                continue
            self._keep(events)
            if events:
                return events

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stream.listen(wake)

    def poll(self) -> list[Event] | None:
        """See :class:`PolledStream`."""
        while True:
            if self._recovering is not None:
                if not self._recovering.here:
                    return None
                recovering, self._recovering = self._recovering, None
                self._stream = polled(recovering.take())
                self._stream.listen(self._wake)
            try:
                events = self._stream.poll()
            except ElsewhereError as error:
                self._recovering = Later(self._recovered(error), lambda: self._wake())
                continue
            if events is None:
                return None
            self._keep(events)
            if events:
                self.dry = self._stream.dry
                return events

    def abort(self) -> None:
        recovering, self._recovering = self._recovering, None
        if recovering is not None:
            recovering.cancel()
            if (found := recovering.found) is not None:
                found.abort()  # nobody had come for it yet
        self._stream.abort()
        self._forget()

    def _keep(self, events: list[Event]) -> None:
        if self._frames is not None:
            size = 0
            for event in events:
                self._frames.append(event.frame)
                size += len(event.frame)
            self._size += size
            self._run.route.kept += size
            done = bool(events) and events[-1].kind is EventKind.DONE
            if done or self._size > KEPT or self._run.route.kept > KEPT_IN_ALL:
                self._forget()

    def _forget(self) -> None:
        """Keep nothing, from now on."""
        if self._frames is not None:
            self._frames = None
            self._run.route.kept -= self._size

    async def _recovered(self, error: ElsewhereError) -> EventStream:
        """A stream that goes on.

        :raises ElsewhereError: there is none; what broke the first one, and what came of the others.
        """
        run = self._run
        dialect = DIALECTS[run.call.dialect]
        if self._frames is None or not isinstance(dialect, ChatDialect):
            raise error
        seen = dialect.decoder(choices=run.call.choices, max_event=_MAX_EVENT).feed(b"".join(self._frames))
        text = spoken(seen) if self._mode == "continue" else None
        why = ""
        # The call's own deadline was for the first content: what is asked now has as long again, all of it together.
        deadline = Deadline(run.route.clock, run.call.deadline.seconds)
        run.call = msgspec.structs.replace(run.call, deadline=deadline)
        run.broke(error, again=bool(run.match.model.stream_recovery))  # by name: the same target may be asked as well
        while deadline.left() and (candidate := await run.choose()) is not None:
            join: _Join
            call, kind = run.call, "splice"
            if text and text.strip() and candidate.capabilities.prefill:
                kind = "continue"
                tokens = max(1, len(text.encode()) // BYTES_A_TOKEN)
                call = _continued(run.call, dialect, text.rstrip(), tokens)
                join = Continuation(seen, text[len(text.rstrip()) :], tokens)
            else:
                join = Splicer(seen)
            try:
                reply = await _in_time(run.attempt(candidate, kind, call), call)
            except EdgeError as failure:
                why = failure.message
                continue
            assert not isinstance(reply, Answer)
            log.info(
                "a stream that broke goes on at {target} ({kind})",
                target=candidate.name,
                kind=kind,
                request_id=call.record.request_id,
            )
            return JoinedStream(reply, join, seen, dialect, run.call, error)
        if why:
            error.message += f" It could not be completed elsewhere: {why}"
        raise error


class JoinedStream:
    """A second stream, of which the client gets what it does not have yet, as if it were one."""

    def __init__(
        self,
        stream: EventStream,
        join: _Join,
        seen: list[form.StreamEvent],
        dialect: ChatDialect,
        call: Call,
        broke: ElsewhereError,
    ) -> None:
        self._stream = stream
        self._join = join
        self._broke = broke
        self._decoder = dialect.decoder(choices=call.choices, max_event=_MAX_EVENT)
        self._encoder = dialect.encoder(Asked(call.model, call.record.request_id, 0, call.wants_usage, call.fields))
        self._encoder.encode(seen)  # it has said all that
        self._begun = next((event for event in seen if isinstance(event, form.Begin)), form.Begin())
        self._names = dialect.name == "openai_chat"

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        """May be empty while the first part is repeated."""
        events = await self._stream.next()
        try:
            said = self._decoder.feed(b"".join([event.frame for event in events]))
            if events[-1].frame == b"" and not self._decoder.done:
                said += self._decoder.end()
            if self._names and said and isinstance(said[0], form.Begin):  # each chunk says who wrote it
                self._encoder.encode([msgspec.structs.replace(self._begun, model=said[0].model)])
            return self._encoder.encode(self._join.take(said))
        except Diverged:
            self._stream.abort()
            raise AnswerDiverged(
                f"{self._broke.message} It cannot be completed: asked again, the answer was a different one."
            ) from None

    def abort(self) -> None:
        self._stream.abort()


async def _in_time(asking: Coroutine[Deferred[Any], Any, Reply], call: Call) -> Reply:
    """What is asked once a stream has begun: no deadline of the request's holds for its first content any more.

    :raises UpstreamTimeout: it did not come before the call's own.
    """
    work: Deferred[Reply] = Deferred.fromCoroutine(asking)
    work.addTimeout(call.deadline.left(), call.deadline.clock)
    try:
        return await work
    except TimeoutError:
        raise UpstreamTimeout(f"Nothing came within {call.deadline.seconds:g} s.") from None


def _continued(call: Call, dialect: ChatDialect, text: str, tokens: int) -> Call:
    """``call`` with ``text``, of about so many tokens, as the beginning of its answer; as much less may follow."""
    asked = dialect.parse(call.fields)
    begun = form.Message("assistant", (form.Text(text),), at="the answer so far")
    most = None if asked.max_tokens is None else max(1, asked.max_tokens - tokens)
    asked = msgspec.structs.replace(asked, messages=(*asked.messages, begun), max_tokens=most)
    said = dialect.render(asked, call.model, Saying({}, drop=True), stream=True)
    fields: dict[str, Any] = msgspec.json.decode(said, type=dict[str, msgspec.Raw])
    prompt = {name: raw for name, raw in fields.items() if name in _PROMPT}
    prompt |= {name: msgspec.Raw(b"%d" % most) for name in _MOST if name in call.fields and most is not None}
    return msgspec.structs.replace(call, fields={**call.fields, **prompt}, form=asked, continues=True)
