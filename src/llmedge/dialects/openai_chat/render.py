"""The IR → chat completions requests (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.effort import effort_of
from llmedge.dialects.media import AUDIO_FORMATS, data_url
from llmedge.dialects.openai_chat.request import SCALARS
from llmedge.dialects.rendering import RenderContext
from llmedge.dialects.scalars import TOOL, render_scalars
from llmedge.dialects.tool_ids import nine_id, short_id

_encode = msgspec.json.Encoder().encode


def render(request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]) -> bytes:
    """The body for a vendor. Quirks it knows are those of ``config/catalogue.py`` that are about requests, and
    ``top_k``.

    :raises Unsupported: a field cannot be said.
    """
    payload: dict[str, Any] = {"model": model}
    payload["messages"] = [out for message in request.messages for out in _render_message(message, context, quirks)]
    if request.tools:
        payload["tools"] = [_render_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        choice = _render_choice(request.tool_choice)
        if "tool_choice_auto" in quirks and choice == "none":
            payload.pop("tools", None)  # what is not offered is not called
        elif "tool_choice_auto" in quirks and choice != "auto":
            context.unsupported("tool_choice", "it takes auto only")
        else:
            payload["tool_choice"] = "any" if choice == "required" and "tool_choice_any" in quirks else choice
    if request.output is not None:
        payload["response_format"] = _render_output(request.output)
    if request.reasoning is not None and (effort := effort_of(request.reasoning)):
        payload["reasoning_effort"] = effort
    if request.stop:
        payload["stop"] = list(request.stop)
    if "no_logit_bias" not in quirks and request.logit_bias:
        payload["logit_bias"] = msgspec.Raw(request.logit_bias)
    render_scalars(request, _names(quirks), payload)
    if "no_metadata" not in quirks and ("stored_metadata" not in quirks or payload.get("store")) and request.metadata:
        payload["metadata"] = dict(request.metadata)
    if stream:
        payload["stream"] = True
        if "no_stream_options" not in quirks:
            payload["stream_options"] = {"include_usage": True}
    return _encode(payload)


_UNLESS: Mapping[str, Mapping[str, str]] = {
    "max_tokens": {"max_tokens": "max_tokens"},
    "random_seed": {"seed": "random_seed"},
    "top_k": {"top_k": "top_k"},
    "prompt_cache_key": {"cache_key": "prompt_cache_key"},
    "no_n": {"n": ""},
    "no_parallel_tool_calls": {"parallel_tools": ""},
    "no_logprobs": {"logprobs": "", "top_logprobs": ""},
    "no_user": {"user": ""},
    "no_store": {"store": ""},
    "no_service_tier": {"service_tier": ""},
    "no_verbosity": {"verbosity": ""},
}
"""A quirk → other names of settings; ``""`` for what the vendor does not take."""


@cache
def _names(quirks: frozenset[str]) -> Mapping[str, str]:
    names = {**SCALARS, "top_k": "", "cache_key": ""}
    for quirk in quirks & _UNLESS.keys():
        names |= _UNLESS[quirk]
    return {ours: theirs for ours, theirs in names.items() if theirs}


_LONGEST_ID = 40
"""Of a tool call at OpenAI."""


def _tool_id(identifier: str, quirks: frozenset[str]) -> str:
    return nine_id(identifier) if "tool_ids_9" in quirks else short_id(identifier, _LONGEST_ID)


def _render_message(message: ir.Message, context: RenderContext, quirks: frozenset[str]) -> list[dict[str, Any]]:
    if message.name and (message.role == "tool" or "no_message_name" in quirks):
        context.unsupported("Message.name")
    if message.role == "tool":
        return [out for part in message.parts for out in _render_result(part, message, context, quirks)]
    role = "system" if message.role == "developer" and "no_developer_role" in quirks else message.role
    out: dict[str, Any] = {"role": role}
    if message.name and "no_message_name" not in quirks:
        out["name"] = message.name
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ir.ToolCall):
            call: dict[str, Any] = {
                "id": _tool_id(part.id, quirks),
                "type": "function",
                "function": {"name": part.name, "arguments": part.arguments},
            }
            calls.append(call)
        elif isinstance(part, ir.Thinking):
            if "thinking_back" in quirks and part.text and not part.signature:
                out["reasoning_content"] = out.get("reasoning_content", "") + part.text
            else:
                context.unsupported("Thinking")
        elif isinstance(part, ir.Refusal) and "no_refusal" in quirks:
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ir.Refusal) and message.role == "assistant":
            out["refusal"] = part.text
        elif isinstance(part, ir.Audio) and part.id:
            out["audio"] = {"id": part.id}
        else:
            content.append(_render_part(part, message, context, quirks))
    content = [part for part in content if part]
    if len(content) == 1 and content[0]["type"] == "text":
        out["content"] = content[0]["text"]
    elif content:
        out["content"] = content
    elif message.role != "assistant" or (not calls and "refusal" not in out and "audio" not in out):
        if message.role == "assistant" and "no_silent_assistant" in quirks and "reasoning_content" not in out:
            return []
        out["content"] = ""
    if calls:
        out["tool_calls"] = calls
    return [out]


def _render_part(part: ir.Part, message: ir.Message, context: RenderContext, quirks: frozenset[str]) -> dict[str, Any]:
    if isinstance(part, ir.Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ir.Image) and (part.source.kind == "base64" or context.takes(part.source)):
        image = {"url": data_url(part.source)}
        if part.detail:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if isinstance(part, ir.Audio):
        for name, media_type in AUDIO_FORMATS.items():
            if media_type == part.source.media_type and part.source.kind == "base64":
                return {"type": "input_audio", "input_audio": {"data": part.source.data, "format": name}}
    if isinstance(part, ir.File) and "document_url" in quirks:
        if part.source.kind == "base64" or context.takes(part.source):
            document = {"type": "document_url", "document_url": data_url(part.source)}
            return document | ({"document_name": part.name} if part.name else {})
    elif isinstance(part, ir.File):
        if part.source.kind == "file":
            if part.name:
                context.unsupported("File.name")
            return {"type": "file", "file": {"file_id": part.source.data}}
        if part.source.kind == "base64":
            return {"type": "file", "file": {"file_data": data_url(part.source), "filename": part.name}}
    context.unsupported(type(part).__name__, at=message.at)
    return {}


def _render_result(
    part: ir.Part, message: ir.Message, context: RenderContext, quirks: frozenset[str]
) -> list[dict[str, Any]]:
    if not isinstance(part, ir.ToolResult):
        context.unsupported(type(part).__name__, at=message.at)
        return []
    content = [{"type": "text", "text": each.text} for each in part.content if isinstance(each, ir.Text)]
    out: Any = content[0]["text"] if len(content) == 1 else content or ""
    return [{"role": "tool", "tool_call_id": _tool_id(part.id, quirks), "content": out}]


def _render_tool(tool: ir.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    render_scalars(tool, TOOL, function)
    if tool.schema:
        function["parameters"] = msgspec.Raw(tool.schema)
    return {"type": "function", "function": function}


def _render_choice(choice: ir.ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.names[0]}}
    if choice.names:
        tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice.mode


def _render_output(output: ir.Output) -> dict[str, Any]:
    schema = render_schema(output)
    return {"type": "json_object"} if schema is None else {"type": "json_schema", "json_schema": schema}


def render_schema(output: ir.Output) -> dict[str, Any] | None:
    """The schema with its name and more; ``None`` for any JSON object."""
    if output.kind == "json":
        return None
    schema: dict[str, Any] = {"name": output.name or "answer"}
    render_scalars(output, TOOL, schema)
    if output.schema:
        schema["schema"] = msgspec.Raw(output.schema)
    return schema
