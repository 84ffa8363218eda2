"""A Messages stream that is passed on as it is (platform.claude.com/docs/en/build-with-claude/streaming)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.anthropic import usage
from llmedge.dialects.anthropic.errors import failure
from llmedge.dialects.anthropic.events import LAST, decode_block, decode_event, decode_message, malformed
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.sse import LF, PassingReader
from llmedge.errors import UpstreamCut
from llmedge.model import Event, EventKind, Usage


class _Type(msgspec.Struct, gc=False):
    type: str = ""


_decode_type = msgspec.json.Decoder(_Type).decode


class MessageReader(PassingReader):
    """Reads one vendor's stream: it knows when content begins, what was used, and refuses what is broken.

    Frames keep their data as it came; each gets its ``event:`` line, which SDKs need and some vendors forget.
    """

    last = LAST

    def __init__(self, max_event: int) -> None:
        super().__init__(max_event)
        self.usage: Usage | None = None
        self._counts: dict[str, Any] = {}
        self._content = False
        self._begun = False
        self._stopped = False

    def _take(self, name: bytes, data: bytes, items: list[Event]) -> None:
        try:
            if not data.isascii():
                data.decode()
            kind = _decode_type(data).type or name.decode()
            if not kind:
                raise malformed()
            if kind != "content_block_delta":
                self._note(kind, data)
            elif not self._begun:
                raise malformed()
            else:
                self._content = True
        except UNREADABLE:
            if name == b"error":
                raise failure(data, "while answering") from None
            raise malformed() from None
        if kind == "error" or name == b"error":
            raise failure(data, "while answering")
        if LF in data:
            data = data.replace(b"\n", b"\ndata: ")  # each line of an event's data has the field name before it
        if self.done:
            what = EventKind.DONE
        elif self._content:
            what = EventKind.CONTENT
        else:
            what = EventKind.LIFECYCLE
        items.append(Event(what, b"event: %b\ndata: %b\n\n" % (name or kind.encode(), data)))

    def _note(self, kind: str, data: bytes) -> None:
        """Account for an event that is not a delta of a block."""
        if kind == "message_start":
            self._begun = True
            self._count(bytes(decode_message(decode_event(data).message).usage))
        elif kind == "content_block_start":
            # A text or a thought begins empty; anything else says something at once.
            block = decode_block(decode_event(data).content_block)
            if block.type not in ("text", "thinking") or block.text or block.thinking:
                self._content = True
        elif kind == "message_delta":
            event = decode_event(data)
            self._content = True
            self._stopped = self._stopped or bool(event.delta and event.delta.stop_reason)
            self._count(bytes(event.usage))
        elif kind == "message_stop":
            if not (self._begun and self._stopped):
                raise UpstreamCut("ended its stream without an answer")
            self.done = True

    def _count(self, raw: bytes) -> None:
        self._counts = usage.merge(self._counts, raw)
        if self._counts:
            self.usage = usage.parse(self._counts)
