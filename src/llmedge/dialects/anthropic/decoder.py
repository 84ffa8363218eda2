"""A Messages stream → the IR (platform.claude.com/docs/en/build-with-claude/streaming)."""

from __future__ import annotations

from typing import Any

from llmedge.dialects import ir, lenient
from llmedge.dialects.anthropic import citations, usage
from llmedge.dialects.anthropic.answer import FINISH, service_tier
from llmedge.dialects.anthropic.errors import failure
from llmedge.dialects.anthropic.events import (
    DELTAS,
    KINDS,
    LAST,
    NULL,
    Block,
    StreamedEvent,
    decode_block,
    decode_event,
    decode_message,
    malformed,
)
from llmedge.dialects.blocks import BlockWriter, Kind
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.fields import AnswerFields
from llmedge.dialects.lenient import UNREADABLE, arguments, flat, whole
from llmedge.dialects.sse import SseReader
from llmedge.errors import UpstreamCut


class _Open:
    """A block of the vendor's. Texts and thoughts open in the IR with the first thing they say."""

    __slots__ = ("has_delta", "input", "kind", "number")

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind: Kind = kind
        self.number = number  # the IR's; -1 until it is open there
        self.has_delta = False
        self.input = ""  # of a tool that began with all of its arguments


class Decoder(SseReader[ir.StreamEvent]):
    """A vendor's events into the IR. Blocks of the vendor's own tools are passed over."""

    last = LAST

    def __init__(self, max_event: int) -> None:
        super().__init__(max_event)
        self._counts: dict[str, Any] = {}
        self._begun = False
        self._finished = False
        self._called = False
        self._last = -1
        self._blocks = BlockWriter()
        self._open: dict[int, _Open | None] = {}

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if name == b"error":
            raise failure(data, "while answering")
        try:
            event = decode_event(data)
            kind = event.type or name.decode()
            if kind == "content_block_delta":
                self._delta(event, items)
            else:
                self._other(kind, event, data, items)
        except UNREADABLE:
            said = lenient.decode(data)
            if isinstance(said, dict):
                kind, delta = lenient.text(said, "type") or name.decode(), lenient.text(said.get("delta"), "type")
                if kind not in ("", *KINDS) or (kind == "content_block_delta" and delta not in DELTAS):
                    return  # of a new kind, and shape
            raise malformed() from None

    def _delta(self, event: StreamedEvent, items: list[ir.StreamEvent]) -> None:
        delta = event.delta
        index = self._index(event)
        if delta is None or index not in self._open:
            raise malformed()
        block = self._open[index]
        if block is None:
            return
        if delta.text:
            items.append(ir.Delta(self._number_of(block, items), delta.text))
        elif delta.partial_json != NULL:
            if piece := arguments(delta.partial_json):
                block.has_delta = True
                items.append(ir.Delta(self._number_of(block, items), piece))
        elif delta.thinking:
            items.append(ir.Delta(self._number_of(block, items), delta.thinking))
        elif delta.signature:
            items.append(ir.Sign(self._number_of(block, items), delta.signature))
        elif delta.type == "citations_delta":
            cite = citations.parse(AnswerFields.spare(delta.citation))
            if cite is not None:
                items.append(ir.Cite(self._number_of(block, items), cite))

    def _number_of(self, block: _Open, items: list[ir.StreamEvent]) -> int:
        """The IR's number of a block, which opens there if it is not."""
        if block.number < 0:
            block.number = self._blocks.add(block.kind, items)
        return block.number

    def _index(self, event: StreamedEvent) -> int:
        """The vendor's number of a block; of the last one where it tells none."""
        index = event.index
        if type(index) is not int and (index := whole(index)) is None:
            return self._last
        return int(index)

    def _other(self, kind: str, event: StreamedEvent, data: bytes, items: list[ir.StreamEvent]) -> None:
        index = self._index(event)
        if kind == "content_block_start":
            if whole(event.index) is None:
                index += 1
            if not self._begun or index in self._open:
                raise malformed()
            self._last = index
            self._open[index] = self._start(decode_block(event.content_block), items)
        elif kind == "content_block_stop":
            if index not in self._open:
                raise malformed()
            self._stop(index, items)
        elif kind == "message_start":
            self._begun = True
            message = decode_message(event.message)
            self._counts = usage.merge(self._counts, bytes(message.usage))
            tier = service_tier(self._counts.get("service_tier"))
            items.append(ir.Begin(flat(message.id), flat(message.model), 0, tier))
            self._count(items)
        elif kind == "message_delta":
            self._counts = usage.merge(self._counts, bytes(event.usage))
            if event.delta is not None and event.delta.stop_reason and not self._finished:
                self._finish(flat(event.delta.stop_reason), event, items)
            self._count(items)
        elif kind == "message_stop":
            if not (self._begun and self._finished):
                raise UpstreamCut("ended its stream without an answer")
            self.done = True
            items.append(ir.End())
        elif kind == "error":
            raise failure(data, "while answering")
        elif not kind:
            raise malformed()
        # pings, and what is added to the API: "you should handle unknown event types gracefully"

    def _start(self, block: Block, items: list[ir.StreamEvent]) -> _Open | None:
        if block.type == "tool_use":
            self._called = True
            identifier = block.id if isinstance(block.id, str) else ""
            opened = _Open("tool", self._blocks.add("tool", items, tool_id=identifier, name=block.name or ""))
            opened.input = arguments(block.input)
            return opened
        if block.type == "redacted_thinking":
            return _Open("thinking", self._blocks.add("thinking", items, signature=block.data or "", redacted=True))
        if block.type not in ("text", "thinking"):
            return None
        opened = _Open("text" if block.type == "text" else "thinking", -1)
        if text := block.text or block.thinking:
            items.append(ir.Delta(self._number_of(opened, items), text))
        if block.signature:
            items.append(ir.Sign(self._number_of(opened, items), block.signature))
        return opened

    def _stop(self, index: int, items: list[ir.StreamEvent]) -> None:
        block = self._open.pop(index)
        if block is None or block.number < 0:
            return
        if block.kind == "tool" and not block.has_delta:  # no deltas: no arguments, or all of them at the beginning
            items.append(ir.Delta(block.number, block.input or "{}"))
        items.append(ir.Close(block.number))

    def _finish(self, reason: str, event: StreamedEvent, items: list[ir.StreamEvent]) -> None:
        assert event.delta is not None
        check_end(reason)
        for index in list(self._open):
            self._stop(index, items)
        self._finished = True
        if bytes(event.delta.stop_details) != b"null":
            explanation = AnswerFields.spare(event.delta.stop_details).text("explanation")
            if explanation:
                items.append(ir.Delta(self._blocks.open("refusal", items), explanation))
                self._blocks.close(items)
        finish = with_calls(FINISH.get(reason, "stop"), self._called)
        items.append(ir.Finish(finish, 0, flat(event.delta.stop_sequence)))

    def _count(self, items: list[ir.StreamEvent]) -> None:
        counts = usage.parse(self._counts) if self._counts else None
        if counts is not None:
            items.append(ir.Counted(counts))
