"""The IR's messages → contents and their parts (ai.google.dev/api/caching#Content)."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.gemini.contents import DETAILS, FILE_PREFIXES, guess_type
from llmedge.dialects.gemini.results import render_result
from llmedge.dialects.gemini.wire import is_base64, wrap_signature
from llmedge.dialects.lenient import raw_object
from llmedge.dialects.rendering import RenderContext
from llmedge.dialects.signatures import STAND_IN

_LEVELS = {detail: level for level, detail in DETAILS.items()}


def render_contents(
    messages: tuple[ir.Message, ...], context: RenderContext, *, ids: bool, signed: bool = False
) -> list[dict[str, Any]]:
    """All but the system's. Results that follow each other stand in one content: Gemini wants as many of them beside
    each other as there were calls.

    :param ids: calls and results have ids.
    :param signed: the model refuses a step of the current turn whose first call has no signature.
    """
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    after_result = False
    turn = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            continue
        if message.role == "tool":
            parts = [out for part in message.parts for out in _result(part, message, names, context, ids)]
            if after_result:
                contents[-1]["parts"] += parts
            else:
                contents.append({"role": "user", "parts": parts})
        else:
            parts = []
            for part in message.parts:
                if isinstance(part, ir.ToolCall):
                    names[part.id] = part.name
                if isinstance(part, ir.ToolCall | ir.Thinking) and not _is_googles(part):
                    context.unsupported(f"{type(part).__name__}.signature")
                    if isinstance(part, ir.Thinking) and part.redacted:
                        continue
                    part = msgspec.structs.replace(part, signature="")
                if not attach(part, parts):
                    parts += render_part(part, message, context, ids)
            if not parts and message.role == "assistant":
                continue
            if not parts:
                parts = [{"text": ""}]  # a content needs one
            first = next((part for part in parts if "functionCall" in part), None)
            if signed and first is not None and index > turn:
                first.setdefault("thoughtSignature", STAND_IN)
            contents.append({"role": "model" if message.role == "assistant" else "user", "parts": parts})
        after_result = message.role == "tool"
    return contents


def _is_googles(part: ir.ToolCall | ir.Thinking) -> bool:
    """Whether a signature may be: all are base64, and only OpenAI's thoughts have ids."""
    return is_base64(part.signature) and not (isinstance(part, ir.Thinking) and part.id)


def attach(part: ir.Part, parts: list[dict[str, Any]]) -> bool:
    """Put a bare signature on the part before it, if that is one it can be of."""
    if not isinstance(part, ir.Thinking) or not part.redacted or not parts:
        return False
    last = parts[-1]
    if "thoughtSignature" in last or "thought" in last or "functionCall" in last:
        return False
    last["thoughtSignature"] = wrap_signature(part.signature)
    return True


def render_part(part: ir.Part, message: ir.Message, context: RenderContext, ids: bool = True) -> list[dict[str, Any]]:
    """One part, or none where it cannot be said."""
    if isinstance(part, ir.Text):
        return [{"text": part.text}]
    if isinstance(part, ir.ToolCall):
        call = render_call(part, ids)
        return [] if call is None else [call]
    if isinstance(part, ir.Thinking):
        return [render_thought(part)]
    if isinstance(part, ir.Image | ir.Audio | ir.File):
        media = _media(part, message, context)
        return [] if media is None else [media]
    if isinstance(part, ir.Refusal):
        return [{"text": part.text}]
    context.unsupported(type(part).__name__, at=message.at)
    return []


def render_thought(thought: ir.Thinking) -> dict[str, Any]:
    """A thought, or the bare signature it was redacted to. Its id is only its vendor's."""
    out: dict[str, Any] = {"text": thought.text}
    if not thought.redacted:
        out["thought"] = True
    if thought.signature:
        out["thoughtSignature"] = wrap_signature(thought.signature)
    return out


def render_call(call: ir.ToolCall, ids: bool = True) -> dict[str, Any] | None:
    """A call of a function; ``None`` if its arguments are no JSON object."""
    arguments = raw_object(call.arguments.strip() or "{}")
    if arguments is None:
        return None
    rendered: dict[str, Any] = {"id": call.id} if ids and call.id else {}
    out: dict[str, Any] = {"functionCall": rendered | {"name": call.name, "args": arguments}}
    if call.signature:
        out["thoughtSignature"] = wrap_signature(call.signature)
    return out


def _media(part: ir.Image | ir.Audio | ir.File, message: ir.Message, context: RenderContext) -> dict[str, Any] | None:
    source = part.source
    kind = type(part).__name__.lower()
    name = part.name if isinstance(part, ir.File) else ""
    if isinstance(part, ir.Audio) and part.id:
        context.unsupported("Audio.id", at=message.at)
        return None
    known = source.kind != "url" or context.takes(source)
    out = render_source(source, kind, name) if known else None
    if out is None:
        why = "by the id of a file" if known else "by such a URL"
        context.unsupported(type(part).__name__, why, at=message.at)
        return None
    if isinstance(part, ir.Image) and part.detail:
        if part.detail in _LEVELS:
            out["mediaResolution"] = {"level": _LEVELS[part.detail]}
        else:
            context.unsupported("Image.detail")
    return out


def render_source(source: ir.Source, kind: str, name: str = "") -> dict[str, Any] | None:
    """``inlineData`` or ``fileData``; ``None`` for an id of another vendor's file."""
    if source.kind in ("base64", "text"):
        default = {"image": "image/png", "audio": "audio/wav"}.get(kind, "application/octet-stream")
        data, media_type = source.data, source.media_type or default
        if source.kind == "text":
            data, media_type = base64.b64encode(source.data.encode()).decode(), source.media_type or "text/plain"
        return {"inlineData": {"mimeType": media_type, "data": data} | ({"displayName": name} if name else {})}
    if source.kind == "file" and not source.data.startswith(FILE_PREFIXES):
        return None
    media_type = source.media_type or guess_type(source.data) or ("image/jpeg" if kind == "image" else "")
    file = {"fileUri": source.data}
    if media_type:
        file = {"mimeType": media_type} | file
    return {"fileData": file | ({"displayName": name} if name else {})}


def _result(
    part: ir.Part, message: ir.Message, names: dict[str, str], context: RenderContext, ids: bool
) -> list[dict[str, Any]]:
    if not isinstance(part, ir.ToolResult):
        context.unsupported(type(part).__name__, at=message.at)
        return []
    name = part.name or names.get(part.id, "") or part.id  # Gemini wants one
    response: dict[str, Any] = {"id": part.id} if ids and part.id else {}
    texts = [each.text for each in part.content if isinstance(each, ir.Text)]
    response |= {"name": name, "response": render_result(texts, part.error)}
    media: list[dict[str, Any]] = []
    for each in part.content:
        if not isinstance(each, ir.Text) and (out := _media(each, message, context)) is not None:
            media.append(out)
    if media:
        response["parts"] = media
    return [{"functionResponse": response}]
