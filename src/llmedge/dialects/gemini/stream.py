"""streamGenerateContent's events ↔ the IR (ai.google.dev/api/generate-content#method:-models.streamgeneratecontent).

With ``alt=sse`` each event is a GenerateContentResponse, whose texts are deltas and whose calls are whole. There is
no terminal event: a stream is whole when its body has ended and every candidate gave its reason. A reason is not the
end of a candidate: some models give ``STOP`` in each event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.blocks import BlockWriter
from llmedge.dialects.endings import check_end
from llmedge.dialects.gemini import usage
from llmedge.dialects.gemini.chunks import (
    Blob,
    Candidate,
    Part,
    blocked,
    created,
    decode,
    finish_of,
)
from llmedge.dialects.gemini.citations import NULL, parse_citations, parse_logprobs
from llmedge.dialects.gemini.wire import failed
from llmedge.dialects.lenient import UNREADABLE, flat, whole
from llmedge.dialects.sse import CUT, PassingReader, SseReader
from llmedge.errors import UpstreamCut, UpstreamMalformed, VendorFailed
from llmedge.model import Event, EventKind, Usage

_NO_CHUNK = "sent an event that is not a piece of an answer"
_FAILED = "failed while answering"


class _ThinContent(msgspec.Struct, gc=False):
    parts: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None


class _ThinCandidate(msgspec.Struct, gc=False, rename="camel"):
    content: _ThinContent | None = None
    finish_reason: Any = None
    index: Any = 0


class _ThinChunk(msgspec.Struct, gc=False, rename="camel"):
    """As much of a chunk as passing it on needs."""

    candidates: list[_ThinCandidate | None] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")
    prompt_feedback: Any = None
    error: msgspec.Raw = msgspec.Raw(b"")


_decode_thin = msgspec.json.Decoder(_ThinChunk).decode


class Reader(PassingReader):
    """A stream that is passed on as it is. Gemini's clients always get usage, so there is nothing to strip."""

    def __init__(self, *, choices: int, max_event: int) -> None:
        super().__init__(max_event)
        self._wanted = choices
        self._usage = msgspec.Raw(b"")
        self._content = False
        self._blocked = False
        self._finished: dict[int, bool] = {}

    @property
    def usage(self) -> Usage | None:
        return usage.parse(self._usage)

    def _take(self, name: bytes, data: bytes, items: list[Event]) -> None:
        if data == b"[DONE]":  # not of this API, but some servers end every stream so
            return
        try:
            if not data.isascii():
                data.decode()
            chunk = _decode_thin(data)
        except UNREADABLE:
            raise UpstreamMalformed(_NO_CHUNK) from None
        if chunk.error and bytes(chunk.error) != b"null":
            raise failed(data, _FAILED)
        if chunk.usage_metadata:
            self._usage = chunk.usage_metadata  # running totals: the last one stands
        for candidate in chunk.candidates or ():
            if candidate is None:
                continue
            index = whole(candidate.index) or 0
            has_parts = candidate.content is not None and bool(candidate.content.parts)
            if candidate.finish_reason:
                self._finished[index] = True
            elif has_parts or index not in self._finished:
                self._finished[index] = False
            if has_parts or candidate.finish_reason:
                self._content = True
        if blocked(chunk):  # type: ignore[arg-type]  # has what is looked at
            self._blocked = self._content = True
        if b"\n" in data:
            data = data.replace(b"\n", b"\r\ndata: ")
        kind = EventKind.CONTENT if self._content else EventKind.LIFECYCLE
        items.append(Event(kind, b"data: " + data + b"\r\n\r\n"))

    def _end(self, items: list[Event]) -> None:
        self._take_rest(items)
        if not self._blocked and (len(self._finished) < self._wanted or not all(self._finished.values())):
            raise UpstreamCut(CUT)
        self.done = True
        items.append(Event(EventKind.DONE, b""))


class _State:
    """One candidate."""

    __slots__ = ("blocks", "called", "reason", "texts")

    def __init__(self, index: int) -> None:
        self.blocks = BlockWriter(index)
        self.called = False
        self.reason = ""
        self.texts: list[str] = []


class Decoder(SseReader[ir.StreamEvent]):
    """A vendor's stream into the IR.

    :param choices: how many answers were asked for.
    """

    def __init__(self, *, choices: int, max_event: int) -> None:
        super().__init__(max_event)
        self._wanted = choices
        self._begun = False
        self._blocked = False
        self._usage: Usage | None = None
        self._states: dict[int, _State] = {}

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if data == b"[DONE]":
            return
        chunk = decode(data, _NO_CHUNK)
        if chunk.error and bytes(chunk.error) != b"null":
            raise failed(data, _FAILED)
        if not self._begun:
            self._begun = True
            items.append(ir.Begin(flat(chunk.response_id), flat(chunk.model_version), created(chunk)))
        if chunk.usage_metadata:
            counted = usage.parse(chunk.usage_metadata)
            if counted is not None and counted != self._usage:
                self._usage = counted
                items.append(ir.Counted(counted))
        for candidate in chunk.candidates or ():
            if candidate is not None:
                self._candidate(candidate, items)
        if blocked(chunk):
            self._blocked = True

    def _end(self, items: list[ir.StreamEvent]) -> None:
        self._take_rest(items)
        if self._blocked:
            items.append(ir.Finish("filter"))
        else:
            if len(self._states) < self._wanted or not all(state.reason for state in self._states.values()):
                raise UpstreamCut(CUT)
            for index, state in sorted(self._states.items()):
                state.blocks.close(items)
                items.append(ir.Finish(finish_of(state.reason, state.called), index))
        self.done = True
        items.append(ir.End())

    def _candidate(self, candidate: Candidate, items: list[ir.StreamEvent]) -> None:
        index = whole(candidate.index) or 0
        state = self._states.get(index)
        if state is None:
            state = self._states[index] = _State(index)
        parts = candidate.content.said if candidate.content is not None else None
        if parts:
            logprobs = parse_logprobs(candidate.logprobs_result)
            state.reason = ""
            for part in parts:
                if part.text and not part.thought and part.thought_signature is None and part.function_call is None:
                    state.texts.append(part.text)
                    items.append(ir.Delta(state.blocks.at("text", items), part.text, index, logprobs))
                    logprobs = None
                else:
                    logprobs = self._part(part, state, index, items, logprobs)
        if candidate.finish_reason:
            check_end(candidate.finish_reason)
            state.reason = flat(candidate.finish_reason)
        if candidate.grounding_metadata != NULL or candidate.citation_metadata != NULL:
            # The parts of a stream are pieces of one text.
            said: list[str | None] = ["".join(state.texts)]
            for cite in parse_citations(candidate.grounding_metadata, candidate.citation_metadata, said):
                items.append(ir.Cite(state.blocks.at("text", items), cite, index))

    def _part(
        self,
        part: Part,
        state: _State,
        index: int,
        items: list[ir.StreamEvent],
        logprobs: tuple[ir.TokenLogprob, ...] | None,
    ) -> tuple[ir.TokenLogprob, ...] | None:
        """A part that is no plain text; the likelihoods that are still to be told."""
        signature = part.thought_signature or ""
        if (call := part.function_call) is not None:
            state.called = True
            opened = {"tool_id": call.identifier, "name": flat(call.name), "signature": signature}
            items.append(ir.Delta(state.blocks.open("tool", items, **opened), call.arguments, index))
            state.blocks.close(items)
            return logprobs
        if part.thought:
            if part.text:
                items.append(ir.Delta(state.blocks.at("thinking", items), part.text, index))
            if signature:  # of this thought: the next is another
                items.append(ir.Sign(state.blocks.at("thinking", items), signature, index))
                state.blocks.close(items)
            return logprobs
        if part.text:
            state.texts.append(part.text)
            items.append(ir.Delta(state.blocks.at("text", items), part.text, index, logprobs))
            logprobs = None
        elif part.inline_data is not None:
            self._sound(part.inline_data, state, index, items)
        if signature:
            state.blocks.redacted(signature, items)
        return logprobs

    def _sound(self, blob: Blob, state: _State, index: int, items: list[ir.StreamEvent]) -> None:
        if not (blob.mime_type or "").startswith("audio/"):
            raise VendorFailed("answered with an image, which a stream in the client's dialect has no place for")
        block = state.blocks.at("audio", items)
        if blob.data:
            items.append(ir.Delta(block, blob.data, index))
