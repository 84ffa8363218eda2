"""GenerateContentResponse ↔ the form (ai.google.dev/api/generate-content#generatecontentresponse)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import form
from llmedge.dialects.dialect import Asked
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


def parse(body: bytes) -> form.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    chunk = check(body)
    response = chunk.response_id or ""
    if blocked(chunk):
        choices: tuple[form.Choice, ...] = (form.Choice((), "filter"),)
    else:
        choices = tuple(_choice(each, index, response) for index, each in enumerate(chunk.candidates or ()))
    return form.Answer(choices, response, chunk.model_version or "", created(chunk), usage.parse(chunk.usage_metadata))


def _choice(candidate: Candidate, number: int, response: str) -> form.Choice:
    index = number if candidate.index is None else candidate.index
    parts: list[form.Part] = []
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
    return form.Choice(tuple(parts), finish, index, logprobs=parse_logprobs(candidate.logprobs_result))


def _part(part: Part, response: str, choice: int, number: int, parts: list[form.Part]) -> int:
    """Append what one part says; 1 if it is a call. Code that Google ran itself has no place in the form, and nobody
    but a client of Google's can ask for it."""
    signature = part.thought_signature or ""
    if part.function_call is not None:
        call = part.function_call
        identifier = call_id(call, response, choice, number)
        parts.append(form.ToolCall(identifier, call.name or "", arguments(call), signature))
        return 1
    if part.thought:
        if part.text or signature:
            parts.append(form.Thinking(part.text or "", signature))
        return 0
    if part.text:
        parts.append(form.Text(part.text))
    elif (blob := part.inline_data) is not None:
        source = form.Source("base64", blob.data or "", blob.mime_type or "")
        parts.append(_medium(source))
    elif (blob := part.file_data) is not None:
        parts.append(_medium(form.Source("url", blob.file_uri or "", blob.mime_type or "")))
    if signature:
        parts.append(form.Thinking("", signature, redacted=True))
    return 0


def _medium(source: form.Source) -> form.Part:
    if source.media_type.startswith("audio/"):
        return form.Audio(source)
    return form.Image(source) if source.media_type.startswith("image/") else form.File(source)


def _cite(cite: form.Citation, parts: list[form.Part]) -> None:
    """Put a citation on the text in which it begins, or on the last."""
    before, place = 0, -1
    for index, part in enumerate(parts):
        if isinstance(part, form.Text):
            place = index
            before += len(part.text)
            if cite.text_start is not None and cite.text_start < before:
                break
    if place >= 0:
        text = parts[place]
        assert isinstance(text, form.Text)
        parts[place] = form.Text(text.text, (*text.citations, cite))


# A client's answer


def render(answer: form.Answer, asked: Asked) -> bytes:
    say: dict[str, Any] = {"candidates": [_candidate(choice) for choice in answer.choices]}
    if answer.usage is not None:
        say["usageMetadata"] = usage.render(answer.usage)
    say |= head(answer.id or asked.id, answer.model or asked.model, answer.created or asked.created)
    return _encode(say)


def _candidate(choice: form.Choice) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    citations: list[form.Citation] = []
    broken = False
    for part in choice.parts:
        if isinstance(part, form.Text):
            citations += part.citations
            parts.append({"text": part.text})
        elif isinstance(part, form.Refusal):
            parts.append({"text": part.text})
        elif isinstance(part, form.Thinking):
            if not attach(part, parts):
                parts.append(render_thought(part))
        elif isinstance(part, form.ToolCall):
            call = render_call(part)
            broken = broken or call is None
            parts += [] if call is None else [call]
        elif isinstance(part, form.Audio | form.Image | form.File):
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


def finish_reason(finish: form.FinishReason, broken: bool) -> str:
    """Gemini's calls hold objects: one whose arguments are none is left out, and the reason says so."""
    if broken and finish in ("tool", "stop"):
        return REASONS["malformed"]
    return REASONS[finish]
