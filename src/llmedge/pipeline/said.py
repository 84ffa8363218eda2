"""What is said in a stream: its events in the intermediate form, for whoever looks at them or changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from llmedge.call import Call
from llmedge.dialects import form
from llmedge.dialects.dialect import Asked, ChatDialect
from llmedge.streams import Batch, FilteredStream, ReplyStream

MAX_EVENT = 1 << 24
"""Bytes of one event; its vendor's were bounded already."""


class SaidFilter(Protocol):
    """Looks at what is said, or changes it."""

    def take(self, events: list[form.StreamEvent]) -> list[form.StreamEvent]:
        """What goes on of ``events``, maybe nothing."""


class SaidStream(FilteredStream):
    """A stream in the client's dialect that is decoded, filtered and encoded again. A stream that nobody filters stays
    the bytes it is.

    :param seen: what the client has of the answer already.
    """

    def __init__(
        self,
        stream: ReplyStream,
        filter: SaidFilter,
        dialect: ChatDialect,
        call: Call,
        seen: Sequence[form.StreamEvent] = (),
    ) -> None:
        super().__init__(stream)
        self._events = filter
        self._decoder = dialect.decoder(choices=call.choices, max_event=MAX_EVENT)
        self._encoder = dialect.encoder(Asked(call.model, call.record.request_id, 0, call.wants_usage, call.fields))
        self._encoder.encode(list(seen))
        self._begun = next((event for event in seen if isinstance(event, form.Begin)), None)
        self._names = dialect.name == "openai_chat" and bool(seen)

    def on_events(self, events: Batch) -> Batch:
        said = self._decoder.feed(b"".join([event.frame for event in events]))
        if events[-1].frame == b"" and not self._decoder.done:
            said += self._decoder.end()
        if self._names and said and isinstance(said[0], form.Begin):  # each chunk says who wrote it
            self._encoder.encode([msgspec.structs.replace(self._begun or form.Begin(), model=said[0].model)])
        return self._encoder.encode(self._events.take(said))
