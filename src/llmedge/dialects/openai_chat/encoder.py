"""The IR → chat completion chunks (platform.openai.com/docs/api-reference/chat/streaming)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import InputReader
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.openai_chat.answer import (
    finish_reason,
    render_call,
    render_citation,
    render_tokens,
    render_usage,
    thought_detail,
)
from llmedge.dialects.openai_chunks import DONE
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode


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
        self._inputs: dict[tuple[int, int], InputReader] = {}  # of custom tools
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
                tool = self._context.tools.get(event.name)
                if tool is not None:
                    self._inputs[key] = InputReader()
                call = render_call(ir.ToolCall(event.tool_id, event.name, "", event.signature), tool)
                self._chunk(event.choice, {"tool_calls": [{"index": number, **call}]}, out)
            elif event.redacted:
                self._signed(event.choice, ir.Thinking(signature=event.signature, redacted=True), out)
        elif isinstance(event, ir.Close):
            key = (event.choice, event.block)
            if self._inputs and (reader := self._inputs.pop(key, None)) is not None:
                self._input(key, reader.end(), out)
        elif isinstance(event, ir.Sign):
            key = (event.choice, event.block)
            if key in self._tools:
                piece = {"custom": {"input": ""}} if key in self._inputs else {"function": {"arguments": ""}}
                call = {
                    "index": self._tools[key],
                    **piece,  # clients read one in every piece
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
        elif kind == "tool" and (reader := self._inputs.get(key)) is not None:
            self._input(key, reader.feed(event.text), out)
        elif kind == "tool":
            call = {"index": self._tools[key], "function": {"arguments": event.text}}
            self._chunk(event.choice, {"tool_calls": [call]}, out)
        elif kind == "thinking":
            self._thoughts.setdefault(key, []).append(event.text)
            self._chunk(event.choice, {"reasoning_content": event.text}, out)
        elif kind == "refusal":
            self._refused.add(event.choice)
            self._chunk(event.choice, {"refusal": event.text}, out)

    def _input(self, key: tuple[int, int], text: str, out: list[Event]) -> None:
        """More of a custom tool's input."""
        if text:
            call = {"index": self._tools[key], "custom": {"input": text}}
            self._chunk(key[0], {"tool_calls": [call]}, out)

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
