"""Chat completion chunks ↔ the IR (platform.openai.com/docs/api-reference/chat/streaming)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.blocks import BlockWriter, Kind
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.fields import Fields
from llmedge.dialects.lenient import UNREADABLE, is_json
from llmedge.dialects.openai_answer import parse_error, parse_usage
from llmedge.dialects.openai_chat.answer import (
    FINISH,
    citation,
    finish_reason,
    render_citation,
    render_tokens,
    render_usage,
    thought_detail,
)
from llmedge.dialects.openai_chat.answer import tokens as parse_tokens
from llmedge.dialects.openai_chunks import DONE, LAST
from llmedge.dialects.sse import SseReader
from llmedge.errors import UpstreamCut, UpstreamMalformed, VendorFailed
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None


class _Detail(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[_ToolCall] | None = None
    annotations: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")


class _Chunk(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: str | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class _Open:
    """One choice, and its blocks: of tool calls several may be open."""

    def __init__(self, index: int) -> None:
        self.blocks = BlockWriter(index)
        self.tools: dict[int, int] = {}  # index of a tool call → its block
        self.arguments: dict[int, list[str]] = {}  # of the tool blocks that are open
        self.closed: set[int] = set()
        self.called = False
        self.refused = False
        self.finished = False


class Decoder(SseReader[ir.StreamEvent]):
    """A vendor's chunks into the IR.

    Tool calls are told apart by ``index``. The block of one is closed when another opens and its arguments are
    complete, else with its choice: vendors may interleave them.

    :param choices: how many answers were asked for.
    """

    last = LAST

    def __init__(self, *, choices: int, max_event: int) -> None:
        super().__init__(max_event)
        self._wanted = choices
        self._begun = False
        self._choices: dict[int, _Open] = {}

    @property
    def complete(self) -> bool:
        return self._whole() and len(self._choices) >= self._wanted

    def _end(self, items: list[ir.StreamEvent]) -> None:
        super()._end(items)
        if not self.done:
            self.done = True
            items.append(ir.End())

    def _whole(self) -> bool:
        return bool(self._choices) and all(choice.finished for choice in self._choices.values())

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if data == b"[DONE]":
            if not self._whole():
                raise UpstreamCut("ended its stream without an answer")
            self.done = True
            items.append(ir.End())
            return
        try:
            chunk = _decode_chunk(data)
        except UNREADABLE:
            raise UpstreamMalformed("sent an event that is not a chunk of an answer") from None
        if chunk.error or name == b"error":
            raise VendorFailed(f"failed while answering: {parse_error(data).message or 'it gave no reason'}")
        if not self._begun:
            self._begun = True
            items.append(ir.Begin(chunk.id or "", chunk.model or "", int(chunk.created or 0), chunk.service_tier or ""))
        for choice in chunk.choices or ():
            self._choice(choice, items)
        if bytes(chunk.usage) != b"null" and (usage := parse_usage(chunk.usage)) is not None:
            items.append(ir.Counted(usage))

    def _choice(self, choice: _Choice, items: list[ir.StreamEvent]) -> None:
        index = choice.index
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Open(index)
        if state.finished:
            return  # some vendors repeat empty deltas with the usage
        delta = choice.delta
        if delta is not None:
            if thought := delta.reasoning_content or delta.reasoning:
                items.append(ir.Delta(self._plain(state, "thinking", index, items), thought, index))
            for detail in delta.reasoning_details or ():
                self._detail(state, detail, bool(thought), index, items)
            if delta.content or (choice.logprobs != b"null" and delta.content is not None):
                logprobs = self._logprobs(choice)
                if delta.content or logprobs:
                    block = self._plain(state, "text", index, items)
                    items.append(ir.Delta(block, delta.content or "", index, logprobs))
            for raw in delta.annotations or ():
                cite = citation(Fields.of_answer(raw))
                if cite is not None:
                    items.append(ir.Cite(self._plain(state, "text", index, items), cite, index))
            if delta.refusal:
                state.refused = True
                items.append(ir.Delta(self._plain(state, "refusal", index, items), delta.refusal, index))
            for number, call in enumerate(delta.tool_calls or ()):
                self._call(state, call, number, index, items)
        if choice.finish_reason:
            state.blocks.close(items)
            for block in sorted(state.arguments):
                items.append(ir.Close(block, index))
            state.arguments.clear()
            state.finished = True
            reason = FINISH.get(choice.finish_reason, "stop")
            if reason == "stop" and state.called:
                reason = "tool"
            elif reason == "stop" and state.refused:
                reason = "refusal"
            items.append(ir.Finish(reason, index))

    def _detail(self, state: _Open, detail: _Detail, has_text: bool, index: int, items: list[ir.StreamEvent]) -> None:
        """:param has_text: the same chunk says the thought's text in ``reasoning``. A signature is the thought's end,
        and may come with the whole of it."""
        if detail.type == "reasoning.encrypted" and detail.data:
            state.blocks.redacted(detail.data, items)
        elif detail.signature:
            items.append(ir.Sign(self._plain(state, "thinking", index, items), detail.signature, index))
            state.blocks.close(items)
        elif detail.text and not has_text:
            items.append(ir.Delta(self._plain(state, "thinking", index, items), detail.text, index))

    def _plain(self, state: _Open, kind: Kind, index: int, items: list[ir.StreamEvent]) -> int:
        """The open block of this kind, opened if there is none."""
        blocks = state.blocks
        if blocks.kind == kind:
            return blocks.number
        blocks.close(items)
        self._close_whole(state, index, items)
        return blocks.open(kind, items)

    def _close_whole(self, state: _Open, index: int, items: list[ir.StreamEvent]) -> None:
        """Close the tool calls whose arguments are complete."""
        for block, parts in list(state.arguments.items()):
            if is_json("".join(parts)):
                del state.arguments[block]
                state.closed.add(block)
                items.append(ir.Close(block, index))

    def _call(self, state: _Open, call: _ToolCall, number: int, index: int, items: list[ir.StreamEvent]) -> None:
        function = call.function or _Function()
        key = call.index
        if key is None:  # some vendors leave it out: a new id is a new call
            key = len(state.tools) if call.id or not state.tools else len(state.tools) - 1
        block = state.tools.get(key)
        if block is None:
            state.blocks.close(items)
            self._close_whole(state, index, items)
            identifier = call.id or f"call_{index}_{key}"
            block = state.blocks.add("tool", items, tool_id=identifier, name=function.name or "")
            state.tools[key] = block
            state.called = True
            state.arguments[block] = []
        signature = ((call.extra_content or {}).get("google") or {}).get("thought_signature")
        if isinstance(signature, str) and signature:
            items.append(ir.Sign(block, signature, index))
        if function.arguments:
            if block in state.closed:
                raise UpstreamMalformed("went on with a tool call whose arguments were complete")
            state.arguments[block].append(function.arguments)
            items.append(ir.Delta(block, function.arguments, index))

    def _logprobs(self, choice: _Choice) -> tuple[ir.TokenLogprob, ...] | None:
        if bytes(choice.logprobs) == b"null":
            return None
        fields = Fields.of_answer(choice.logprobs)
        return parse_tokens(fields.objects("content")) if fields.has("content") else None


class Encoder:
    """The IR into chunks for a client."""

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._usage: Usage | None = None
        self._head = b""
        self._tools: dict[tuple[int, int], int] = {}
        self._kinds: dict[tuple[int, int], str] = {}
        self._count: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._thoughts: dict[tuple[int, int], list[str]] = {}
        self._refused: set[int] = set()
        self._started: set[int] = set()

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            self._one(event, out)
        return out

    def _one(self, event: ir.StreamEvent, out: list[Event]) -> None:
        if isinstance(event, ir.Delta):
            self._delta(event, out)
        elif isinstance(event, ir.Open):
            key = (event.choice, event.block)
            self._kinds[key] = event.kind
            if event.kind == "tool":
                number = self._count.get(event.choice, 0)
                self._count[event.choice] = number + 1
                self._tools[key] = number
                call = {
                    "index": number,
                    "id": event.tool_id,
                    "type": "function",
                    "function": {"name": event.name, "arguments": ""},
                }
                self._chunk(event.choice, {"tool_calls": [call]}, out)
            elif event.redacted:
                self._signed(event.choice, ir.Thinking(signature=event.signature, redacted=True), out)
        elif isinstance(event, ir.Sign):
            key = (event.choice, event.block)
            if key in self._tools:
                call = {
                    "index": self._tools[key],
                    "extra_content": {"google": {"thought_signature": event.signature}},
                }
                self._chunk(event.choice, {"tool_calls": [call]}, out)
            else:
                self._signed(event.choice, ir.Thinking("".join(self._thoughts.pop(key, ())), event.signature), out)
        elif isinstance(event, ir.Cite):
            length = self._lengths.get(event.choice, 0)
            if (rendered := render_citation(event.citation, 0, length)) is not None:
                self._chunk(event.choice, {"annotations": [rendered]}, out)
        elif isinstance(event, ir.Finish):
            self._chunk(event.choice, {}, out, finish_reason(event.reason, event.choice in self._refused))
        elif isinstance(event, ir.Begin):
            self._begin(event)
        elif isinstance(event, ir.Counted):
            self._usage = event.usage
        elif isinstance(event, ir.End):
            if self._context.wants_usage:
                usage = _encode(render_usage(self._usage or Usage()))
                out.append(Event(EventKind.CONTENT, self._head + b'"choices":[],"usage":' + usage + b"}\n\n"))
            out.append(DONE)

    def _signed(self, choice: int, thought: ir.Thinking, out: list[Event]) -> None:
        """As in a whole answer, so that a client can give it back."""
        self._chunk(choice, {"reasoning_details": [thought_detail(thought)]}, out)

    def _begin(self, event: ir.Begin) -> None:
        head: dict[str, Any] = {
            "id": event.id or self._context.id,
            "object": "chat.completion.chunk",
            "created": event.created or self._context.created,
            "model": event.model or self._context.model,
        }
        if event.service_tier:
            head["service_tier"] = event.service_tier
        self._head = b"data: " + _encode(head)[:-1] + b","

    def _delta(self, event: ir.Delta, out: list[Event]) -> None:
        key = (event.choice, event.block)
        kind = self._kinds.get(key)
        if kind == "text":
            self._lengths[event.choice] = self._lengths.get(event.choice, 0) + len(event.text)
            self._chunk(event.choice, {"content": event.text}, out, logprobs=event.logprobs)
        elif kind == "tool":
            call = {"index": self._tools[key], "function": {"arguments": event.text}}
            self._chunk(event.choice, {"tool_calls": [call]}, out)
        elif kind == "thinking":
            self._thoughts.setdefault(key, []).append(event.text)
            self._chunk(event.choice, {"reasoning_content": event.text}, out)
        elif kind == "refusal":
            self._refused.add(event.choice)
            self._chunk(event.choice, {"refusal": event.text}, out)

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        out: list[Event],
        finish: str | None = None,
        logprobs: tuple[ir.TokenLogprob, ...] | None = None,
    ) -> None:
        if choice not in self._started:
            self._started.add(choice)
            role = b'"choices":[{"index":%d,"delta":{"role":"assistant","content":"","refusal":null},' % choice
            frame = self._head + role + b'"logprobs":null,"finish_reason":null}]' + self._no_usage() + b"}\n\n"
            out.append(Event(EventKind.LIFECYCLE, frame))
        rendered = b"null" if logprobs is None else _encode({"content": render_tokens(logprobs), "refusal": None})
        frame = b'%b"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b}\n\n' % (
            self._head,
            choice,
            _encode(delta),
            rendered,
            b"null" if finish is None else b'"%b"' % finish.encode(),
            self._no_usage(),
        )
        out.append(Event(EventKind.CONTENT, frame))

    def _no_usage(self) -> bytes:
        """Where usage is asked for, OpenAI says null in all chunks but the last."""
        return b',"usage":null' if self._context.wants_usage else b""
