"""Messages ↔ the form (platform.claude.com/docs/en/api/messages/create, "Returns")."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import form
from llmedge.dialects.anthropic import citations, usage
from llmedge.dialects.anthropic.content import broken_input, tool_input
from llmedge.dialects.anthropic.errors import failure
from llmedge.dialects.dialect import Asked
from llmedge.dialects.fields import Fields
from llmedge.errors import UpstreamMalformed
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode

FINISH: dict[str, form.FinishReason] = {
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

REASONS: dict[form.FinishReason, str] = {ours: theirs for theirs, ours in FINISH.items()} | {
    "filter": "refusal",
    "malformed": "end_turn",
}

TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
"""The service tiers of an answer, and what others call them."""

_THEIR_TIERS = {ours: theirs for theirs, ours in TIERS.items()}


# A vendor's answer


def check(body: bytes) -> Fields:
    """The fields of a whole answer.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError:
        raise UpstreamMalformed("answered with something that is not a JSON object") from None
    top = Fields.of_answer(body)
    if not top.has("content"):
        if top.has("error"):
            raise failure(body, "with status 200")
        raise UpstreamMalformed("answered without content")
    return top


def read_usage(top: Fields) -> Usage | None:
    return usage.parse(top.value("usage"))


def parse(body: bytes) -> form.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    top = check(body)
    parts = [part for each in top.objects("content") if (part := _part(each)) is not None]
    details = top.object("stop_details")
    if details is not None and (explanation := details.text("explanation")):
        parts.append(form.Refusal(explanation))
    counts = top.value("usage")
    tier = counts.get("service_tier") if isinstance(counts, dict) else None
    choice = form.Choice(
        tuple(parts), FINISH.get(top.text("stop_reason"), "stop"), stop_sequence=top.text("stop_sequence")
    )
    return form.Answer((choice,), top.text("id"), top.text("model"), 0, usage.parse(counts), service_tier(tier))


def service_tier(tier: Any) -> str:
    """The form's name of an answer's tier."""
    return TIERS.get(tier, tier) if isinstance(tier, str) else ""


def _part(fields: Fields) -> form.Part | None:
    kind = fields.text("type")
    if kind == "text":
        text = fields.text("text")
        cites = tuple(cite for each in fields.objects("citations") if (cite := citations.parse(each)) is not None)
        return form.Text(text, cites) if text else None
    if kind == "thinking":
        return form.Thinking(fields.text("thinking"), fields.text("signature"))
    if kind == "redacted_thinking":
        return form.Thinking(signature=fields.text("data"), redacted=True)
    if kind == "tool_use":
        return form.ToolCall(fields.text("id"), fields.text("name"), fields.raw("input").decode() or "{}")
    return None  # what the vendor's own tools did: no other dialect has words for it, and the text tells the outcome


# A client's answer


def render(answer: form.Answer, asked: Asked) -> bytes:
    """The first choice, with every field the API documents as required: Messages knows only one."""
    choice = answer.choices[0]
    content = [block for part in choice.parts if (block := _block(part)) is not None]
    finish: form.FinishReason = choice.finish
    if finish == "stop" and any(isinstance(part, form.Refusal) for part in choice.parts):
        finish = "refusal"
    said = usage.render(answer.usage or Usage())
    if answer.service_tier in _THEIR_TIERS:
        said["service_tier"] = _THEIR_TIERS[answer.service_tier]
    return _encode(
        {
            "id": answer.id or asked.id,
            "type": "message",
            "role": "assistant",
            "model": answer.model or asked.model,
            "content": content,
            "stop_reason": REASONS[finish],
            "stop_sequence": choice.stop_sequence or None,
            "usage": said,
        }
    )


def start(begin: form.Begin, asked: Asked, counts: Usage) -> dict[str, Any]:
    """The message in ``message_start``, which has no content yet."""
    said = usage.render(counts)
    if begin.service_tier in _THEIR_TIERS:
        said["service_tier"] = _THEIR_TIERS[begin.service_tier]
    return {
        "id": begin.id or asked.id,
        "type": "message",
        "role": "assistant",
        "model": begin.model or asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": said,
    }


def _block(part: form.Part) -> dict[str, Any] | None:
    if isinstance(part, form.Text):
        cites = [said for cite in part.citations if (said := citations.render(cite, answer=True)) is not None]
        return {"type": "text", "text": part.text, "citations": cites or None}
    if isinstance(part, form.Thinking):
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, form.ToolCall):
        arguments = tool_input(part.arguments) or broken_input(part.arguments)
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
    if isinstance(part, form.Refusal):
        return {"type": "text", "text": part.text, "citations": None}
    if isinstance(part, form.Audio) and part.transcript:
        return {"type": "text", "text": part.transcript, "citations": None}
    return None
