"""GenerateContentResponse ↔ the IR (ai.google.dev/api/generate-content#generatecontentresponse)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.gemini import usage
from llmedge.dialects.gemini.chunks import (
    FINISH,
    REASONS,
    Candidate,
    Chunk,
    Part,
    arguments,
    blocked,
    call_id,
    created,
    decode,
    head,
    texts_of,
)
from llmedge.dialects.gemini.citations import parse_citations, parse_logprobs, render_citations, render_logprobs
from llmedge.dialects.gemini.parts import attach, render_call, render_source, render_thought
from llmedge.dialects.gemini.wire import failed
from llmedge.errors import UpstreamMalformed

_encode = msgspec.json.Encoder().encode


def check(body: bytes) -> Chunk:
    """A whole answer: candidates, or the reason why there are none.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    chunk = decode(body, "answered with something that is not an answer")
    if chunk.error and bytes(chunk.error) != b"null":
        raise failed(body, "answered with an error behind status 200")
    if chunk.candidates is None and not blocked(chunk):
        raise UpstreamMalformed("answered without candidates")
    return chunk


# A vendor's answer


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    chunk = check(body)
    response = chunk.response_id or ""
    if blocked(chunk):
        choices: tuple[ir.Choice, ...] = (ir.Choice((), "filter"),)
    else:
        choices = tuple(_choice(each, index, response) for index, each in enumerate(chunk.candidates or ()))
    return ir.Answer(choices, response, chunk.model_version or "", created(chunk), usage.parse(chunk.usage_metadata))


def _choice(candidate: Candidate, number: int, response: str) -> ir.Choice:
    index = number if candidate.index is None else candidate.index
    parts: list[ir.Part] = []
    texts: list[str | None] = []
    calls = 0
    for part in (candidate.content.parts if candidate.content else None) or ():
        texts.append(None if part.thought else part.text)
        calls += _part(part, response, index, calls, parts)
    finish = FINISH.get(candidate.finish_reason or "STOP", "stop")
    if finish == "stop" and calls:
        finish = "tool"
    for cite in parse_citations(candidate.grounding_metadata, candidate.citation_metadata, texts):
        _cite(cite, parts)
    return ir.Choice(tuple(parts), finish, index, logprobs=parse_logprobs(candidate.logprobs_result))


def _part(part: Part, response: str, choice: int, number: int, parts: list[ir.Part]) -> int:
    """Append what one part says; 1 if it is a call. Code that Google ran itself has no place in the IR, and nobody
    but a client of Google's can ask for it."""
    signature = part.thought_signature or ""
    if part.function_call is not None:
        call = part.function_call
        identifier = call_id(call, response, choice, number)
        parts.append(ir.ToolCall(identifier, call.name or "", arguments(call), signature))
        return 1
    if part.thought:
        if part.text or signature:
            parts.append(ir.Thinking(part.text or "", signature))
        return 0
    if part.text:
        parts.append(ir.Text(part.text))
    elif (blob := part.inline_data) is not None:
        source = ir.Source("base64", blob.data or "", blob.mime_type or "")
        parts.append(_medium(source))
    elif (blob := part.file_data) is not None:
        parts.append(_medium(ir.Source("url", blob.file_uri or "", blob.mime_type or "")))
    if signature:
        parts.append(ir.Thinking("", signature, redacted=True))
    return 0


def _medium(source: ir.Source) -> ir.Part:
    if source.media_type.startswith("audio/"):
        return ir.Audio(source)
    return ir.Image(source) if source.media_type.startswith("image/") else ir.File(source)


def _cite(cite: ir.Citation, parts: list[ir.Part]) -> None:
    """Put a citation on the text in which it begins, or on the last."""
    before, place = 0, -1
    for index, part in enumerate(parts):
        if isinstance(part, ir.Text):
            place = index
            before += len(part.text)
            if cite.text_start is not None and cite.text_start < before:
                break
    if place >= 0:
        text = parts[place]
        assert isinstance(text, ir.Text)
        parts[place] = ir.Text(text.text, (*text.citations, cite))


# A client's answer


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    payload: dict[str, Any] = {"candidates": [_candidate(choice) for choice in answer.choices]}
    if answer.usage is not None:
        payload["usageMetadata"] = usage.render(answer.usage)
    payload |= head(answer.id or context.id, answer.model or context.model, answer.created or context.created)
    return _encode(payload)


def _candidate(choice: ir.Choice) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    citations: list[ir.Citation] = []
    broken = False
    for part in choice.parts:
        if isinstance(part, ir.Text):
            citations += part.citations
            parts.append({"text": part.text})
        elif isinstance(part, ir.Refusal):
            parts.append({"text": part.text})
        elif isinstance(part, ir.Thinking):
            if not attach(part, parts):
                parts.append(render_thought(part))
        elif isinstance(part, ir.ToolCall):
            call = render_call(part)
            broken = broken or call is None
            parts += [] if call is None else [call]
        elif isinstance(part, ir.Audio | ir.Image | ir.File):
            media = render_source(part.source, type(part).__name__.lower())
            parts += [] if media is None else [media]
    out: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": choice.index}
    out["finishReason"] = finish_reason(choice.finish, broken)
    if broken:
        out["finishMessage"] = BROKEN_CALL
    if (grounding := render_citations(citations, texts_of(parts))) is not None:
        out["groundingMetadata"] = grounding
    if choice.logprobs is not None:
        out["logprobsResult"] = render_logprobs(choice.logprobs)
    return out


BROKEN_CALL = "The model called a function with arguments that are not a JSON object."


def finish_reason(finish: ir.FinishReason, broken: bool) -> str:
    """Gemini's calls hold objects: one whose arguments are none is left out, and the reason says so."""
    if broken and finish in ("tool", "stop"):
        return REASONS["malformed"]
    return REASONS[finish]
