"""The IR → events for a client (platform.openai.com/docs/api-reference/responses-streaming).

Every event the API documents is written, numbered from 0: SDKs build the answer from them and check it against the
one in the last. Heads of deltas are made once a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import InputReader, arguments_of
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.openai_responses.answer import (
    message_item,
    render_citation,
    render_tokens,
    text_part,
    thought_item,
)
from llmedge.dialects.openai_responses.calls import FUNCTION, PREFIXES, item_of, name_of
from llmedge.dialects.openai_responses.envelope import Envelope, ended
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode

_CONTENT, _LIFECYCLE = EventKind.CONTENT, EventKind.LIFECYCLE


class _Item:
    """An output item that is not complete."""

    def __init__(self, id: str, index: int) -> None:
        self.id = id
        self.index = index
        self.content: list[Any] = []
        self.open = 0


class _Block:
    """An open block: a part of a message's, or an item of its own."""

    def __init__(self, item: _Item, part: int, opened: ir.Open, type: bytes, where: bytes, tail: bytes) -> None:
        self.item = item
        self.part = part
        self.opened = opened
        self.head = b'event: %b\ndata: {"type":"%b","sequence_number":' % (type, type)
        self.where = b',"item_id":%b,"output_index":%d,%b"delta":' % (_encode(item.id), item.index, where)
        self.tail = tail
        self.texts: list[str] = []
        self.length = 0
        self.tokens: list[ir.TokenLogprob] = []
        self.annotations: list[Any] = []
        self.signature = opened.signature
        self.begun = False  # a thought's summary
        self.tool = FUNCTION
        self.input: InputReader | None = None  # of a custom tool


class Encoder:
    """Writes one stream. The API gives one answer: of several, the first."""

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._envelope: Envelope
        self._sequence = 0
        self._said = False
        self._blocks: dict[int, _Block] = {}
        self._output: list[Any] = []
        self._messages: list[_Item] = []
        self._refused = False
        self._finish: ir.FinishReason = "stop"
        self._usage: Usage | None = None

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if type(event) is ir.Delta:
                if event.choice == 0 and (block := self._blocks.get(event.block)) is not None:
                    self._delta(event, block, out)
            elif not getattr(event, "choice", 0) and (handle := _HANDLERS.get(type(event))) is not None:
                handle(self, event, out)
        return out

    # Frames

    def _event(self, type: str, payload: dict[str, Any], out: list[Event], content: bool = True) -> None:
        self._frame(type, _encode(payload), out, content)

    def _frame(self, type: str, payload: bytes, out: list[Event], content: bool = True) -> None:
        name = type.encode()
        frame = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b\n\n' % (name, name, self._sequence, payload[1:])
        self._sequence += 1
        self._said = self._said or content
        out.append(Event(_CONTENT if self._said else _LIFECYCLE, frame))

    def _delta(self, event: ir.Delta, block: _Block, out: list[Event]) -> None:
        text = event.text
        tail = block.tail
        kind = block.opened.kind
        if kind == "tool" and block.tool.kind and not (text := _input(block, text)):
            return
        block.texts.append(text)
        if kind == "text":
            block.length += len(text)
            if event.logprobs is not None:
                block.tokens += event.logprobs
                tail = b',"logprobs":%b}\n\n' % _encode(render_tokens(event.logprobs))
        elif kind == "thinking" and not block.begun:
            block.begun = True
            self._summary_event("response.reasoning_summary_part.added", block, {"part": _summary("")}, out, False)
        frame = b"%b%d%b%b%b" % (block.head, self._sequence, block.where, _encode(text), tail)
        self._sequence += 1
        self._said = True
        out.append(Event(_CONTENT, frame))

    # Events of the IR

    def _begin(self, event: ir.Begin, out: list[Event]) -> None:
        self._envelope = Envelope(self._context, event.id, event.model, event.created, event.service_tier)
        payload = _encode({"response": self._envelope.body("in_progress", [])})
        self._frame("response.created", payload, out, False)
        self._frame("response.in_progress", payload, out, False)

    def _open(self, event: ir.Open, out: list[Event]) -> None:
        if event.kind in ("text", "refusal"):
            self._open_part(event, out)
        elif event.kind == "tool":
            self._open_call(event, out)
        elif event.kind == "thinking":
            item = self._item("rs", out)
            self._item_event("added", item, thought_item(item.id, "", ""), out, False)
            self._blocks[event.block] = _Block(
                item, 0, event, b"response.reasoning_summary_text.delta", b'"summary_index":0,', b"}\n\n"
            )

    def _open_call(self, event: ir.Open, out: list[Event]) -> None:
        tool = self._context.tools.get(event.name, FUNCTION)
        item = self._item(PREFIXES[tool.kind], out)
        type = b"response.function_call_arguments.delta"
        if tool.kind == "custom":
            type = b"response.custom_tool_call_input.delta"
        block = self._blocks[event.block] = _Block(item, 0, event, type, b"", b"}\n\n")
        if tool is not FUNCTION:
            block.tool = tool
            block.input = InputReader() if tool.kind == "custom" else None
        if tool.kind in ("", "custom"):  # of the others there is nothing to see before they are complete
            call = ir.ToolCall(event.tool_id, event.name, "", event.signature)
            self._item_event("added", item, item_of(item.id, call, tool, "in_progress"), out)

    def _open_part(self, event: ir.Open, out: list[Event]) -> None:
        message = self._messages[-1] if self._messages else None
        if message is None or message.index != len(self._output) - 1:
            message = self._item("msg", out)
            self._messages.append(message)
            self._item_event("added", message, message_item(message.id, "in_progress", []), out, False)
        number = len(message.content)
        message.content.append(None)
        message.open += 1
        where, tail, type = b'"content_index":%d,' % number, b',"logprobs":[]}\n\n', b"response.output_text.delta"
        part: dict[str, Any] = text_part("", [])
        if event.kind == "refusal":
            self._refused = True
            tail, type, part = b"}\n\n", b"response.refusal.delta", {"type": "refusal", "refusal": ""}
        block = self._blocks[event.block] = _Block(message, number, event, type, where, tail)
        self._part_event("response.content_part.added", block, {"part": part}, out, False)

    def _item(self, prefix: str, out: list[Event]) -> _Item:
        """The next output item. Messages with nothing open are complete when another item begins."""
        for message in [each for each in self._messages if not each.open]:
            self._close_message(message, "completed", out)
        item = _Item(self._envelope.item_id(prefix, len(self._output)), len(self._output))
        self._output.append(None)
        return item

    def _sign(self, event: ir.Sign, out: list[Event]) -> None:
        if (block := self._blocks.get(event.block)) is not None:
            block.signature = event.signature

    def _cite(self, event: ir.Cite, out: list[Event]) -> None:
        block = self._blocks.get(event.block)
        if block is None or (rendered := render_citation(event.citation, block.length)) is None:
            return
        payload = {"annotation_index": len(block.annotations), "annotation": rendered}
        block.annotations.append(rendered)
        self._part_event("response.output_text.annotation.added", block, payload, out)

    def _close(self, event: ir.Close, out: list[Event]) -> None:
        block = self._blocks.pop(event.block, None)
        if block is None:
            return
        text = "".join(block.texts)
        opened, item = block.opened, block.item
        if opened.kind == "text":
            logprobs = tuple(block.tokens)
            payload = {"text": text, "logprobs": render_tokens(logprobs)}
            self._part_event("response.output_text.done", block, payload, out)
            self._close_part(block, text_part(text, block.annotations, logprobs), out)
        elif opened.kind == "refusal":
            self._part_event("response.refusal.done", block, {"refusal": text}, out)
            self._close_part(block, {"type": "refusal", "refusal": text}, out)
        elif opened.kind == "tool":
            self._close_call(event, block, text, out)
        else:
            if block.begun:
                self._summary_event("response.reasoning_summary_text.done", block, {"text": text}, out)
                self._summary_event("response.reasoning_summary_part.done", block, {"part": _summary(text)}, out)
            self._complete(item, thought_item(item.id, text, block.signature), out)

    def _close_call(self, event: ir.Close, block: _Block, text: str, out: list[Event]) -> None:
        item, kind = block.item, block.tool.kind
        place = {"item_id": item.id, "output_index": item.index}
        if block.input is not None:
            if left := block.input.end():
                block.input = None
                self._delta(ir.Delta(event.block, left), block, out)
                text += left
            self._event("response.custom_tool_call_input.done", {**place, "input": text}, out)
            text = arguments_of(text)
        elif not kind:
            if not text:  # clients read the arguments of every call as JSON
                text = "{}"
                self._delta(ir.Delta(event.block, text), block, out)
            done = {**place, "name": name_of(block.opened.name, block.tool), "arguments": text}
            self._event("response.function_call_arguments.done", done, out)
        call = ir.ToolCall(block.opened.tool_id, block.opened.name, text or "{}", block.signature)
        if kind not in ("", "custom"):
            self._item_event("added", item, item_of(item.id, call, block.tool, "in_progress"), out)
        self._complete(item, item_of(item.id, call, block.tool), out)

    def _close_part(self, block: _Block, part: dict[str, Any], out: list[Event]) -> None:
        message = block.item
        self._part_event("response.content_part.done", block, {"part": part}, out)
        message.content[block.part] = part
        message.open -= 1
        if not message.open and message.index != len(self._output) - 1:
            self._close_message(message, "completed", out)

    def _close_message(self, message: _Item, status: str, out: list[Event]) -> None:
        self._messages.remove(message)
        self._complete(message, message_item(message.id, status, message.content), out)

    def _complete(self, item: _Item, payload: dict[str, Any], out: list[Event]) -> None:
        self._output[item.index] = payload
        self._item_event("done", item, payload, out)

    def _finished(self, event: ir.Finish, out: list[Event]) -> None:
        self._finish = event.reason

    def _counted(self, event: ir.Counted, out: list[Event]) -> None:
        self._usage = event.usage

    def _end(self, event: ir.End, out: list[Event]) -> None:
        status, reason = ended(self._finish, self._refused)
        for message in list(self._messages):
            last = message.index == len(self._output) - 1
            self._close_message(message, status if last else "completed", out)
        self._envelope.remember(self._output)
        response = self._envelope.body(status, self._output, self._usage, reason)
        self._event(f"response.{status}", {"response": response}, out)
        out[-1] = Event(EventKind.DONE, out[-1].frame)

    # Where an event belongs

    def _item_event(
        self, what: str, item: _Item, payload: dict[str, Any], out: list[Event], content: bool = True
    ) -> None:
        self._event(f"response.output_item.{what}", {"output_index": item.index, "item": payload}, out, content)

    def _part_event(
        self, type: str, block: _Block, payload: dict[str, Any], out: list[Event], content: bool = True
    ) -> None:
        place = {"item_id": block.item.id, "output_index": block.item.index, "content_index": block.part}
        self._event(type, {**place, **payload}, out, content)

    def _summary_event(
        self, type: str, block: _Block, payload: dict[str, Any], out: list[Event], content: bool = True
    ) -> None:
        place = {"item_id": block.item.id, "output_index": block.item.index, "summary_index": 0}
        self._event(type, {**place, **payload}, out, content)


def _input(block: _Block, text: str) -> str:
    """What is shown of more arguments: of those that are no function's, a custom tool's input alone."""
    if block.tool.kind == "custom":
        return text if block.input is None else block.input.feed(text)
    block.texts.append(text)
    return ""


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


_HANDLERS: dict[Any, Callable[[Encoder, Any, list[Event]], None]] = {
    ir.Begin: Encoder._begin,
    ir.Open: Encoder._open,
    ir.Sign: Encoder._sign,
    ir.Cite: Encoder._cite,
    ir.Close: Encoder._close,
    ir.Finish: Encoder._finished,
    ir.Counted: Encoder._counted,
    ir.End: Encoder._end,
}
