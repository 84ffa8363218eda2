"""Gemini's ``usageMetadata`` ↔ :class:`~llmedge.model.Usage`
(ai.google.dev/api/generate-content#UsageMetadata).

``promptTokenCount`` includes what came from the cache but not ``toolUsePromptTokenCount``; ``candidatesTokenCount``
does not include ``thoughtsTokenCount``; the total is the sum of the four.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from llmedge.dialects import billing, lenient
from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import Usage

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class _Count(msgspec.Struct, gc=False, rename="camel"):
    modality: str = ""
    token_count: _Tokens = 0


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: _Tokens = 0
    candidates_token_count: _Tokens = 0
    thoughts_token_count: _Tokens = 0
    tool_use_prompt_token_count: _Tokens = 0
    cached_content_token_count: _Tokens = 0
    prompt_tokens_details: list[_Count] | None = None
    tool_use_prompt_tokens_details: list[_Count] | None = None
    candidates_tokens_details: list[_Count] | None = None
    service_tier: Any = None
    traffic_type: Any = None


_COUNTS = [field.encode_name for field in msgspec.structs.fields(_Usage) if field.name.endswith("_count")]
_decode = msgspec.json.Decoder(_Usage).decode


def parse(raw: bytes | msgspec.Raw) -> Usage | None:
    """``None`` for none. An answer is not worth less for a usage nobody can read."""
    if not raw:
        return None
    try:
        payload = _decode(raw)
    except UNREADABLE:
        table = lenient.decode(raw)
        if not isinstance(table, dict):
            return None
        counts = {name: lenient.count(table, name) for name in _COUNTS}
        if not any(counts.values()):
            return None
        payload = msgspec.convert(counts, _Usage)
    prompt, answer = payload.prompt_token_count, payload.candidates_token_count
    thoughts, tools = payload.thoughts_token_count, payload.tool_use_prompt_token_count
    cached = payload.cached_content_token_count
    return Usage(
        prompt + tools,
        answer + thoughts,
        cached,
        thoughts,
        0,
        0,
        _of("AUDIO", payload.prompt_tokens_details) + _of("AUDIO", payload.tool_use_prompt_tokens_details),
        _of("AUDIO", payload.candidates_tokens_details),
        False,
        _of("IMAGE", payload.prompt_tokens_details),
        _of("IMAGE", payload.candidates_tokens_details),
        tier=billing.tier(payload.service_tier or payload.traffic_type),  # of Gemini, of Vertex
    )


def _of(modality: str, counts: list[_Count] | None) -> int:
    """Tokens of sound, or of pictures."""
    if not counts:
        return 0
    tokens = 0
    for each in counts:
        if each.modality == modality:
            tokens += each.token_count
    return tokens


def render(usage: Usage) -> dict[str, Any]:
    """What Gemini has no word for, tokens written to a cache, stays a part of the prompt's."""
    answer = max(0, usage.output - usage.reasoning)
    out: dict[str, Any] = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": answer,
        "totalTokenCount": usage.input + answer + usage.reasoning,
    }
    if usage.cached:
        out["cachedContentTokenCount"] = usage.cached
    if usage.reasoning:
        out["thoughtsTokenCount"] = usage.reasoning
    if usage.audio_input:
        out["promptTokensDetails"] = _details(usage.input, usage.audio_input)
    if usage.audio_output:
        out["candidatesTokensDetails"] = _details(answer, usage.audio_output)
    return out


def _details(all_tokens: int, audio: int) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [{"modality": "AUDIO", "tokenCount": audio}]
    if all_tokens > audio:
        details.insert(0, {"modality": "TEXT", "tokenCount": all_tokens - audio})
    return details
