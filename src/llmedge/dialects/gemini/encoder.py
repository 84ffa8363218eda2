"""The IR → streamGenerateContent's events with ``alt=sse``, framed as Google frames them: ``data: {…}`` and CRLFs.

Each piece of text is an event, a call is one when its arguments are whole. What comes last, the reasons and the usage
(OpenAI's vendors tell it after the reason), is one event more. Without ``alt=sse`` Google gives the same objects as
one JSON array; all its SDKs ask for SSE, and so must a client here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.gemini import usage
from llmedge.dialects.gemini.answer import render_answered
from llmedge.dialects.gemini.chunks import REASONS, head
from llmedge.dialects.gemini.citations import render_citations, render_logprobs
from llmedge.dialects.gemini.wire import wrap_signature
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode
_AUDIO = "audio/L16;codec=pcm;rate=24000"
"""What the IR's streams of sound hold: OpenAI's ``pcm16``, Gemini's only kind."""

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class _Choice:
    """What is known of one choice."""

    __slots__ = ("citations", "finish", "texts")

    def __init__(self) -> None:
        self.citations: list[ir.Citation] = []
        self.finish: ir.FinishReason | None = None
        self.texts: list[str] = []


class Encoder:
    """The IR into events for a client."""

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}
        self._opens: dict[tuple[int, int], ir.Open] = {}
        self._calls: dict[tuple[int, int], list[str]] = {}
        self._signatures: dict[tuple[int, int], str] = {}
        self._before = b'data: {"candidates":[{"content":{"parts":[{"text":'
        self._tail = b""
        self._after: dict[int, bytes] = {}

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, ir.Delta):
                self._delta(event, out)
            else:
                self._one(event, out)
        return out

    def _delta(self, event: ir.Delta, out: list[Event]) -> None:
        choice = event.choice
        key = (choice, event.block)
        kind = self._opens[key].kind
        if kind == "text" or kind == "refusal":
            self._choices[choice].texts.append(event.text)
            if event.logprobs is None:
                frame = self._before + _encode(event.text) + self._after[choice]
                out.append(Event(EventKind.CONTENT, frame))
            else:
                more = {"logprobsResult": render_logprobs(event.logprobs)}
                self._part(choice, {"text": event.text}, out, more)
        elif kind == "tool":
            self._calls.setdefault(key, []).append(event.text)
        elif kind == "thinking":
            self._part(choice, {"text": event.text, "thought": True}, out)
        else:
            self._part(choice, {"inlineData": {"mimeType": _AUDIO, "data": event.text}}, out)

    def _one(self, event: ir.StreamEvent, out: list[Event]) -> None:
        if isinstance(event, ir.Open):
            if event.choice not in self._choices:
                self._begin_choice(event.choice)
            self._opens[event.choice, event.block] = event
            if event.redacted:
                self._part(event.choice, {"text": "", "thoughtSignature": wrap_signature(event.signature)}, out)
        elif isinstance(event, ir.Sign):
            if self._opens[event.choice, event.block].kind == "tool":
                self._signatures[event.choice, event.block] = event.signature
            else:
                thought = {"text": "", "thought": True, "thoughtSignature": wrap_signature(event.signature)}
                self._part(event.choice, thought, out)
        elif isinstance(event, ir.Close):
            if self._opens[event.choice, event.block].kind == "tool":
                self._call(event, out)
        elif isinstance(event, ir.Cite):
            self._choices[event.choice].citations.append(event.citation)
        elif isinstance(event, ir.Finish):
            if event.choice not in self._choices:
                self._begin_choice(event.choice)
            self._choices[event.choice].finish = event.reason
        elif isinstance(event, ir.Begin):
            context = self._context
            rendered = head(event.id or context.id, event.model or context.model, event.created or context.created)
            self._tail = _encode(rendered)[1:]
        elif isinstance(event, ir.Counted):
            self._usage = event.usage
        elif isinstance(event, ir.End):
            self._end(out)

    def _begin_choice(self, choice: int) -> None:
        self._choices[choice] = _Choice()
        self._after[choice] = b'}],"role":"model"},"index":%d}],%b\r\n\r\n' % (choice, self._tail)

    def _part(self, choice: int, part: dict[str, Any], out: list[Event], more: dict[str, Any] | None = None) -> None:
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": choice}
        self._event([candidate | (more or {})], b"", out)

    def _event(self, candidates: list[dict[str, Any]], payload: bytes, out: list[Event]) -> None:
        body = _encode(candidates)
        if b"\n" in body or b"\r" in body:  # of arguments as a model wrote them: lines would end the event
            body = body.translate(_ONE_LINE)
        frame = b'data: {"candidates":%b,%b%b\r\n\r\n' % (body, payload, self._tail)
        out.append(Event(EventKind.CONTENT, frame))

    def _call(self, event: ir.Close, out: list[Event]) -> None:
        key = (event.choice, event.block)
        opened = self._opens[key]
        text = "".join(self._calls.pop(key, ()))
        signature = self._signatures.pop(key, opened.signature)
        self._part(event.choice, render_answered(ir.ToolCall(opened.tool_id, opened.name, text, signature)), out)

    def _end(self, out: list[Event]) -> None:
        candidates: list[dict[str, Any]] = []
        for index, choice in sorted(self._choices.items()):
            rendered: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}, "index": index}
            rendered["finishReason"] = REASONS[choice.finish or "stop"]
            if choice.citations:
                grounding = render_citations(choice.citations, ["".join(choice.texts)])
                if grounding is not None:
                    rendered["groundingMetadata"] = grounding
            candidates.append(rendered)
        counted = b'"usageMetadata":%b,' % _encode(usage.render(self._usage)) if self._usage is not None else b""
        self._event(candidates, counted, out)
        out.append(Event(EventKind.DONE, b""))
