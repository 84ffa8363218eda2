"""What was said, as OpenTelemetry's conventions for generative AI write it. Only for ``tracing.capture_content``."""

from __future__ import annotations

from typing import Any

import msgspec

LONGEST = 32768
"""Bytes of JSON; longer content is left out whole."""


def messages(raw: bytes, role: str) -> str:
    """A request's ``messages`` or ``prompt`` as the conventions have them, ``""`` for what cannot be shown."""
    if len(raw) > LONGEST:
        return ""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return ""
    said = found if isinstance(found, list) else [found]
    return msgspec.json.encode([_message(message, role) for message in said]).decode()


def _message(message: Any, role: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        return {"role": role, "parts": [{"type": "text", "content": message}]}
    content = message.get("content")
    pieces = content if isinstance(content, list) else [content] if content is not None else []
    parts: list[Any] = [{"type": "text", "content": _text(piece)} for piece in pieces if _text(piece) is not None]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            parts.append({"type": "tool_call", "id": call.get("id"), **function})
    return {"role": message.get("role", role), "parts": parts}


def _text(piece: Any) -> Any:
    return piece.get("text") if isinstance(piece, dict) else piece


def choices(raw: bytes) -> str:
    """An answer's choices likewise."""
    if len(raw) > LONGEST:
        return ""
    try:
        found = msgspec.json.decode(raw).get("choices") or []
        said = [
            _message(choice.get("message", choice.get("text")), "assistant")
            | {"finish_reason": choice.get("finish_reason")}
            for choice in found
        ]
    except (msgspec.DecodeError, AttributeError, TypeError):
        return ""
    return msgspec.json.encode(said).decode()
