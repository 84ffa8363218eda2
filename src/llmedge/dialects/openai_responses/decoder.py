"""A vendor's events → the IR (platform.openai.com/docs/api-reference/responses-streaming).

Servers differ in which of the ``.added`` and ``.done`` events they send: a block opens with the first that is said of
it and closes with its part or item, or with the answer. What comes in a ``.done`` event only is not lost.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir, lenient
from llmedge.dialects.blocks import BlockWriter, Kind
from llmedge.dialects.custom_tools import BEGIN, END, escaped
from llmedge.dialects.fields import AnswerFields, Fields
from llmedge.dialects.lenient import UNREADABLE, arguments, flat, whole
from llmedge.dialects.openai_chat.chunks import tokens
from llmedge.dialects.openai_responses.answer import TEXTS, call_of, incomplete_reason
from llmedge.dialects.openai_responses.calls import CALLED
from llmedge.dialects.openai_responses.envelope import failure, finish_of, parse_usage
from llmedge.dialects.openai_responses.items import (
    SUMMARY_BREAK,
    parse_citation,
    parse_text,
    parse_thought,
)
from llmedge.dialects.openai_responses.reader import ENDS, FAILS, failed
from llmedge.dialects.sse import SseReader
from llmedge.errors import UpstreamCut, UpstreamMalformed

_NONE = msgspec.Raw(b"null")
_UNSEEN = -(10**9)
_ITEM = -1
"""In place of a content index: the item itself, where it is one block."""


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    output_index: Any = None
    item_id: Any = None
    content_index: Any = 0
    summary_index: Any = 0
    delta: msgspec.Raw = _NONE
    arguments: msgspec.Raw = _NONE
    logprobs: Any = None
    item: msgspec.Raw = _NONE
    part: msgspec.Raw = _NONE
    annotation: msgspec.Raw = _NONE
    response: msgspec.Raw = _NONE
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode


class _Block:
    """An open block."""

    __slots__ = ("cited", "custom", "has_delta", "kind", "number", "signature", "source", "summary")

    def __init__(self, number: int, kind: Kind) -> None:
        self.number = number
        self.kind = kind
        self.has_delta = False
        self.cited = False
        self.custom = False
        self.source = ""  # of a thought: which kind of event told it first
        self.summary = 0
        self.signature = ""


class Decoder(SseReader[ir.StreamEvent]):
    """Reads one stream."""

    def __init__(self, *, max_event: int) -> None:
        super().__init__(max_event)
        self._begun = False
        self._writer = BlockWriter()
        self._called = False
        self._refused = False
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._closed: set[tuple[int, int]] = set()
        self._numbers: dict[tuple[int | None, str], int] = {}  # of items, by index and id
        self._last: dict[int, int] = {}  # by index
        self._unnumbered = False  # there are items without an index
        self._call_ids: set[str] = set()
        self._kinds: set[str] = set()  # of the blocks so far

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if data == b"[DONE]":  # not of this API, but some servers end every stream so
            raise UpstreamCut("ended its stream without an answer")
        try:
            event = _decode_event(data)
            type = event.type or name.decode()
            if type in FAILS or (not type and event.error is not None):
                raise failed(type, data)
            if not type:
                raise UpstreamMalformed("sent an event that is not one of an answer")
            if not self._begun:
                self._begin(event, items)
            if type == "response.output_text.delta":
                self._delta(event, "text", items)
            elif (handle := _HANDLERS.get(type)) is not None:
                handle(self, event, items)
            elif type in ENDS:
                self._finish(event, type == "response.incomplete", items)
        except UNREADABLE:
            said = lenient.decode(data)
            if isinstance(said, dict) and (lenient.text(said, "type") or name.decode()) not in _KINDS:
                return  # of a new kind, and shape
            raise UpstreamMalformed("sent an event that is not one of an answer") from None

    def _begin(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        self._begun = True
        if event.response == _NONE:
            items.append(ir.Begin())
            return
        response = AnswerFields.spare(event.response)
        tier = response.text("service_tier")
        items.append(
            ir.Begin(
                response.text("id"),
                response.text("model"),
                max(0, response.integer("created_at") or 0),
                "" if tier == "auto" else tier,
            )
        )

    def _index(self, event: _Event, item: Fields | None = None) -> int:
        """The number of the item that ``event`` is about: its index, but for a call with an id of its own at the index
        of another, which is a new one."""
        ids = [flat(event.item_id)] if item is None else [item.text("id"), item.text("call_id")]
        ids = [id for id in ids if id] or [""]
        index = whole(event.output_index)
        for id in ids:
            if (known := self._numbers.get((index, id))) is not None:
                return known
        if index is None:
            number = len({known for (index, _), known in self._numbers.items() if index is None})
            self._unnumbered = True
        elif item is not None and ids != [""] and index in self._last and item.text("type") in CALLED:
            number = -2 - len(self._numbers)
        else:
            number = self._last.get(index, index)
        if index is not None:
            self._last[index] = number
        self._numbers.update({(index, id): number for id in ids})
        return number

    # Blocks

    def _block(self, key: tuple[int, int], kind: Kind, items: list[ir.StreamEvent]) -> _Block:
        """The open block of this key, opened if there is none."""
        block = self._blocks.get(key)
        if block is None:
            if key in self._closed:
                raise UpstreamMalformed("went on with a part of its answer that was complete")
            if kind == "tool":
                raise UpstreamMalformed("sent arguments of a tool call that it did not begin")
            self._refused = self._refused or kind == "refusal"
            block = self._open(key, kind, items)
        elif block.kind != kind:
            raise UpstreamMalformed(f"changed a part of its answer from {block.kind} to {kind}")
        return block

    def _open(self, key: tuple[int, int], kind: Kind, items: list[ir.StreamEvent], **more: Any) -> _Block:
        if self._unnumbered:  # llama.cpp says at the very end that items are done; the next one has begun long before
            for other in [each for each in self._blocks if each[0] != key[0]]:
                self._close(other, items)
        self._kinds.add(kind)
        block = self._blocks[key] = _Block(self._writer.add(kind, items, **more), kind)
        block.signature = more.get("signature", "")
        return block

    def _close(self, key: tuple[int, int], items: list[ir.StreamEvent]) -> None:
        self._closed.add(key)
        if (block := self._blocks.pop(key, None)) is not None:
            items.append(ir.Close(block.number))

    # Deltas

    def _delta(self, event: _Event, kind: Kind, items: list[ir.StreamEvent]) -> None:
        delta = arguments(event.delta) if kind == "tool" else _text(event.delta)
        logprobs = tokens(event.logprobs) or None if event.logprobs else None
        if not delta and not logprobs:
            return
        index = _ITEM if kind == "tool" else whole(event.content_index) or 0
        block = self._block((self._index(event), index), kind, items)
        block.has_delta = True
        items.append(ir.Delta(block.number, delta, 0, logprobs))

    def _refusal(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        self._delta(event, "refusal", items)

    def _arguments(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        self._delta(event, "tool", items)

    def _input(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        """More of a custom tool's input, which is the text in its arguments."""
        block = self._block((self._index(event), _ITEM), "tool", items)
        if delta := _text(event.delta):
            items.append(ir.Delta(block.number, ("" if block.has_delta else BEGIN) + escaped(delta)))
            block.has_delta = True

    def _summary(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        self._thought(event, "summary", items)

    def _reasoning(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        self._thought(event, "content", items)

    def _thought(self, event: _Event, source: str, items: list[ir.StreamEvent]) -> None:
        """A thought and its summary say the same: what begins first is taken."""
        if not (delta := _text(event.delta)):
            return
        block = self._block((self._index(event), _ITEM), "thinking", items)
        summary = whole(event.summary_index) or 0
        if not block.source:
            block.source, block.summary = source, summary
        if block.source != source:
            return
        if block.summary != summary:
            block.summary = summary
            delta = SUMMARY_BREAK + delta
        block.has_delta = True
        items.append(ir.Delta(block.number, delta))

    def _annotation(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        cite = parse_citation(AnswerFields.spare(event.annotation))
        if cite is not None:
            block = self._block((self._index(event), whole(event.content_index) or 0), "text", items)
            block.cited = True
            items.append(ir.Cite(block.number, cite))

    def _arguments_done(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        block = self._blocks.get((self._index(event), _ITEM))
        if block is not None and block.kind == "tool" and not block.has_delta:
            event.delta = event.arguments
            self._delta(event, "tool", items)

    # What is begun, and what is complete

    def _added(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        item = AnswerFields.of_answer(event.item)
        index = self._index(event, item)
        if item.text("type") in CALLED:
            self._call(index, item, items)

    def _call(self, index: int, item: Fields, items: list[ir.StreamEvent]) -> _Block:
        key = (index, _ITEM)
        if key in self._blocks or key in self._closed:
            raise UpstreamMalformed("began the same tool call twice")
        self._called = True
        call = call_of(item)
        self._call_ids.add(call.id)
        block = self._open(key, "tool", items, tool_id=call.id, name=call.name, signature=call.signature)
        block.custom = item.text("type") == "custom_tool_call"
        return block

    def _part_done(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        part = AnswerFields.of_answer(event.part)
        self._complete_part((self._index(event), whole(event.content_index) or 0), part, items)

    def _complete_part(self, key: tuple[int, int], part: Fields, items: list[ir.StreamEvent]) -> None:
        kind = part.text("type")
        if key in self._closed or not ((part.has("text") and kind in TEXTS) or kind == "refusal"):
            return
        block = self._blocks.get(key)
        if kind == "refusal":
            if (refusal := part.text("refusal")) and (block is None or not block.has_delta):
                items.append(ir.Delta(self._block(key, "refusal", items).number, refusal))
        else:
            text = parse_text(part)
            if text.text and (block is None or not block.has_delta):
                block = self._block(key, "text", items)
                items.append(ir.Delta(block.number, text.text, 0, tokens(part.value("logprobs")) or None))
            if block is not None and not block.cited:
                items += [ir.Cite(block.number, cite) for cite in text.citations]
        self._close(key, items)

    def _item_done(self, event: _Event, items: list[ir.StreamEvent]) -> None:
        item = AnswerFields.of_answer(event.item)
        self._complete(self._index(event, item), item, items)

    def _complete(self, index: int, item: Fields, items: list[ir.StreamEvent]) -> None:
        kind = item.text("type")
        key = (index, _ITEM)
        block = self._blocks.get(key)
        if key in self._closed:
            return
        if kind == "message":
            for number, part in enumerate(item.objects("content")):
                self._complete_part((index, number), part, items)
        elif kind in CALLED:
            call = call_of(item)
            if block is None:
                block = self._call(index, item, items)
            elif call.signature and call.signature != block.signature:
                items.append(ir.Sign(block.number, call.signature))
            if not block.has_delta:
                items.append(ir.Delta(block.number, call.arguments))
            elif block.custom:
                items.append(ir.Delta(block.number, END))
        elif kind == "reasoning":
            self._complete_thought(key, parse_thought(item), items)
        self._close(key, items)

    def _complete_thought(self, key: tuple[int, int], thought: ir.Thinking, items: list[ir.StreamEvent]) -> None:
        block = self._blocks.get(key)
        if thought.text and block is None:
            block = self._block(key, "thinking", items)
            items.append(ir.Delta(block.number, thought.text))
        if block is not None:
            if thought.signature:
                items.append(ir.Sign(block.number, thought.signature))
        elif thought.signature:
            self._open(key, "thinking", items, signature=thought.signature, redacted=True)

    def _finish(self, event: _Event, incomplete: bool, items: list[ir.StreamEvent]) -> None:
        response = AnswerFields.of_answer(event.response)
        status = response.text("status")
        if status in ("failed", "cancelled"):
            raise failure(response.value("error"))
        self._unsaid(response, items)
        for key in sorted(self._blocks, key=lambda key: self._blocks[key].number):
            self._close(key, items)
        reason = incomplete_reason(response)
        if incomplete:  # some servers say it in the object only, behind the event of a completed one
            status = "incomplete"
        items.append(ir.Finish(finish_of(status, reason, self._called, self._refused)))
        if (usage := parse_usage(response.raw("usage"), response.text("service_tier"))) is not None:
            items.append(ir.Counted(usage))
        self.done = True
        items.append(ir.End())

    def _unsaid(self, response: Fields, items: list[ir.StreamEvent]) -> None:
        """What some servers tell at the end only: all of it, some of the calls, the texts behind thoughts."""
        said = frozenset(self._kinds)
        for place, item in enumerate(response.objects("output")):
            kind = item.text("type")
            if kind in CALLED:
                known = call_of(item).id in self._call_ids
            else:
                known = "thinking" in said if kind == "reasoning" else bool(said & {"text", "refusal"})
            if not known:
                self._complete(_UNSEEN - place, item, items)


_HANDLERS = {
    "response.output_item.added": Decoder._added,
    "response.output_text.annotation.added": Decoder._annotation,
    "response.refusal.delta": Decoder._refusal,
    "response.function_call_arguments.delta": Decoder._arguments,
    "response.function_call_arguments.done": Decoder._arguments_done,
    "response.custom_tool_call_input.delta": Decoder._input,
    "response.reasoning_summary_text.delta": Decoder._summary,
    "response.reasoning_text.delta": Decoder._reasoning,
    "response.reasoning.delta": Decoder._reasoning,  # Open Responses' name
    "response.content_part.done": Decoder._part_done,
    "response.output_item.done": Decoder._item_done,
}


_KINDS = {"", "response.output_text.delta", *_HANDLERS, *ENDS, *FAILS}
"""Those that are read here; the API adds others."""


def _text(delta: msgspec.Raw) -> str:
    """:raises UpstreamMalformed: it is no text, nor nothing."""
    raw = bytes(delta)
    if raw[:1] == b'"':
        return _decode_text(raw)
    if raw != b"null":
        raise UpstreamMalformed("sent a delta that is not a text")
    return ""


_decode_text = msgspec.json.Decoder(str).decode
