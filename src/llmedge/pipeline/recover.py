"""Streams that survive: what happens when one breaks after the client has got a part of it."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import AnswerDiverged, EdgeError, TargetError, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Answer, Deadline, EventKind, Usage
from llmedge.pipeline.attempt import choose, make
from llmedge.pipeline.plan import Plan
from llmedge.pipeline.said import MAX_EVENT, SaidFilter, SaidStream
from llmedge.pipeline.splice import Continuation, Diverged, Splicer, spoken
from llmedge.streams import AwaitedStream, Batch, FilteredStream, Reply, ReplyStream

log = Logger()

KEPT = 1048576
"""Bytes of a stream that are kept to be able to go on with it; a longer one can only end in an error."""
KEPT_IN_ALL = 134217728
"""Bytes of memory that all streams together keep: beyond them those that grow can only end in an error, too."""
PACKED = 8192
"""Bytes of frames that are packed at once: what is around their text is the same in each, and goes down to nothing."""
HELD = 67108864
"""Bytes of a stream that are held where all of it is."""
BYTES_A_TOKEN = 4
"""Of text, roughly."""


class KeptBytes:
    """What all streams under way keep together for their recovery.

    :ivar total: bytes of memory.
    """

    total = 0


class KeptFrames:
    """The frames of one stream, in little more memory than their text takes.

    :ivar size: their bytes; ``held``: those that they take here.
    """

    def __init__(self) -> None:
        self.size = self.held = 0
        self._packed: list[bytes] = []
        self._last: list[bytes] = []
        self._loose = 0

    def add(self, events: Batch) -> int:
        """:returns: by how much :attr:`held` has grown."""
        size = 0
        for event in events:
            self._last.append(event.frame)
            size += len(event.frame)
        before = self.held
        self.size += size
        self.held += size
        self._loose += size
        if self._loose >= PACKED:
            packed = zlib.compress(b"".join(self._last), 1)
            self._packed.append(packed)
            self.held += len(packed) - self._loose
            self._last, self._loose = [], 0
        return self.held - before

    def all(self) -> bytes:
        """All of them, one behind the other."""
        return b"".join([*map(zlib.decompress, self._packed), *self._last])


class BufferedStream(AwaitedStream):
    """A stream that is held until all of it is here; one that breaks is asked for from the beginning.

    :param ask: asks whoever is next.
    """

    def __init__(
        self, stream: ReplyStream, plan: Plan, call: Call, ask: Callable[[Call], Coroutine[Any, Any, Reply]]
    ) -> None:
        self._stream = stream
        self._plan = plan
        self._call = call
        self._ask = ask

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next_batch(self) -> Batch:
        """All events, at once.

        :raises EdgeError: nobody gave a whole answer; nothing of any was shown.
        """
        held: Batch = []
        size = 0
        while True:
            try:
                events = await self._stream.read()
            except TargetError as error:
                held, size = [], 0
                self._stream = await self._again(error)
                continue
            held += events
            size += sum([len(event.frame) for event in events])
            if events[-1].kind is EventKind.DONE:
                return held
            if size > HELD:
                self._stream.abort()
                raise UpstreamTooLarge(f"The answer has more than {HELD} bytes, too much to hold.")

    async def _again(self, error: TargetError) -> ReplyStream:
        if self._call.upload is not None and self._call.upload.spent:
            raise error
        self._plan.broke(error)
        call = _with_time(self._call)
        return await _in_time(self._ask(call), call)

    def abort(self) -> None:
        super().abort()
        self._stream.abort()


class RecoveringStream(FilteredStream):
    """A stream that is asked for again when it breaks: spliced, or continued.

    :param mode: ``splice`` or ``continue``.
    """

    def __init__(self, stream: ReplyStream, plan: Plan, call: Call, kept: KeptBytes, mode: str) -> None:
        super().__init__(stream)
        self._plan = plan
        self._call = call
        self._mode = mode
        self._kept: KeptFrames | None = KeptFrames()
        self._all = kept

    def on_events(self, events: Batch) -> Batch:
        if (kept := self._kept) is not None:
            self._all.total += kept.add(events)
            done = bool(events) and events[-1].kind is EventKind.DONE
            if done or kept.size > KEPT or self._all.total > KEPT_IN_ALL:
                self._forget()
        return events

    def on_error(self, error: EdgeError) -> Awaitable[ReplyStream] | None:
        return self._recovered(error) if isinstance(error, TargetError) else None

    def on_abort(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Keep nothing, from now on."""
        if self._kept is not None:
            self._all.total -= self._kept.held
            self._kept = None

    async def _recovered(self, error: TargetError) -> ReplyStream:
        """A stream that goes on.

        :raises TargetError: there is none; what broke the first one, and what came of the others.
        """
        plan, call = self._plan, _with_time(self._call)
        dialect = DIALECTS[call.dialect]
        if self._kept is None or not isinstance(dialect, ChatDialect):
            raise error
        decoder = dialect.decoder(choices=call.choices, max_event=MAX_EVENT)
        seen = decoder.feed(self._kept.all()) + decoder.flush()
        if decoder.is_halved:
            raise error  # the client has half a character, and no other stream begins with the rest
        text = spoken(seen) if self._mode == "continue" else None
        why = ""
        assert call.match is not None
        plan.broke(error, again=bool(call.match.model.stream_recovery))  # by name: the same target may be asked as well
        while call.deadline.left() and (option := await choose(plan, call)) is not None:
            join: SaidFilter
            asked, kind = call, "splice"
            if text and text.strip() and option.candidate.capabilities.prefill:
                kind = "continue"
                tokens = max(1, len(text.encode()) // BYTES_A_TOKEN)
                asked = _continued(call, dialect, text.rstrip(), tokens)
                join = Continuation(seen, text[len(text.rstrip()) :], tokens).take
            else:
                join = Splicer(seen).take
            try:
                stream = await _in_time(make(plan, option, kind, asked), asked)
            except EdgeError as failure:
                why = failure.message
                continue
            log.info(
                "a stream that broke goes on at {target} ({kind})",
                target=option.candidate.name,
                kind=kind,
                request_id=call.record.request_id,
            )
            return JoinedStream(stream, join, call, seen, error)
        if why:
            error.message += f" It could not be completed elsewhere: {why}"
        raise error


class JoinedStream(SaidStream):
    """A second stream, of which the client gets what it does not have yet, as if it were one."""

    def __init__(
        self,
        stream: ReplyStream,
        join: SaidFilter,
        call: Call,
        seen: list[ir.StreamEvent],
        broke: TargetError,
    ) -> None:
        super().__init__(stream, join, call, seen)
        self._broke = broke

    def on_events(self, events: Batch) -> Batch:
        try:
            return super().on_events(events)
        except Diverged:
            self.stream.abort()
            raise AnswerDiverged(
                f"{self._broke.message} It cannot be completed: asked again, the answer was a different one."
            ) from None


def _with_time(call: Call) -> Call:
    """``call`` with as long again: its own deadline was for the first content."""
    return call.changed(deadline=Deadline(call.deadline.clock, call.deadline.seconds))


async def _in_time(asking: Coroutine[Any, Any, Reply], call: Call) -> ReplyStream:
    """A stream that is asked for once another has begun: no deadline of the request's holds for its first content any
    more.

    :raises UpstreamTimeout: it did not come before the call's own.
    """
    work: Deferred[Reply] = Deferred.fromCoroutine(asking)
    work.addTimeout(call.deadline.left(), call.deadline.clock)
    try:
        reply = await work
    except TimeoutError:
        raise UpstreamTimeout(f"Nothing came within {call.deadline.seconds:g} s.") from None
    assert not isinstance(reply, Answer), "a stream was asked for"
    return reply


def _continued(call: Call, dialect: ChatDialect, text: str, tokens: int) -> Call:
    """``call`` with ``text``, of about so many tokens, as the beginning of its answer; as much less may follow."""
    asked = call.said()
    begun = ir.Message("assistant", (ir.Text(text),), at="the answer so far")
    most = None if asked.max_tokens is None else max(1, asked.max_tokens - tokens)
    asked = msgspec.structs.replace(asked, messages=(*asked.messages, begun), max_tokens=most)
    body = dialect.render(asked, call.model, RenderContext({}, "drop"), stream=True)
    fields: dict[str, Any] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    prompt = {name: raw for name, raw in fields.items() if name in dialect.prompt}
    prompt |= {name: msgspec.Raw(b"%d" % most) for name in dialect.limits if name in call.fields and most is not None}
    return call.changed(fields={**call.fields, **prompt}, _said=asked, continues=True)
