"""Messages ↔ the IR (platform.claude.com/docs/en/api/messages/create, "Returns")."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic import citations, usage
from llmedge.dialects.anthropic.errors import failure
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.fields import AnswerFields, Fields
from llmedge.dialects.lenient import arguments, broken_input, raw_object
from llmedge.dialects.tool_ids import signed_id
from llmedge.errors import UpstreamMalformed
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode

FINISH: dict[str, ir.FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
"""Anthropic's reasons and ours. What is added to them counts as ``stop``
(platform.claude.com/docs/en/build-with-claude/handling-stop-reasons)."""

REASONS: dict[ir.FinishReason, str] = {ours: theirs for theirs, ours in FINISH.items()} | {"filter": "refusal"}

TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
"""The service tiers of an answer, and what others call them."""

NOTHING = {"container": None, "stop_details": None}
"""What the API always says of a message, and no other vendor knows."""

_THEIR_TIERS = {ours: theirs for theirs, ours in TIERS.items()}


# A vendor's answer


def check(body: bytes) -> Fields:
    """The fields of a whole answer.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    top = AnswerFields.of_answer(body)
    if top.raw("content")[:1] not in (b"[", b"{", b'"'):
        if top.has("error"):
            raise failure(body, "with status 200")
        raise UpstreamMalformed("answered without content")
    return top


def read_usage(top: Fields) -> Usage | None:
    return usage.parse(top.value("usage"))


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    top = check(body)
    reason = top.text("stop_reason")
    check_end(reason)
    parts = [part for each in top.objects("content") if (part := _part(each)) is not None]
    if top.is_text("content") and (text := top.text("content")):
        parts = [ir.Text(text)]
    details = top.object("stop_details")
    if details is not None and (explanation := details.text("explanation")):
        parts.append(ir.Refusal(explanation))
    counts = top.value("usage")
    tier = counts.get("service_tier") if isinstance(counts, dict) else None
    finish = with_calls(FINISH.get(reason, "stop"), any(isinstance(part, ir.ToolCall) for part in parts))
    choice = ir.Choice(tuple(parts), finish, stop_sequence=top.text("stop_sequence"))
    return ir.Answer((choice,), top.text("id"), top.text("model"), 0, usage.parse(counts), service_tier(tier))


def service_tier(tier: Any) -> str:
    """The IR's name of an answer's tier."""
    return TIERS.get(tier, tier) if isinstance(tier, str) else ""


def _part(fields: Fields) -> ir.Part | None:
    kind = fields.text("type")
    if kind == "text":
        text = fields.text("text")
        cites = tuple(cite for each in fields.objects("citations") if (cite := citations.parse(each)) is not None)
        return ir.Text(text, cites) if text else None
    if kind == "thinking":
        return ir.Thinking(fields.text("thinking"), fields.text("signature"))
    if kind == "redacted_thinking":
        return ir.Thinking(signature=fields.text("data"), redacted=True)
    if kind == "tool_use":
        identifier = fields.text("id") if fields.is_text("id") else ""
        return ir.ToolCall(identifier, fields.text("name"), arguments(fields.raw("input")) or "{}")
    return None  # what the vendor's own tools did: no other dialect has words for it, and the text tells the outcome


# A client's answer


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    """The first choice, with every field the API documents as required: Messages knows only one."""
    choice = answer.choices[0]
    content = [block for part in choice.parts if (block := _block(part)) is not None]
    finish: ir.FinishReason = choice.finish
    if finish == "stop" and any(isinstance(part, ir.Refusal) for part in choice.parts):
        finish = "refusal"
    out = usage.render(answer.usage or Usage())
    if answer.service_tier in _THEIR_TIERS:
        out["service_tier"] = _THEIR_TIERS[answer.service_tier]
    return _encode(
        {
            "id": answer.id or context.id,
            "type": "message",
            "role": "assistant",
            "model": answer.model or context.model,
            "content": content,
            "stop_reason": REASONS[finish],
            "stop_sequence": choice.stop_sequence or None,
            "usage": out,
            **NOTHING,
        }
    )


def start(begin: ir.Begin, context: ResponseContext, counts: Usage) -> dict[str, Any]:
    """The message in ``message_start``, which has no content yet."""
    out = usage.render(counts)
    if begin.service_tier in _THEIR_TIERS:
        out["service_tier"] = _THEIR_TIERS[begin.service_tier]
    return {
        "id": begin.id or context.id,
        "type": "message",
        "role": "assistant",
        "model": begin.model or context.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": out,
        **NOTHING,
    }


def _block(part: ir.Part) -> dict[str, Any] | None:
    if isinstance(part, ir.Text):
        cites = [out for cite in part.citations if (out := citations.render(cite, answer=True)) is not None]
        return {"type": "text", "text": part.text} | ({"citations": cites} if cites else {})
    if isinstance(part, ir.Thinking):
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, ir.ToolCall):
        given = raw_object(part.arguments.strip() or "{}") or broken_input(part.arguments)
        return {"type": "tool_use", "id": signed_id(part.id, part.signature), "name": part.name, "input": given}
    if isinstance(part, ir.Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, ir.Audio) and part.transcript:
        return {"type": "text", "text": part.transcript}
    return None
