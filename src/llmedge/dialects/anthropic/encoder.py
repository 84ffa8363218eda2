"""The IR → a Messages stream (platform.claude.com/docs/en/build-with-claude/streaming)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic import answer, citations, usage
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.lenient import broken_input
from llmedge.dialects.tool_ids import signed_id
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode

_DELTAS = {
    "text": b'{"type":"text_delta","text":',
    "refusal": b'{"type":"text_delta","text":',
    "thinking": b'{"type":"thinking_delta","thinking":',
    "tool": b'{"type":"input_json_delta","partial_json":',
}
_BlockEvent = ir.Open | ir.Delta | ir.Sign | ir.Cite | ir.Close


class Encoder:
    """The IR into events for a client.

    One block at a time: SDKs add a delta to the content at its index and expect blocks in order. What is said of
    another block than the open one waits until that is closed. Usage and the reason to stop come last, so the
    end of the answer waits for the end of the stream.
    """

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._begin: ir.Begin | None = None
        self._usage = Usage()
        self._finish: ir.Finish | None = None
        self._refused = False
        self._count = 0
        self._open = -1  # the IR's number of the open block
        self._head = b""  # of a delta of the open block
        self._input: _Input | None = None  # of the open block, until it is known to be an object
        self._held: dict[int, list[_BlockEvent]] = {}

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, ir.Delta):
                if event.block == self._open and self._head and self._input is None and event.choice == 0:
                    if event.text:
                        out.append(Event(EventKind.CONTENT, self._head + _encode(event.text) + b"}}\n\n"))
                else:
                    self._block(event, out)
            elif isinstance(event, ir.Begin):
                self._begin = event
            elif isinstance(event, ir.Counted):
                self._usage = event.usage
            elif isinstance(event, ir.Finish):
                if event.choice == 0:
                    self._finish = event
            elif isinstance(event, ir.End):
                self._end(out)
            else:
                self._block(event, out)
        return out

    def _block(self, event: _BlockEvent, out: list[Event]) -> None:
        """An event of a block: now, or when its turn comes."""
        if event.choice:
            return  # Messages has only one answer
        if self._open == event.block or (self._open < 0 and isinstance(event, ir.Open)):
            self._write(event, out)
        else:
            self._held.setdefault(event.block, []).append(event)
        while self._open < 0 and self._held:
            for waiting in self._held.pop(next(iter(self._held))):
                self._write(waiting, out)

    def _write(self, event: _BlockEvent, out: list[Event]) -> None:
        if isinstance(event, ir.Open):
            self._start(event, out)
        elif isinstance(event, ir.Close):
            if self._input is not None:
                self._say(self._input.end(), out)
                self._input = None
            if self._head:
                out.append(_event(EventKind.CONTENT, b"content_block_stop", b',"index":%d' % self._count))
                self._count += 1
            self._open = -1
            self._head = b""
        elif not self._head:
            return
        elif isinstance(event, ir.Delta):
            text = event.text
            if self._input is not None:
                text = self._input.take(text)
                if self._input.is_object:
                    self._input = None
            self._say(text, out)
        elif isinstance(event, ir.Sign):
            if b"thinking_delta" in self._head:  # a tool call's is in its id, or comes too late
                self._delta({"type": "signature_delta", "signature": event.signature}, out)
        elif (rendered := citations.render(event.citation, answer=True)) is not None:
            self._delta({"type": "citations_delta", "citation": rendered}, out)

    def _start(self, event: ir.Open, out: list[Event]) -> None:
        self._open = event.block
        if event.kind == "audio":
            return  # cannot be said: its deltas find no head
        self._message(out)
        kind = EventKind.LIFECYCLE
        block: dict[str, Any]
        if event.kind == "tool":
            identifier = signed_id(event.tool_id, event.signature)
            block = {"type": "tool_use", "id": identifier, "name": event.name, "input": {}}
            self._input = _Input()
            kind = EventKind.CONTENT
        elif event.redacted:
            block = {"type": "redacted_thinking", "data": event.signature}
            kind = EventKind.CONTENT
        elif event.kind == "thinking":
            block = {"type": "thinking", "thinking": "", "signature": event.signature}
        else:
            block = {"type": "text", "text": ""}
            self._refused = self._refused or event.kind == "refusal"
        rendered = b',"index":%d,"content_block":%b' % (self._count, _encode(block))
        out.append(_event(kind, b"content_block_start", rendered))
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._count
        ) + _DELTAS[event.kind]

    def _say(self, text: str, out: list[Event]) -> None:
        if text:
            out.append(Event(EventKind.CONTENT, self._head + _encode(text) + b"}}\n\n"))

    def _delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        rendered = b',"index":%d,"delta":%b' % (self._count, _encode(delta))
        out.append(_event(EventKind.CONTENT, b"content_block_delta", rendered))

    def _message(self, out: list[Event]) -> None:
        """``message_start``, with the usage known by then: held back until there is something to say."""
        if self._begin is not None:
            start = answer.start(self._begin, self._context, self._usage)
            out.append(_event(EventKind.LIFECYCLE, b"message_start", b',"message":' + _encode(start)))
            self._begin = None

    def _end(self, out: list[Event]) -> None:
        self._message(out)
        finish = self._finish or ir.Finish("stop")
        reason = "refusal" if self._refused and finish.reason == "stop" else answer.REASONS[finish.reason]
        delta = {"stop_reason": reason, "stop_sequence": finish.stop_sequence or None, **answer.NOTHING}
        counts = usage.render(self._usage, delta=True)
        rendered = b',"delta":%b,"usage":%b' % (_encode(delta), _encode(counts))
        out.append(_event(EventKind.CONTENT, b"message_delta", rendered))
        out.append(_event(EventKind.DONE, b"message_stop", b""))


class _Input:
    """A tool call's arguments as they come: as they are where they begin an object, else put into one, since clients
    read an object and nothing of what the model wrote is to be hidden; the same one as in a whole answer.

    An object that never ends goes on as it is: it is out before anybody can know, and Anthropic's own API streams such
    too (platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming).
    """

    def __init__(self) -> None:
        self.is_object = False
        self._space = ""  # in front, not said yet
        self._broken = False

    def take(self, text: str) -> str:
        """What is said of them now."""
        if self._broken:
            return _escaped(text)
        text = self._space + text
        first = text.lstrip()[:1]
        if not first:
            self._space = text
            return ""
        self.is_object = first == "{"
        if self.is_object:
            return text
        self._broken = True
        return _BROKEN[:-2] + _escaped(text)

    def end(self) -> str:
        """The rest."""
        return _BROKEN[-2:] if self._broken else ""


_BROKEN = _encode(broken_input("")).decode()


def _escaped(text: str) -> str:
    """A part of a JSON string."""
    return _encode(text)[1:-1].decode()


def _event(kind: EventKind, name: bytes, rest: bytes) -> Event:
    return Event(kind, b'event: %b\ndata: {"type":"%b"%b}\n\n' % (name, name, rest))
