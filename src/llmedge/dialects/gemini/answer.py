"""GenerateContentResponse ↔ the IR (ai.google.dev/api/generate-content#generatecontentresponse)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.gemini import usage
from llmedge.dialects.gemini.chunks import (
    REASONS,
    Candidate,
    Chunk,
    Part,
    blocked,
    created,
    decode,
    finish_of,
    head,
    texts_of,
)
from llmedge.dialects.gemini.citations import parse_citations, parse_logprobs, render_citations, render_logprobs
from llmedge.dialects.gemini.parts import attach, render_call, render_source, render_thought
from llmedge.dialects.gemini.wire import failed
from llmedge.dialects.lenient import broken_input, flat, whole
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
    if blocked(chunk):
        choices: tuple[ir.Choice, ...] = (ir.Choice((), "filter"),)
    else:
        choices = tuple(_choice(each, index) for index, each in enumerate(chunk.candidates or ()) if each is not None)
    counted = usage.parse(chunk.usage_metadata)
    return ir.Answer(choices, flat(chunk.response_id), flat(chunk.model_version), created(chunk), counted)


def _choice(candidate: Candidate, number: int) -> ir.Choice:
    index = whole(candidate.index)
    parts: list[ir.Part] = []
    texts: list[str | None] = []
    for part in candidate.content.said if candidate.content is not None else ():
        texts.append(None if part.thought else part.text)
        _part(part, parts)
    finish = finish_of(candidate.finish_reason, any(isinstance(part, ir.ToolCall) for part in parts))
    for cite in parse_citations(candidate.grounding_metadata, candidate.citation_metadata, texts):
        _cite(cite, parts)
    place = number if index is None else index
    return ir.Choice(tuple(parts), finish, place, logprobs=parse_logprobs(candidate.logprobs_result))


def _part(part: Part, parts: list[ir.Part]) -> None:
    """Append what one part says. Code that Google ran itself has no place in the IR, and nobody
    but a client of Google's can ask for it."""
    signature = part.thought_signature or ""
    if part.function_call is not None:
        call = part.function_call
        parts.append(ir.ToolCall(call.identifier, flat(call.name), call.arguments, signature))
        return
    if part.thought:
        if part.text or signature:
            parts.append(ir.Thinking(part.text or "", signature))
        return
    if part.text:
        parts.append(ir.Text(part.text))
    elif (blob := part.inline_data) is not None:
        source = ir.Source("base64", blob.data or "", blob.mime_type or "")
        parts.append(_medium(source))
    elif (blob := part.file_data) is not None:
        parts.append(_medium(ir.Source("url", blob.file_uri or "", blob.mime_type or "")))
    if signature:
        parts.append(ir.Thinking("", signature, redacted=True))


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
            parts.append(render_answered(part))
        elif isinstance(part, ir.Audio | ir.Image | ir.File):
            media = render_source(part.source, type(part).__name__.lower())
            parts += [] if media is None else [media]
    out: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": choice.index}
    out["finishReason"] = REASONS[choice.finish]
    if (grounding := render_citations(citations, texts_of(parts))) is not None:
        out["groundingMetadata"] = grounding
    if choice.logprobs is not None:
        out["logprobsResult"] = render_logprobs(choice.logprobs)
    return out


def render_answered(call: ir.ToolCall) -> dict[str, Any]:
    """A call for a client."""
    wrapped = _encode(broken_input(call.arguments)).decode()
    return render_call(call) or render_call(msgspec.structs.replace(call, arguments=wrapped)) or {}
