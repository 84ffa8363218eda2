"""The form → Responses requests (platform.openai.com/docs/api-reference/responses/create)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from llmedge.dialects import form
from llmedge.dialects.effort import effort_of
from llmedge.dialects.media import AUDIO_FORMATS, data_url
from llmedge.dialects.openai_chat.render import render_schema
from llmedge.dialects.openai_responses.answer import render_citation, render_texts
from llmedge.dialects.openai_responses.request import ENCRYPTED, LOGPROBS, SCALARS
from llmedge.dialects.rendering import Saying, unread, view
from llmedge.dialects.scalars import render_scalars
from llmedge.dialects.tool_ids import short_id

_encode = msgspec.json.Encoder().encode

LONGEST_ID = 64
"""Of a call."""


def render(request: form.Request, model: str, saying: Saying, *, stream: bool) -> bytes:
    """The body for a vendor. Nothing is to be stored unless it was asked for.

    :raises Unsupported: a field cannot be said.
    """
    say: dict[str, Any] = {"model": model, "store": bool(request.store)}
    messages = request.messages
    if messages and (instructions := _instructions(messages[0])):
        say["instructions"] = instructions
        messages = messages[1:]
    if len(messages) == 1 and messages[0].at == "input" and (text := _one_text(messages[0])) is not None:
        say["input"] = text
    else:
        say["input"] = [item for message in messages for item in _items(message, saying)]
    if request.tools:
        say["tools"] = [_render_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        say["tool_choice"] = _render_choice(request.tool_choice)
    if request.parallel_tools is not None:
        say["parallel_tool_calls"] = request.parallel_tools
    text_options: dict[str, Any] = {}
    if request.output is not None:
        text_options["format"] = _render_output(request.output)
    if request.verbosity:
        text_options["verbosity"] = request.verbosity
    if text_options:
        say["text"] = text_options
    include: list[str] = []
    if request.reasoning is not None and (reasoning := _render_reasoning(request.reasoning)):
        say["reasoning"] = reasoning
        if reasoning.get("effort") != "none":
            include.append(ENCRYPTED)  # nothing is stored, so the next request has to bring it
    if request.logprobs:
        include.append(LOGPROBS)
    if include:
        say["include"] = include
    if request.metadata:
        say["metadata"] = dict(request.metadata)
    render_scalars(request, SCALARS, say)
    if stream:
        say["stream"] = True
    return _encode(say)


def _instructions(message: form.Message) -> str:
    """The system prompt at the top, of any dialect, unless the asker made an input item of it."""
    if message.role != "system" or message.name or message.at.startswith("input"):
        return ""
    return _one_text(message) or ""


def _one_text(message: form.Message) -> str | None:
    """What the message says if it is plain text, else ``None``."""
    if not message.parts:
        return ""
    part = message.parts[0]
    if len(message.parts) == 1 and isinstance(part, form.Text) and not part.citations and not part.cache:
        return part.text
    return None


def _items(message: form.Message, saying: Saying) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        for part in message.parts:
            if isinstance(part, form.ToolResult):
                yield _render_result(part, message, saying)
            else:
                saying.cannot(f"{message.at} ({type(part).__name__.lower()})")
    elif message.role == "assistant":
        yield from _said(message, saying)
    else:
        text = _one_text(message)
        content = text if text is not None else _parts(message.parts, message, saying)
        yield {"type": "message", "role": message.role, "content": content}


def _said(message: form.Message, saying: Saying) -> Iterator[dict[str, Any]]:
    """The items of one message of the assistant's, in its order."""
    if not message.parts:
        yield {"type": "message", "role": "assistant", "content": ""}
    for texts, group in groupby(message.parts, lambda part: isinstance(part, form.Text | form.Refusal)):
        parts = list(group)
        if texts:
            for part in parts:
                if isinstance(part, form.Text) and not all(_is_cited(cite) for cite in part.citations):
                    saying.cannot(f"{message.at} (citations)")
            yield {"type": "message", "role": "assistant", "content": render_texts(parts)}
            continue
        for part in parts:
            if isinstance(part, form.Thinking):
                yield _thought(part)
            elif isinstance(part, form.ToolCall):
                call = {"call_id": short_id(part.id, LONGEST_ID), "name": part.name, "arguments": part.arguments}
                yield {"type": "function_call", **call}
            else:
                saying.cannot(f"{message.at} ({type(part).__name__.lower()})")


def _is_cited(cite: form.Citation) -> bool:
    """Whether an annotation says all of it."""
    seen = view(cite)
    return render_citation(seen, 0) is not None and not any(unread(seen))


def _thought(thought: form.Thinking) -> dict[str, Any]:
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


def _parts(parts: tuple[form.Part, ...], message: form.Message, saying: Saying) -> list[dict[str, Any]]:
    return [said for part in parts if (said := _render_part(part, message, saying))]


def _render_part(part: form.Part, message: form.Message, saying: Saying) -> dict[str, Any]:
    if isinstance(part, form.Text):
        if part.citations:
            saying.cannot(f"{message.at} (citations)")
        return {"type": "input_text", "text": part.text}
    if isinstance(part, form.Image) and part.source.kind != "text":
        image: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
        if part.source.kind == "file":
            return {**image, "file_id": part.source.data}
        return {**image, "image_url": data_url(part.source)}
    if isinstance(part, form.File):
        return _render_file(part, message, saying)
    if isinstance(part, form.Audio):
        for name, media_type in AUDIO_FORMATS.items():
            if media_type == part.source.media_type and part.source.kind == "base64" and not part.id:
                return {"type": "input_audio", "input_audio": {"data": part.source.data, "format": name}}
    saying.cannot(f"{message.at} ({type(part).__name__.lower()})")
    return {}


def _render_file(part: form.File, message: form.Message, saying: Saying) -> dict[str, Any]:
    source = part.source
    if source.kind == "text":
        if part.name:
            saying.cannot(f"{message.at} (file name)")
        return {"type": "input_text", "text": source.data}
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


def _render_result(part: form.ToolResult, message: form.Message, saying: Saying) -> dict[str, Any]:
    """Its tool's name is not repeated: the call has it."""
    content = part.content
    said: Any
    if len(content) == 1 and isinstance(content[0], form.Text) and not content[0].citations:
        said = content[0].text
    else:
        said = _parts(content, message, saying) or ""
    return {"type": "function_call_output", "call_id": short_id(part.id, LONGEST_ID), "output": said}


def _render_tool(tool: form.Tool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        out["description"] = tool.description
    out["parameters"] = msgspec.Raw(tool.schema) if tool.schema else None
    out["strict"] = bool(tool.strict)  # left out it would mean: strict, where the schema lets it
    return out


def _render_choice(choice: form.ToolChoice) -> Any:
    tools = [{"type": "function", "name": name} for name in choice.names]
    if choice.mode == "named":
        return tools[0]
    if tools:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def _render_output(output: form.Output) -> dict[str, Any]:
    schema = render_schema(output)
    return {"type": "json_object"} if schema is None else {"type": "json_schema", **schema}


def _render_reasoning(reasoning: form.Reasoning) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if effort := effort_of(reasoning):
        out["effort"] = effort
    if reasoning.show:
        out["summary"] = "auto"
    return out
