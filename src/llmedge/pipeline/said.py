"""What is said in a stream: its events in the IR, for whoever looks at them or changes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, Encoder, ResponseContext
from llmedge.dialects.openai_text import OpenAIText
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.sse import FramedReader
from llmedge.dialects.surrogates import mending
from llmedge.dialects.whole import events_of
from llmedge.model import Answer
from llmedge.streams import Batch, FilteredStream, ReplyStream

MAX_EVENT = 1 << 24
"""Bytes of one event; its vendor's were bounded already."""


SaidFilter = Callable[[list[ir.StreamEvent]], list[ir.StreamEvent]]
"""Looks at what is said, or changes it: gives what goes on of the events, maybe nothing; the list itself where nothing
was changed."""


class SaidStream(FilteredStream):
    """A chat's stream, in the client's dialect, that is decoded, filtered and encoded again. What the filter leaves as
    it is goes on as the bytes it was.

    :param seen: what the client has of the answer already.
    """

    def __init__(
        self, stream: ReplyStream, filter: SaidFilter, call: Call, seen: Sequence[ir.StreamEvent] = ()
    ) -> None:
        super().__init__(stream)
        self._filter = filter
        self._decoder, self._encoder = codec(call)
        self._encoder.encode(list(seen))
        self._begun = next((event for event in seen if isinstance(event, ir.Begin)), None)
        self._names = call.dialect == "openai_chat" and bool(seen)

    def on_events(self, events: Batch) -> Batch:
        said = read_frames(self._decoder, events)
        if self._names and said and isinstance(said[0], ir.Begin):  # each chunk says who wrote it
            self._encoder.encode([msgspec.structs.replace(self._begun or ir.Begin(), model=said[0].model)])
        left = self._filter(said)
        frames = self._encoder.encode(left)
        return events if left is said else frames


def read_frames(decoder: FramedReader[ir.StreamEvent], events: Batch) -> list[ir.StreamEvent]:
    """What is said in a stream's next events."""
    said = decoder.feed(b"".join([event.frame for event in events])) + decoder.flush()
    if events[-1].frame == b"" and not decoder.done:
        said += decoder.end()
    return said


def codec(call: Call) -> tuple[FramedReader[ir.StreamEvent], Encoder]:
    """What reads the stream that answers ``call``, and what writes one: of a chat, or of a legacy completion."""
    dialect = DIALECTS[call.dialect]
    assert isinstance(dialect, ChatDialect | OpenAIText), "only chats and completions are read"
    context = ResponseContext(
        call.model,
        call.record.request_id,
        0,
        call.wants_usage,
        call.fields,
        call.own_tools(),
        call.deadline.clock.seconds,
    )
    return dialect.decoder(choices=call.choices, max_event=MAX_EVENT), dialect.encoder(context)


def said_in(call: Call, answer: Answer) -> list[ir.StreamEvent]:
    """A whole answer to ``call``, a chat, as the events of a stream.

    :raises UpstreamMalformed: it is none.
    """
    dialect = DIALECTS[call.dialect]
    assert isinstance(dialect, ChatDialect), "only chats are read"
    return events_of(mending(dialect.parse_answer, answer.body))
