"""Anthropic's usage ↔ ours. Its ``input_tokens`` are only what neither came from the cache nor went into it; ours are
all (platform.claude.com/docs/en/build-with-claude/prompt-caching, "Tracking cache performance")."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import billing, openai_answer
from llmedge.dialects.lenient import count
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def parse(document: Any) -> Usage | None:
    """A usage object, or ``None`` for none. An answer is not worth less for a usage nobody can read."""
    if not isinstance(document, dict):
        return None
    if "prompt_tokens" in document and "input_tokens" not in document:  # some compatible servers say it as in chats
        return openai_answer.parse_usage(_encode(document))
    details = document.get("cache_creation")
    hour = count(details, "ephemeral_1h_input_tokens")
    cached = count(document, "cache_read_input_tokens")
    # Some compatible vendors give only the breakdown.
    written = max(count(document, "cache_creation_input_tokens"), hour + count(details, "ephemeral_5m_input_tokens"))
    return Usage(
        input=count(document, "input_tokens") + cached + written,
        output=count(document, "output_tokens"),
        cached=cached,
        reasoning=count(document.get("output_tokens_details"), "thinking_tokens"),
        cache_write=written,
        cache_write_1h=hour,
        tier="fast" if document.get("speed") == "fast" else billing.tier(document.get("service_tier")),
        cost=billing.told_cost(document),
    )


def merge(known: dict[str, Any], raw: bytes) -> dict[str, Any]:
    """``message_start``'s usage and a ``message_delta``'s: counts are cumulative and replace, where they are given."""
    document = _decode(raw) if raw else None
    if not isinstance(document, dict):
        return known
    return {**known, **{name: value for name, value in document.items() if value is not None}}


def render(usage: Usage, *, delta: bool = False) -> dict[str, Any]:
    """A usage object. :param delta: a ``message_delta``'s, which knows no breakdown by time to live."""
    hour = min(usage.cache_write_1h, usage.cache_write)
    out: dict[str, Any] = {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning} if usage.reasoning else None,
        "server_tool_use": None,
    }
    if not delta:
        out |= {"inference_geo": None, "service_tier": None}
    if not delta or hour:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write - hour,
            "ephemeral_1h_input_tokens": hour,
        }
    return out
