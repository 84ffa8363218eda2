"""What was said, as OpenTelemetry's conventions for generative AI write it. Only for ``tracing.capture_content``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, ClientDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.surrogates import mending
from llmedge.errors import EdgeError
from llmedge.model import Answer
from llmedge.operations import Operation

LONGEST = 32768
"""Bytes of a request's or an answer's body; of longer ones nothing is shown."""


def prompt(call: Call) -> bytes:
    """The messages of ``call`` as JSON; ``b""`` for what cannot be shown."""
    if call.record.bytes_in > LONGEST or not isinstance(DIALECTS[call.dialect], ClientDialect):
        return b""
    try:
        messages = call.said().messages
    except EdgeError:
        return b""
    return msgspec.json.encode([{"role": each.role, "parts": _parts(each.parts)} for each in messages])


def answer(call: Call, answer: Answer) -> bytes:
    """The choices of an answer to ``call`` likewise."""
    dialect = DIALECTS[call.dialect]
    if len(answer.body) > LONGEST:
        return b""
    try:
        if call.operation is Operation.TEXT:
            texts = msgspec.json.decode(answer.body, type=_Completion).choices
            choices = tuple(ir.Choice((ir.Text(each.text),), each.finish_reason) for each in texts)
        elif isinstance(dialect, ChatDialect):
            choices = mending(dialect.parse_answer, answer.body).choices
        else:
            return b""
    except (EdgeError, msgspec.DecodeError):
        return b""
    return msgspec.json.encode(
        [
            {"role": "assistant", "parts": _parts(each.parts), "finish_reason": _REASONS.get(each.finish, each.finish)}
            for each in choices
        ]
    )


class _CompletionChoice(msgspec.Struct):
    text: str
    finish_reason: Any = "stop"


class _Completion(msgspec.Struct):
    choices: list[_CompletionChoice]


_REASONS = {"stop_sequence": "stop", "tool": "tool_call", "filter": "content_filter", "refusal": "content_filter"}


def _parts(parts: Iterable[ir.Part]) -> list[dict[str, Any]]:
    return [shown for part in parts if (shown := _part(part)) is not None]


def _part(part: ir.Part) -> dict[str, Any] | None:
    if isinstance(part, ir.Text | ir.Refusal):
        return {"type": "text", "content": part.text}
    if isinstance(part, ir.Thinking):
        return {"type": "reasoning", "content": part.text} if part.text else None
    if isinstance(part, ir.ToolCall):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
    if isinstance(part, ir.ToolResult):
        return {"type": "tool_call_response", "id": part.id, "response": _parts(part.content)}
    return None  # pictures and sounds are not exported
