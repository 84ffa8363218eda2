"""Converse answers ↔ the IR (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import billing, ir, lenient
from llmedge.dialects.bedrock.content import Blocks, parse_blocks
from llmedge.dialects.dialect import ResponseContext, VendorError
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.fields import AnswerFields, Fields
from llmedge.dialects.lenient import count, text
from llmedge.errors import UpstreamMalformed, VendorFailed
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode

FINISH: dict[str, ir.FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "model_context_window_exceeded": "context",
    "refusal": "refusal",  # Claude's own, which the API reference does not list
}
"""Bedrock's reasons and ours, but for those that say that there is no answer (``endings.py``). What it adds to them
counts as ``stop``."""

REASONS: dict[ir.FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool": "tool_use",
    "filter": "content_filtered",
    "refusal": "content_filtered",
    "pause": "end_turn",
    "context": "model_context_window_exceeded",
}


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    top = _check(body)
    output = top.object("output") or Fields({})
    message = output.object("message")
    if message is None:
        raise UpstreamMalformed("answered without a message")
    check_end(top.text("stopReason"))
    parts = parse_blocks(message.objects("content"), [])
    parts = [part for part in parts if not isinstance(part, ir.ToolResult)]  # of tools the vendor ran itself
    tier = top.object("serviceTier")
    choice = ir.Choice(
        tuple(parts),
        with_calls(FINISH.get(top.text("stopReason"), "stop"), any(isinstance(part, ir.ToolCall) for part in parts)),
        stop_sequence=stop_sequence(top.value("additionalModelResponseFields")),
    )
    usage = parse_usage(top.value("usage"), top.value("serviceTier"))
    return ir.Answer((choice,), usage=usage, service_tier=tier.text("type") if tier is not None else "")


def read_usage(body: bytes) -> Usage | None:
    """The usage of a whole answer that is passed on; see :func:`parse` for what it raises."""
    top = _check(body)
    return parse_usage(top.value("usage"), top.value("serviceTier"))


def _check(body: bytes) -> Fields:
    top = AnswerFields.of_answer(body)
    if not top.has("output"):
        if message := parse_error(body).message:
            raise VendorFailed(f"answered with an error behind status 200: {message}")
        raise UpstreamMalformed("answered without an output")
    return top


def stop_sequence(fields: Any) -> str:
    """Which sequence stopped the model, of ``additionalModelResponseFields``: asked for where it can be had."""
    return text(fields, "stop_sequence")


def parse_usage(usage: Any, tier: Any = None) -> Usage | None:
    """Bedrock's ``TokenUsage``: its ``inputTokens`` are those neither read from the cache nor written to it
    (docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html). Counts nobody can read are none.

    :param tier: the ``ServiceTier`` beside it.
    """
    if not isinstance(usage, dict):
        return None
    read, write = count(usage, "cacheReadInputTokens"), count(usage, "cacheWriteInputTokens")
    details = usage.get("cacheDetails")
    hour = sum(
        count(each, "inputTokens")
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("ttl") == "1h"
    )
    return Usage(
        input=count(usage, "inputTokens") + read + write,
        output=count(usage, "outputTokens"),
        cached=read,
        cache_write=write,
        cache_write_1h=hour,
        tier=billing.tier(text(tier, "type")),
    )


def parse_error(body: bytes) -> VendorError:
    """AWS's error object; empty if there is none. Never raises. The exception's name is in the header
    ``x-amzn-errortype``, in some answers in ``__type`` too (smithy.io/2.0/aws/protocols, restJson1)."""
    error = lenient.decode(body)
    message, kind = text(error, "message") or text(error, "Message"), text(error, "__type")
    return VendorError(message, code=kind.rpartition("#")[2].partition(":")[0])


# For a client: fakes and tests


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    """Bedrock says neither an id nor the model."""
    choice = answer.choices[0]
    blocks = Blocks()
    content = [block for part in choice.parts for block in blocks.render(part, lambda what: None)]
    payload: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": REASONS[choice.finish],
        "metrics": {"latencyMs": 0},
    }
    if answer.usage is not None:
        payload["usage"] = render_usage(answer.usage)
    if choice.stop_sequence:
        payload["additionalModelResponseFields"] = {"stop_sequence": choice.stop_sequence}
    if answer.service_tier:
        payload["serviceTier"] = {"type": answer.service_tier}
    return _encode(payload)


def render_usage(usage: Usage) -> dict[str, Any]:
    """The opposite of :func:`parse_usage`."""
    payload: dict[str, Any] = {
        "inputTokens": usage.input - usage.cached - usage.cache_write,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_write,
    }
    if usage.cache_write:
        parts = {"1h": usage.cache_write_1h, "5m": usage.cache_write - usage.cache_write_1h}
        payload["cacheDetails"] = [{"ttl": ttl, "inputTokens": count} for ttl, count in parts.items() if count]
    return payload
