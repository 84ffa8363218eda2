"""What is said in a stream: its events in the IR, for whoever looks at them or changes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, ResponseContext
from llmedge.dialects.registry import DIALECTS
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
        dialect = _chat(call)
        self._filter = filter
        self._decoder = dialect.decoder(choices=call.choices, max_event=MAX_EVENT)
        self._encoder = dialect.encoder(
            ResponseContext(
                call.model,
                call.record.request_id,
                0,
                call.wants_usage,
                call.fields,
                call.own_tools(),
                call.deadline.clock.seconds,
            )
        )
        self._encoder.encode(list(seen))
        self._begun = next((event for event in seen if isinstance(event, ir.Begin)), None)
        self._names = dialect.name == "openai_chat" and bool(seen)

    def on_events(self, events: Batch) -> Batch:
        said = self._decoder.feed(b"".join([event.frame for event in events])) + self._decoder.flush()
        if events[-1].frame == b"" and not self._decoder.done:
            said += self._decoder.end()
        if self._names and said and isinstance(said[0], ir.Begin):  # each chunk says who wrote it
            self._encoder.encode([msgspec.structs.replace(self._begun or ir.Begin(), model=said[0].model)])
        left = self._filter(said)
        frames = self._encoder.encode(left)
        return events if left is said else frames


def said_in(call: Call, answer: Answer) -> list[ir.StreamEvent]:
    """A whole answer to ``call``, a chat, as the events of a stream.

    :raises UpstreamMalformed: it is none.
    """
    return events_of(mending(_chat(call).parse_answer, answer.body))


def _chat(call: Call) -> ChatDialect:
    dialect = DIALECTS[call.dialect]
    assert isinstance(dialect, ChatDialect), "only chats are read"
    return dialect
