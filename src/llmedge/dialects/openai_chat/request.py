"""Chat completions requests → the IR (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import arguments_of
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.lenient import flat
from llmedge.dialects.media import AUDIO_FORMATS, file_source, split_data_url
from llmedge.dialects.openai_chat.thoughts import parse_thoughts
from llmedge.dialects.openai_chat.tools import parse_choice, parse_tools
from llmedge.dialects.scalars import parse_scalars
from llmedge.dialects.signatures import google_signature
from llmedge.model import RawObject

FIELD_NAMES = {
    "output": "response_format",
    **{f"output.{name}": f"response_format.json_schema.{name}" for name in ("name", "description", "strict")},
    "reasoning": "reasoning_effort",
    "parallel_tools": "parallel_tool_calls",
}
COMMON = ("temperature", "top_p", "n", "seed", "presence_penalty", "frequency_penalty", "user")
"""Settings that the legacy API has too, by the same names as the IR."""

SCALARS = {
    "max_tokens": "max_completion_tokens",
    "parallel_tools": "parallel_tool_calls",
    "cache_key": "prompt_cache_key",
    **{name: name for name in (*COMMON, "top_k", "logprobs", "top_logprobs", "service_tier", "store", "verbosity")},
}


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    foreign = Foreign("openai_chat")
    top = Fields(fields, "", foreign)
    top.ignore("model", "stream", "stream_options")
    messages: list[ir.Message] = []
    for each in top.objects("messages"):
        message = _message(each, messages, foreign)
        if message.role == "tool" and messages and messages[-1].role == "tool":
            last = messages.pop()
            message = ir.Message("tool", last.parts + message.parts, at=last.at)
        messages.append(message)
    settings = {"max_tokens": top.integer("max_tokens"), **parse_scalars(top, SCALARS)}
    if not settings.get("user"):
        settings["user"] = top.text("safety_identifier")
    if settings["max_tokens"] == -1:  # engines' word for no limit
        settings["max_tokens"] = None
    if top.value("modalities") == ["text"]:
        top.ignore("modalities")
    else:
        top.unread("modalities")
    metadata = top.object("metadata")
    tools, own = parse_tools(top, _cache)
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tools),
        tool_choice=parse_choice(top, tools, own, foreign),
        output=parse_output(top.given("response_format")),
        reasoning=_reasoning(top),
        stop=(top.text("stop"),) if top.is_text("stop") else top.texts("stop"),
        logit_bias=b"" if (bias := top.raw("logit_bias")) == b"{}" else bias,
        metadata=_texts(metadata) if metadata is not None else (),
        **settings,
    )
    top.finish()
    return foreign.placed(request)


def _reasoning(top: Fields) -> ir.Reasoning | None:
    """``reasoning_effort``, and what vendors have beside it: OpenRouter's ``reasoning``, Anthropic's ``thinking`` at
    DeepSeek's and others', Qwen's ``enable_thinking``, which engines take among ``chat_template_kwargs``."""
    effort = top.text("reasoning_effort")
    enabled = top.boolean("enable_thinking")
    if (kwargs := top.object("chat_template_kwargs")) is not None:
        wanted = kwargs.boolean("enable_thinking")
        enabled = wanted if enabled is None else enabled
        kwargs.finish()
    budget = show = None
    if (reasoning := top.object("reasoning")) is not None:
        effort = effort or reasoning.text("effort")
        enabled = reasoning.boolean("enabled") if enabled is None else enabled
        budget = reasoning.integer("max_tokens")
        show = None if (hidden := reasoning.boolean("exclude")) is None else not hidden
        reasoning.finish()
    if (thinking := top.object("thinking")) is not None:
        enabled = {"enabled": True, "adaptive": True, "disabled": False}.get(thinking.text("type"), enabled)
        budget = thinking.integer("budget_tokens") or budget
        thinking.finish()
    found = ir.Reasoning(enabled, effort, budget or None, show)
    return None if found == ir.Reasoning() else found


def _texts(table: Fields) -> tuple[tuple[str, str], ...]:
    return tuple((name, table.text(name)) for name in table.names())


def _message(fields: Fields, before: list[ir.Message], foreign: Foreign) -> ir.Message:
    """:param before: the messages so far."""
    role = fields.text("role", None)
    if role not in ("system", "developer", "user", "assistant", "tool", "function"):
        fields.fail("role", "must be one of system, developer, user, assistant, tool")
    parts: list[ir.Part] = [thought for thought in parse_thoughts(fields) if thought.text or thought.signature]
    if fields.is_text("content"):
        if text := fields.text("content"):
            parts.append(ir.Text(text))
    else:
        parts += [part for each in fields.objects("content") if (part := _part(each, foreign)) is not None]
    if refusal := fields.text("refusal"):
        parts.append(ir.Refusal(refusal))
    if (audio := fields.object("audio")) is not None:
        if identifier := audio.text("id"):
            parts.append(ir.Audio(ir.Source("base64", ""), id=identifier))
        elif transcript := audio.text("transcript"):
            parts.append(ir.Text(transcript))
    parts += [_call(each) for each in fields.objects("tool_calls")]
    if (function := fields.given("function_call")) is not None:
        parts.append(_function_call(function, f"call_{len(before)}"))
    name, cache = fields.text("name"), _cache(fields)
    if role in ("tool", "function"):
        content = tuple(part for part in parts if isinstance(part, ir.Text | ir.Image | ir.File))
        if len(content) < len(parts):
            fields.fail("content", "must hold texts, images and files only")
        identifier = fields.text("tool_call_id", None) if role == "tool" else _last_call(before, name)
        parts, name, role = [ir.ToolResult(identifier, content, name)], "", "tool"
    if cache and parts:
        if hasattr(parts[-1], "cache"):
            parts[-1] = ir.replace(parts[-1], cache=parts[-1].cache or cache)  # a message's mark is its last part's
        else:
            foreign.hint(fields.at("cache_control"))
    fields.ignore("tool_call_id")
    fields.finish()
    return ir.Message(role, tuple(parts), name, fields.path)  # type: ignore[arg-type]


def _function_call(fields: Fields, identifier: str) -> ir.ToolCall:
    """The older form of a call, which has no id."""
    return ir.ToolCall(identifier, fields.text("name", None), _arguments(fields))


def _last_call(before: list[ir.Message], name: str) -> str:
    """The id of the call that a message of the older role ``function`` answers: it stands right behind it."""
    calls = [part for message in before[-2:] for part in message.parts if isinstance(part, ir.ToolCall)]
    return next((call.id for call in reversed(calls) if call.name == name), "")


def _arguments(fields: Fields) -> str:
    """JSON text, which some clients give as the object itself."""
    raw = fields.raw("arguments")
    return raw.decode() if raw[:1] == b"{" else fields.text("arguments") or "{}"


def _part(fields: Fields, foreign: Foreign) -> ir.Part | None:
    """One part of the content; ``None`` for one that only some vendor has."""
    kind = fields.text("type", None)
    cache = _cache(fields)
    part: ir.Part
    if kind in ("text", "input_text", "output_text"):
        part = ir.Text(fields.text("text", None), cache=cache)
    elif kind == "refusal":
        part = ir.Refusal(fields.text("refusal", None))
    elif kind in ("thinking", "reasoning"):  # Mistral's form of a thought
        part = ir.Thinking(flat(fields.value(kind)))
    elif kind == "image_url" and fields.is_text(kind):
        part = ir.Image(split_data_url(fields.text(kind)), cache=cache)
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
            source = file_source(file.text("file_data", None), name)
        part = ir.File(source, name, cache=cache)
        file.finish()
    elif kind in ("image_url", "input_audio", "file"):
        fields.fail(kind, "is required")
    else:
        foreign.lost.append(f"{fields.path} ({kind})")
        return None
    fields.finish()
    return part


def _cache(fields: Fields) -> str:
    """``cache_control`` on a part: not OpenAI's, but what its users send to vendors who have it."""
    mark = fields.given("cache_control")
    return "" if mark is None else "1h" if mark.text("ttl") == "1h" else "5m"


def _call(fields: Fields) -> ir.ToolCall:
    kind = fields.text("type") or "function"
    function = fields.object(kind)
    if function is None or kind not in ("function", "custom"):
        fields.fail("type", "must be function or custom, with an object of that name")
    name = function.text("name", None)
    arguments = arguments_of(function.text("input")) if kind == "custom" else _arguments(function)
    call = ir.ToolCall(fields.text("id"), name, arguments, google_signature(fields), _cache(fields))
    fields.ignore("index")
    function.finish()
    fields.finish()
    return call


# Responses say this the same, without a level of nesting


def parse_output(fields: Fields | None, nested: bool = True) -> ir.Output | None:
    """:param nested: what a ``type`` has to say stands in an object of that name."""
    if fields is None:
        return None
    kind = fields.text("type", None)
    schema = fields.object(kind) if nested and kind == "json_schema" else fields
    output = None
    if kind == "json_object":  # some vendors take a schema beside it
        output = ir.Output("json_schema", fields.raw("schema")) if fields.has("schema") else ir.Output("json")
    elif kind == "json_schema" and schema is not None:
        name, description = schema.text("name"), schema.text("description")
        output = ir.Output("json_schema", schema.raw("schema"), name, description, schema.boolean("strict"))
        if schema is not fields:
            schema.finish()
    elif kind != "text":
        fields.fail("type", "must be text, json_object or json_schema")
    fields.finish()
    return output
