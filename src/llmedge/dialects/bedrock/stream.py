"""ConverseStream ↔ the IR (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.bedrock.answer import FINISH, REASONS, parse_usage, render_usage, stop_sequence
from llmedge.dialects.bedrock.content import citation, citation_fields
from llmedge.dialects.bedrock.eventstream import EventStreamError, EventStreamParser, Message, encode
from llmedge.dialects.blocks import BlockWriter
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.fields import AnswerFields
from llmedge.dialects.lenient import arguments, flat
from llmedge.dialects.sse import CUT, FramedReader
from llmedge.errors import (
    EdgeError,
    UpstreamCut,
    UpstreamMalformed,
    VendorFailed,
    VendorRateLimited,
    VendorRefused,
    VendorRejectedCredentials,
    VendorUnavailable,
)
from llmedge.model import Event, EventKind, Usage

_encode = msgspec.json.Encoder().encode
_NULL = msgspec.Raw(b"null")


class _Struct(msgspec.Struct, gc=False, rename="camel"):
    """Unknown fields (Bedrock pads its events with one called ``p``) are skipped."""


class _ToolUse(_Struct):
    tool_use_id: Any = None
    name: str = ""
    type: Any = None


class _Start(_Struct):
    tool_use: _ToolUse | None = None
    tool_result: Any = None
    image: Any = None


class _BlockStart(_Struct):
    start: _Start
    content_block_index: int = 0


class _Input(_Struct):
    input: msgspec.Raw = _NULL


class _Reasoning(_Struct):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(_Struct):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None
    citation: msgspec.Raw = _NULL


class _BlockDelta(_Struct):
    delta: _Delta
    content_block_index: int = 0


class _BlockStop(_Struct):
    content_block_index: int = 0


class _MessageStop(_Struct):
    stop_reason: Any = None
    additional_model_response_fields: Any = None


class _Metadata(_Struct):
    usage: Any = None
    service_tier: Any = None


class _Error(_Struct):
    message: str = ""


_decode_delta = msgspec.json.Decoder(_BlockDelta).decode
_decode_start = msgspec.json.Decoder(_BlockStart).decode
_decode_stop = msgspec.json.Decoder(_BlockStop).decode
_decode_message_stop = msgspec.json.Decoder(_MessageStop).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_decode_error = msgspec.json.Decoder(_Error).decode

_Kind = Literal["text", "thinking", "tool", "redacted", "skipped"]


class _Block:
    """A block that is open. ``number`` is the IR's; the vendor's may have gaps."""

    __slots__ = ("has_delta", "kind", "number", "pieces")

    def __init__(self, kind: _Kind, number: int = -1) -> None:
        self.kind = kind
        self.number = number
        self.has_delta = False
        self.pieces: list[str] = []  # of a signature or a redacted thought, which are wanted whole


class Decoder(FramedReader[ir.StreamEvent]):
    """A vendor's event stream into the IR.

    Whole after ``messageStop``: then come its metadata with the usage, or nothing more.
    """

    def __init__(self, *, max_event: int) -> None:
        super().__init__()
        self._parser = EventStreamParser(max_event)
        self._begun = False
        self._stopped = False
        self._called = False
        self._writer = BlockWriter()
        self._blocks: dict[int, _Block] = {}

    @property
    def complete(self) -> bool:
        """The answer is; its usage may still come."""
        return self._stopped

    def _feed(self, data: bytes, items: list[ir.StreamEvent]) -> None:
        try:
            for message in self._parser.feed(data):
                self._message(message, items)
                if self.done:
                    break
        except EventStreamError as error:
            raise UpstreamMalformed(f"sent {error}") from None

    def _end(self, items: list[ir.StreamEvent]) -> None:
        if not self._stopped or self._parser.partial:
            raise UpstreamCut(CUT)
        self.done = True
        items.append(ir.End())

    def _message(self, message: Message, items: list[ir.StreamEvent]) -> None:
        if message.headers.get(":message-type") != "event":
            raise _failure(message)
        name = str(message.headers.get(":event-type", ""))
        payload = self._marked(message.payload)
        try:
            if name == "contentBlockDelta":
                self._delta(_decode_delta(payload), items)
            elif name == "contentBlockStart":
                self._start(_decode_start(payload), items)
            elif name == "contentBlockStop":
                self._close(_decode_stop(payload).content_block_index, items)
            elif name == "messageStart":
                self._begin(items)
            elif name == "messageStop":
                self._stop(_decode_message_stop(payload), items)
            elif name == "metadata":
                self._metadata(_decode_metadata(payload), items)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            raise UpstreamMalformed(f"sent an event '{name}' that cannot be read") from None

    def _begin(self, items: list[ir.StreamEvent]) -> None:
        if not self._begun:
            self._begun = True
            items.append(ir.Begin())

    def _open(self, index: int, kind: Literal["text", "thinking"], items: list[ir.StreamEvent]) -> _Block:
        """The block ``index``: texts and thoughts are not announced."""
        block = self._blocks.get(index)
        if block is not None and block.kind == kind:
            return block
        if self._stopped:
            raise UpstreamMalformed("went on with an answer that was complete")
        if block is not None:
            self._close(index, items)
        self._begin(items)
        block = self._blocks[index] = _Block(kind, self._writer.add(kind, items))
        return block

    def _start(self, event: _BlockStart, items: list[ir.StreamEvent]) -> None:
        index, tool = event.content_block_index, event.start.tool_use
        if tool is None or tool.type is not None:
            if tool is not None or event.start.tool_result is not None or event.start.image is not None:
                # The vendor ran a tool itself, or painted: no event of the IR can say it, no client asked for it.
                self._blocks[index] = _Block("skipped")
            return
        if index in self._blocks or self._stopped:
            raise UpstreamMalformed("began a block of its answer twice, or after its end")
        self._begin(items)
        self._called = True
        identifier = tool.tool_use_id if isinstance(tool.tool_use_id, str) else ""
        number = self._writer.add("tool", items, tool_id=identifier, name=tool.name)
        self._blocks[index] = _Block("tool", number)

    def _delta(self, event: _BlockDelta, items: list[ir.StreamEvent]) -> None:
        index, delta = event.content_block_index, event.delta
        block = self._blocks.get(index)
        if block is not None and block.kind == "skipped":
            return
        if delta.text:
            if block is None or block.kind != "text":
                block = self._open(index, "text", items)
            items.append(ir.Delta(block.number, delta.text))
        elif delta.tool_use is not None:
            if block is None or block.kind != "tool":
                raise UpstreamMalformed("sent arguments of a tool call that it did not begin")
            if piece := arguments(delta.tool_use.input):
                block.has_delta = True
                items.append(ir.Delta(block.number, piece))
        elif (thought := delta.reasoning_content) is not None:
            self._thought(index, thought, items)
        elif bytes(delta.citation) != b"null":
            cite = citation(AnswerFields.spare(delta.citation))
            items.append(ir.Cite(self._open(index, "text", items).number, cite))

    def _thought(self, index: int, thought: _Reasoning, items: list[ir.StreamEvent]) -> None:
        if thought.redacted_content is not None:
            block = self._blocks.get(index)
            if block is None:
                block = self._blocks[index] = _Block("redacted")
            block.pieces.append(thought.redacted_content)
            return
        if thought.text:
            items.append(ir.Delta(self._open(index, "thinking", items).number, thought.text))
        if thought.signature:
            self._open(index, "thinking", items).pieces.append(thought.signature)

    def _close(self, index: int, items: list[ir.StreamEvent]) -> None:
        block = self._blocks.pop(index, None)
        if block is None or block.kind == "skipped":
            return
        if block.kind == "redacted":
            self._begin(items)
            self._writer.redacted(_join(block.pieces), items)
            return
        if block.kind == "thinking" and block.pieces:
            items.append(ir.Sign(block.number, "".join(block.pieces)))
        elif block.kind == "tool" and not block.has_delta:
            items.append(ir.Delta(block.number, "{}"))  # a call without arguments
        items.append(ir.Close(block.number))

    def _stop(self, event: _MessageStop, items: list[ir.StreamEvent]) -> None:
        if self._stopped:
            raise UpstreamMalformed("ended its answer twice")
        check_end(event.stop_reason)
        self._begin(items)
        for index in list(self._blocks):
            self._close(index, items)
        self._stopped = True
        reason = with_calls(FINISH.get(flat(event.stop_reason), "stop"), self._called)
        items.append(ir.Finish(reason, stop_sequence=stop_sequence(event.additional_model_response_fields)))

    def _metadata(self, event: _Metadata, items: list[ir.StreamEvent]) -> None:
        if (usage := parse_usage(event.usage, event.service_tier)) is not None:
            items.append(ir.Counted(usage))
        if self._stopped:
            self.done = True
            items.append(ir.End())


def _join(pieces: list[str]) -> str:
    """Base64 of the bytes of several base64 texts."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece) for piece in pieces)).decode()
    except binascii.Error:
        raise UpstreamMalformed("sent a redacted thought that is not base64") from None


_FAILURES: dict[str, type[EdgeError]] = {
    "throttlingException": VendorRateLimited,
    "serviceUnavailableException": VendorUnavailable,
    "modelNotReadyException": VendorUnavailable,
    "accessDeniedException": VendorRejectedCredentials,
    "validationException": VendorRefused,
}
"""Anything else (internalServerException, modelStreamErrorException, modelTimeoutException …) is a failure of its."""


def _failure(message: Message) -> EdgeError:
    """The error a message of type ``exception`` (modelled) or ``error`` (not modelled) stands for."""
    headers = message.headers
    name = str(headers.get(":exception-type") or headers.get(":error-code") or "")
    reason = str(headers.get(":error-message", ""))
    if not reason:
        try:
            reason = _decode_error(message.payload).message
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    name = name[:1].lower() + name[1:]
    kind = _FAILURES.get(name, VendorFailed)
    if kind is VendorRefused:
        return VendorRefused(reason or "The provider refused the request.", code="ValidationException")
    if kind is VendorRejectedCredentials:
        return VendorRejectedCredentials("refused the gateway's credentials; the operator has to check them")
    return kind(f"failed while answering: {reason or name or 'it gave no reason'}")


class Encoder:
    """The IR into an event stream: what fakes and tests speak."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._kinds: dict[int, str] = {}

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            self._one(event, out)
        return out

    def _one(self, event: ir.StreamEvent, out: list[Event]) -> None:
        if isinstance(event, ir.Begin):
            out.append(Event(EventKind.LIFECYCLE, frame("messageStart", {"role": "assistant"})))
        elif isinstance(event, ir.Open):
            self._kinds[event.block] = event.kind
            if event.kind == "tool":
                start = {"toolUse": {"toolUseId": event.tool_id, "name": event.name}}
                self._say("contentBlockStart", event.block, out, start=start)
            elif event.redacted:
                self._delta(event.block, {"reasoningContent": {"redactedContent": event.signature}}, out)
        elif isinstance(event, ir.Delta):
            kind = self._kinds.get(event.block)
            if kind == "tool":
                self._delta(event.block, {"toolUse": {"input": event.text}}, out)
            elif kind == "thinking":
                self._delta(event.block, {"reasoningContent": {"text": event.text}}, out)
            elif kind != "audio":
                self._delta(event.block, {"text": event.text}, out)
        elif isinstance(event, ir.Sign):
            if self._kinds.get(event.block) == "thinking":
                self._delta(event.block, {"reasoningContent": {"signature": event.signature}}, out)
        elif isinstance(event, ir.Cite):
            self._delta(event.block, {"citation": citation_fields(event.citation)}, out)
        elif isinstance(event, ir.Close):
            self._say("contentBlockStop", event.block, out)
        elif isinstance(event, ir.Finish):
            stop: dict[str, Any] = {"stopReason": REASONS[event.reason]}
            if event.stop_sequence:
                stop["additionalModelResponseFields"] = {"stop_sequence": event.stop_sequence}
            out.append(Event(EventKind.CONTENT, frame("messageStop", stop)))
        elif isinstance(event, ir.Counted):
            self._usage = event.usage
        elif self._usage is not None:
            metadata = {"usage": render_usage(self._usage), "metrics": {"latencyMs": 0}}
            out.append(Event(EventKind.DONE, frame("metadata", metadata)))
        else:
            out.append(Event(EventKind.DONE, b""))

    def _delta(self, block: int, delta: dict[str, Any], out: list[Event]) -> None:
        self._say("contentBlockDelta", block, out, delta=delta)

    def _say(self, name: str, block: int, out: list[Event], **fields: Any) -> None:
        out.append(Event(EventKind.CONTENT, frame(name, fields | {"contentBlockIndex": block})))


def frame(name: str, payload: dict[str, Any], kind: str = "event") -> bytes:
    """One event, or with ``kind="exception"`` one exception."""
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return encode(headers, _encode(payload))
