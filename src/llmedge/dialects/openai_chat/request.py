"""Chat completions requests → the IR (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields
from llmedge.dialects.media import AUDIO_FORMATS, split_data_url
from llmedge.dialects.openai_chat.thoughts import parse_thoughts
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

_encode = msgspec.json.Encoder().encode

FIELD_NAMES = {
    "output": "response_format",
    "reasoning": "reasoning_effort",
    "parallel_tools": "parallel_tool_calls",
}
COMMON = ("temperature", "top_p", "n", "seed", "presence_penalty", "frequency_penalty", "user")
"""Settings that the legacy API has too, by the same names as the IR."""

SCALARS = {
    "max_tokens": "max_completion_tokens",
    "parallel_tools": "parallel_tool_calls",
    **{name: name for name in (*COMMON, "top_k", "logprobs", "top_logprobs", "service_tier", "store", "verbosity")},
}


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    unread: list[str] = []
    top = Fields(fields, "", unread)
    top.ignore("model", "stream", "stream_options")
    messages: list[ir.Message] = []
    for each in top.objects("messages"):
        message = _message(each)
        if message.role == "tool" and messages and messages[-1].role == "tool":
            last = messages.pop()
            message = ir.Message("tool", last.parts + message.parts, at=last.at)
        messages.append(message)
    settings = {"max_tokens": top.integer("max_tokens"), **parse_scalars(top, SCALARS)}
    effort = top.text("reasoning_effort")
    stop = (top.text("stop"),) if top.is_text("stop") else top.texts("stop")
    if top.value("modalities") != ["text"] and top.has("modalities"):
        unread.append("modalities")
    metadata = top.object("metadata")
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tool for each in top.objects("tools") if (tool := _tool(each, unread)) is not None),
        tool_choice=parse_tool_choice(top, unread),
        output=parse_output(top.object("response_format")),
        reasoning=ir.Reasoning(effort=effort) if effort else None,
        stop=stop,
        logit_bias=b"" if (bias := top.raw("logit_bias")) == b"{}" else bias,
        metadata=_texts(metadata) if metadata is not None else (),
        **settings,
    )
    top.finish()
    return msgspec.structs.replace(request, extra=tuple(unread)) if unread else request


def _texts(table: Fields) -> tuple[tuple[str, str], ...]:
    return tuple((name, table.text(name)) for name in table.names())


def _message(fields: Fields) -> ir.Message:
    role = fields.text("role", None)
    parts: list[ir.Part] = [*parse_thoughts(fields)]
    if fields.is_text("content"):
        if text := fields.text("content"):
            parts.append(ir.Text(text))
    else:
        parts += [_part(each) for each in fields.objects("content")]
    if refusal := fields.text("refusal"):
        parts.append(ir.Refusal(refusal))
    if (audio := fields.object("audio")) is not None:
        parts.append(ir.Audio(ir.Source("base64", ""), id=audio.text("id", None)))
        audio.ignore("data", "transcript", "expires_at")
        audio.finish()
    parts += [_call(each) for each in fields.objects("tool_calls")]
    name = fields.text("name")
    if role == "tool":
        content = tuple(part for part in parts if isinstance(part, ir.Text | ir.Image | ir.File))
        if len(content) < len(parts):
            fields.fail("content", "must hold texts, images and files only")
        parts, name = [ir.ToolResult(fields.text("tool_call_id", None), content, name)], ""
    if role not in ("system", "developer", "user", "assistant", "tool"):
        fields.fail("role", "must be one of system, developer, user, assistant, tool")
    if not fields.has("annotations") or fields.value("annotations") == []:
        fields.ignore("annotations")
    fields.ignore("tool_call_id")
    fields.finish()
    return ir.Message(role, tuple(parts), name, fields.path)  # type: ignore[arg-type]


def _part(fields: Fields) -> ir.Part:
    kind = fields.text("type", None)
    cache = _cache(fields)
    part: ir.Part
    if kind == "text":
        part = ir.Text(fields.text("text", None), cache=cache)
    elif kind == "refusal":
        part = ir.Refusal(fields.text("refusal", None))
    elif kind == "image_url" and (image := fields.object("image_url")) is not None:
        detail = image.text("detail")
        part = ir.Image(split_data_url(image.text("url", None)), detail="" if detail == "auto" else detail, cache=cache)
        image.finish()
    elif kind == "input_audio" and (audio := fields.object("input_audio")) is not None:
        media_type = AUDIO_FORMATS.get(audio.text("format", None))
        if media_type is None:
            audio.fail("format", f"must be one of {', '.join(AUDIO_FORMATS)}")
        part = ir.Audio(ir.Source("base64", audio.text("data", None), media_type))
        audio.finish()
    elif kind == "file" and (file := fields.object("file")) is not None:
        name = file.text("filename")
        if identifier := file.text("file_id"):
            source = ir.Source("file", identifier)
        else:
            source = split_data_url(file.text("file_data", None))
        part = ir.File(source, name, cache=cache)
        file.finish()
    else:
        fields.fail("type", "is not a kind of content there is, or its content is missing")
    fields.finish()
    return part


def _cache(fields: Fields) -> str:
    """``cache_control`` on a part: not OpenAI's, but what its users send to vendors who have it."""
    mark = fields.object("cache_control")
    if mark is None:
        return ""
    mark.ignore("type")
    ttl = mark.text("ttl") or "5m"
    mark.finish()
    return ttl


def _call(fields: Fields) -> ir.ToolCall:
    if fields.text("type") not in ("", "function") or (function := fields.object("function")) is None:
        fields.fail("type", "must be function, with a function")
    signature = ""
    if (extra := fields.object("extra_content")) is not None:
        if (google := extra.object("google")) is not None:
            signature = google.text("thought_signature")
            google.finish()
        extra.finish()
    call = ir.ToolCall(fields.text("id"), function.text("name", None), function.text("arguments") or "{}", signature)
    fields.ignore("index")
    function.finish()
    fields.finish()
    return call


def _tool(fields: Fields, unread: list[str]) -> ir.Tool | None:
    function = fields.object("function")
    if fields.text("type", None) != "function" or function is None:
        unread.append(fields.path)  # OpenAI's custom tools, vendors' built-in ones
        return None
    tool = ir.Tool(
        function.text("name", None),
        function.text("description"),
        function.raw("parameters"),
        function.boolean("strict") or None,
        _cache(fields),
    )
    function.finish()
    fields.finish()
    return tool


# Responses say these two the same, without a level of nesting


def parse_tool_choice(top: Fields, unread: list[str], nested: bool = True) -> ir.ToolChoice | None:
    """:param nested: what a ``type`` has to say stands in an object of that name."""
    if not top.has("tool_choice"):
        return None
    if top.is_text("tool_choice"):
        mode = top.text("tool_choice")
        if mode not in ("auto", "none", "required"):
            top.fail("tool_choice", "must be auto, none, required or an object")
        return ir.ToolChoice(mode)  # type: ignore[arg-type]
    choice = top.object("tool_choice")
    assert choice is not None
    kind = choice.text("type", None)
    inner = choice.object(kind) if nested else choice
    found = None
    if inner is not None and kind == "function":
        found = ir.ToolChoice("named", (inner.text("name", None),))
    elif inner is not None and kind == "allowed_tools":
        tools = inner.objects("tools")
        functions = (
            each.object("function") if nested else each if each.text("type", None) == "function" else None
            for each in tools
        )
        names = tuple(each.text("name", None) for each in functions if each is not None)
        mode = inner.text("mode", None)
        if mode in ("auto", "required") and names and len(names) == len(tools):
            found = ir.ToolChoice(mode, names)  # type: ignore[arg-type]
    if found is None or inner is None:
        unread.append("tool_choice")
        return None
    inner.finish()
    if inner is not choice:
        choice.finish()
    return found


def parse_output(fields: Fields | None, nested: bool = True) -> ir.Output | None:
    """:param nested: as above."""
    if fields is None:
        return None
    kind = fields.text("type", None)
    schema = fields.object(kind) if nested and kind == "json_schema" else fields
    output = None
    if kind == "json_object":
        output = ir.Output("json")
    elif kind == "json_schema" and schema is not None:
        name, description = schema.text("name"), schema.text("description")
        output = ir.Output("json_schema", schema.raw("schema"), name, description, schema.boolean("strict"))
        if schema is not fields:
            schema.finish()
    elif kind != "text":
        fields.fail("type", "must be text, json_object or json_schema")
    fields.finish()
    return output
