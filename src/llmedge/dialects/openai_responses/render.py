"""The IR → Responses requests (platform.openai.com/docs/api-reference/responses/create)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.effort import effort_of
from llmedge.dialects.media import AUDIO_FORMATS, data_url
from llmedge.dialects.openai_chat.render import render_schema
from llmedge.dialects.openai_responses.answer import render_citation, render_texts
from llmedge.dialects.openai_responses.request import ENCRYPTED, LOGPROBS, SCALARS
from llmedge.dialects.rendering import RenderContext, unread, view
from llmedge.dialects.scalars import render_scalars
from llmedge.dialects.tool_ids import short_id

_encode = msgspec.json.Encoder().encode

LONGEST_ID = 64
"""Of a call."""


def render(request: ir.Request, model: str, context: RenderContext, *, stream: bool) -> bytes:
    """The body for a vendor. Nothing is to be stored unless it was asked for.

    :raises Unsupported: a field cannot be said.
    """
    payload: dict[str, Any] = {"model": model, "store": bool(request.store)}
    messages = request.messages
    if len(messages) > 1 and (instructions := _instructions(messages[0])):  # an input of nothing is refused
        payload["instructions"] = instructions
        messages = messages[1:]
    if len(messages) == 1 and messages[0].at == "input" and (text := _one_text(messages[0])) is not None:
        payload["input"] = text
    else:
        payload["input"] = [item for message in messages for item in _items(message, context)]
    if request.tools:
        payload["tools"] = [_render_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        payload["tool_choice"] = _render_choice(request.tool_choice)
    text_options: dict[str, Any] = {}
    if request.output is not None:
        text_options["format"] = _render_output(request.output)
    if request.verbosity:
        text_options["verbosity"] = request.verbosity
    if text_options:
        payload["text"] = text_options
    include: list[str] = []
    if request.reasoning is not None and (reasoning := _render_reasoning(request.reasoning)):
        payload["reasoning"] = reasoning
        if reasoning.get("effort") != "none":
            include.append(ENCRYPTED)  # nothing is stored, so the next request has to bring it
    if request.logprobs:
        include.append(LOGPROBS)
    if include:
        payload["include"] = include
    if request.metadata:
        payload["metadata"] = dict(request.metadata)
    render_scalars(request, SCALARS, payload)
    if stream:
        payload["stream"] = True
    return _encode(payload)


def _instructions(message: ir.Message) -> str:
    """The system prompt at the top, of any dialect, unless the client made an input item of it."""
    if message.role != "system" or message.name or message.at.startswith("input"):
        return ""
    return _one_text(message) or ""


def _one_text(message: ir.Message) -> str | None:
    """What the message says if it is plain text, else ``None``."""
    if not message.parts:
        return ""
    part = message.parts[0]
    if len(message.parts) == 1 and isinstance(part, ir.Text) and not part.citations and not part.cache:
        return part.text
    return None


def _items(message: ir.Message, context: RenderContext) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        for part in message.parts:
            if isinstance(part, ir.ToolResult):
                yield _render_result(part, message, context)
            else:
                context.unsupported(type(part).__name__, at=message.at)
    elif message.role == "assistant":
        yield from _said(message, context)
    else:
        text = _one_text(message)
        content = text if text is not None else _parts(message.parts, message, context)
        yield {"type": "message", "role": message.role, "content": content}


def _said(message: ir.Message, context: RenderContext) -> Iterator[dict[str, Any]]:
    """The items of one message of the assistant's, in its order."""
    if not message.parts:
        yield {"type": "message", "role": "assistant", "content": ""}
    for texts, group in groupby(message.parts, lambda part: isinstance(part, ir.Text | ir.Refusal)):
        parts = list(group)
        if texts:
            for part in parts:
                if isinstance(part, ir.Text) and not all(_is_cited(cite) for cite in part.citations):
                    context.unsupported("Text.citations")
            yield {"type": "message", "role": "assistant", "content": render_texts(parts)}
            continue
        for part in parts:
            if isinstance(part, ir.Thinking):
                yield _thought(part)
            elif isinstance(part, ir.ToolCall):
                call = {"call_id": short_id(part.id, LONGEST_ID), "name": part.name, "arguments": part.arguments}
                yield {"type": "function_call", **call}
            else:
                context.unsupported(type(part).__name__, at=message.at)


def _is_cited(cite: ir.Citation) -> bool:
    """Whether an annotation says all of it."""
    seen = view(cite)
    return render_citation(seen, 0) is not None and not any(unread(seen))


def _thought(thought: ir.Thinking) -> dict[str, Any]:
    """With its proof it goes back as OpenAI gave it; without, open models take it as reasoning text."""
    out: dict[str, Any] = {"type": "reasoning", "summary": []}
    if thought.id:
        out["id"] = thought.id
    if thought.text and thought.signature:
        out["summary"] = [{"type": "summary_text", "text": thought.text}]
    elif thought.text:
        out["content"] = [{"type": "reasoning_text", "text": thought.text}]
    if thought.signature:
        out["encrypted_content"] = thought.signature
    return out


def _parts(parts: tuple[ir.Part, ...], message: ir.Message, context: RenderContext) -> list[dict[str, Any]]:
    return [out for part in parts if (out := _render_part(part, message, context))]


def _render_part(part: ir.Part, message: ir.Message, context: RenderContext) -> dict[str, Any]:
    if isinstance(part, ir.Text):
        if part.citations:
            context.unsupported("Text.citations")
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ir.Image) and (part.source.kind in ("file", "base64") or context.takes(part.source)):
        image: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
        if part.source.kind == "file":
            return {**image, "file_id": part.source.data}
        return {**image, "image_url": data_url(part.source)}
    if isinstance(part, ir.File) and (part.source.kind in ("file", "base64") or context.takes(part.source)):
        return _render_file(part)
    if isinstance(part, ir.Audio):
        for name, media_type in AUDIO_FORMATS.items():
            if media_type == part.source.media_type and part.source.kind == "base64" and not part.id:
                return {"type": "input_audio", "input_audio": {"data": part.source.data, "format": name}}
    context.unsupported(type(part).__name__, at=message.at)
    return {}


def _render_file(part: ir.File) -> dict[str, Any]:
    source = part.source
    file = {"type": "input_file"}
    if source.kind == "file":
        file["file_id"] = source.data
    elif source.kind == "url":
        file["file_url"] = source.data
    else:
        file["file_data"] = data_url(source) if source.media_type else source.data
    if part.name:
        file["filename"] = part.name
    return file


def _render_result(part: ir.ToolResult, message: ir.Message, context: RenderContext) -> dict[str, Any]:
    """Its tool's name is not repeated: the call has it."""
    content = part.content
    out: Any
    if len(content) == 1 and isinstance(content[0], ir.Text) and not content[0].citations:
        out = content[0].text
    else:
        out = _parts(content, message, context) or ""
    return {"type": "function_call_output", "call_id": short_id(part.id, LONGEST_ID), "output": out}


def _render_tool(tool: ir.Tool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        out["description"] = tool.description
    out["parameters"] = msgspec.Raw(tool.schema) if tool.schema else None
    out["strict"] = bool(tool.strict)  # left out it would mean: strict, where the schema lets it
    return out


def _render_choice(choice: ir.ToolChoice) -> Any:
    tools = [{"type": "function", "name": name} for name in choice.names]
    if choice.mode == "named":
        return tools[0]
    if tools:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def _render_output(output: ir.Output) -> dict[str, Any]:
    schema = render_schema(output)
    return {"type": "json_object"} if schema is None else {"type": "json_schema", **schema}


def _render_reasoning(reasoning: ir.Reasoning) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if effort := effort_of(reasoning):
        out["effort"] = effort
    if reasoning.show:
        out["summary"] = "auto"
    return out
