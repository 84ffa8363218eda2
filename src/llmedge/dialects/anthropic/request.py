"""Messages requests → the IR (platform.claude.com/docs/en/api/messages/create)."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic import citations
from llmedge.dialects.fields import Fields
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

_SAME = {name: name for name in ("max_tokens", "temperature", "top_p", "top_k")}
FIELD_NAMES = {
    "output": "output_config.format",
    "reasoning": "thinking",
    "reasoning.show": "thinking.display",
    "parallel_tools": "tool_choice.disable_parallel_tool_use",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    unread: list[str] = []
    top = Fields(fields, "", unread)
    top.ignore("model", "stream")
    messages: list[ir.Message] = []
    if system := _content(top, "system", unread):
        messages.append(ir.Message("system", tuple(system), at="system"))
    for each in top.objects("messages"):
        _message(each, unread, messages)
    choice, parallel = _tool_choice(top.object("tool_choice"), unread)
    user = ""
    if (metadata := top.object("metadata")) is not None:
        user = metadata.text("user_id")
        metadata.finish()
    config = top.object("output_config")
    effort, output = "", top.object("output_format")  # the beta's place, before there was output_config
    if config is not None:
        effort = config.text("effort")
        output = config.object("format") or output
        config.finish()
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tool for each in top.objects("tools") if (tool := _tool(each, unread)) is not None),
        tool_choice=choice,
        parallel_tools=parallel,
        output=_output(output),
        reasoning=_reasoning(top.object("thinking"), effort, unread),
        user=user,
        service_tier=_service_tier(top),
        **parse_scalars(top, {**_SAME, "stop": "stop_sequences"}),
    )
    top.finish()
    return msgspec.structs.replace(request, extra=tuple(unread)) if unread else request


def _service_tier(top: Fields) -> str:
    """``standard_only`` is what others call ``default``."""
    tier = top.text("service_tier")
    return {"auto": "", "standard_only": "default"}.get(tier, tier)


# Messages


def _message(fields: Fields, unread: list[str], messages: list[ir.Message]) -> None:
    """Append a message: more than one, where tool results and what the user says stand together."""
    role = fields.text("role", None)
    if role not in ("user", "assistant", "system"):
        fields.fail("role", "must be one of user, assistant, system")
    parts = _content(fields, "content", unread)
    fields.finish()
    if not any(isinstance(part, ir.ToolResult) for part in parts):
        messages.append(ir.Message(role, tuple(parts), at=fields.path))  # type: ignore[arg-type]
        return
    if role != "user":
        fields.fail("content", "may hold tool_result blocks only in a message of the user")
    new = True  # the first piece of a message never joins what another message said
    for part in parts:
        kind: ir.Role = "tool" if isinstance(part, ir.ToolResult) else "user"
        if messages and messages[-1].role == kind and (kind == "tool" or not new):
            last = messages.pop()
            messages.append(ir.Message(kind, (*last.parts, part), at=last.at))
        else:
            messages.append(ir.Message(kind, (part,), at=fields.path))
        new = False


def _content(fields: Fields, name: str, unread: list[str]) -> list[ir.Part]:
    """A text, or a list of blocks."""
    if fields.is_text(name):
        text = fields.text(name)
        return [ir.Text(text)] if text else []
    return [part for each in fields.objects(name) if (part := _part(each, unread)) is not None]


def _part(fields: Fields, unread: list[str]) -> ir.Part | None:
    """One block; ``None`` for an empty text, and for what has no place in the IR."""
    kind = fields.text("type", None)
    part: ir.Part | None
    if kind == "text":
        cites = tuple(_citation(each, unread) for each in fields.objects("citations"))
        text = fields.text("text", None)
        part = ir.Text(text, tuple(filter(None, cites)), _cache(fields)) if text else None
        fields.ignore("cache_control")
    elif kind == "image":
        image = _image_source(fields.object("source"))
        if image is None:
            fields.fail("source", "must be of type base64, url or file")
        part = ir.Image(image, cache=_cache(fields))
    elif kind == "document":
        part = _document(fields, unread)
    elif kind == "tool_use":
        part = ir.ToolCall(fields.text("id", None), fields.text("name", None), _arguments(fields), cache=_cache(fields))
        if fields.value("caller") not in (None, {"type": "direct"}):
            unread.append(fields.at("caller"))
    elif kind == "tool_result":
        content = tuple(
            each
            for each in _content(fields, "content", unread)
            if isinstance(each, ir.Text | ir.Image | ir.File) or fields.fail("content", "holds a wrong block")
        )
        error = fields.boolean("is_error") or False
        part = ir.ToolResult(fields.text("tool_use_id", None), content, error=error, cache=_cache(fields))
    elif kind == "thinking":
        part = ir.Thinking(fields.text("thinking"), fields.text("signature"))
    elif kind == "redacted_thinking":
        part = ir.Thinking(signature=fields.text("data", None), redacted=True)
    else:
        unread.append(fields.path)  # server tools and their results, search results, uploads to containers
        return None
    fields.finish()
    return part


def _arguments(fields: Fields) -> str:
    raw = fields.raw("input")
    if raw[:1] != b"{":
        fields.fail("input", "must be an object")
    return raw.decode()


def _citation(fields: Fields, unread: list[str]) -> ir.Citation | None:
    cite = citations.parse(fields)
    if cite is None:
        unread.append(fields.path)
    return cite


def _cache(fields: Fields) -> str:
    mark = fields.object("cache_control")
    if mark is None:
        return ""
    ttl = mark.text("ttl") or "5m"
    if mark.text("type", None) != "ephemeral" or ttl not in ("5m", "1h"):
        fields.fail("cache_control", 'must be {"type": "ephemeral"}, with a ttl of 5m or 1h')
    mark.finish()
    return ttl


def _image_source(fields: Fields | None) -> ir.Source | None:
    """What images and documents can come from."""
    if fields is None:
        return None
    kind = fields.text("type", None)
    if kind == "base64":
        source = ir.Source("base64", fields.text("data", None), fields.text("media_type", None))
    elif kind == "url":
        source = ir.Source("url", fields.text("url", None))
    elif kind == "file":
        source = ir.Source("file", fields.text("file_id", None))
    else:
        return None
    fields.finish()
    return source


def _document(fields: Fields, unread: list[str]) -> ir.File:
    cite = False
    if (config := fields.object("citations")) is not None:
        cite = config.boolean("enabled") or False
        config.finish()
    given = fields.object("source")
    source = _image_source(given)
    if source is None and given is not None:
        kind = given.text("type", None)
        if kind == "text":
            source = ir.Source("text", given.text("data", None), given.text("media_type") or "text/plain")
            given.finish()
        elif kind == "content":
            blocks = _content(given, "content", unread)
            texts = [block.text for block in blocks if isinstance(block, ir.Text)]
            if len(texts) < len(blocks) or (cite and len(texts) > 1):
                unread.append(given.at("content"))  # its pictures, or the blocks its citations would count
            source = ir.Source("text", "\n".join(texts), "text/plain")
            given.finish()
    if source is None:
        fields.fail("source", "must be of type base64, text, url, file or content")
    return ir.File(source, fields.text("title"), fields.text("context"), cite, _cache(fields))


# Settings


def _tool(fields: Fields, unread: list[str]) -> ir.Tool | None:
    if fields.text("type") not in ("", "custom"):
        unread.append(fields.path)  # a tool that runs at the vendor's, or one whose schema only Claude knows
        return None
    tool = ir.Tool(
        fields.text("name", None),
        fields.text("description"),
        fields.raw("input_schema"),
        fields.boolean("strict") or None,
        _cache(fields),
    )
    fields.finish()
    return tool


def _tool_choice(fields: Fields | None, unread: list[str]) -> tuple[ir.ToolChoice | None, bool | None]:
    """The choice, and ``parallel_tools``."""
    if fields is None:
        return None, None
    kind = fields.text("type", None)
    parallel = False if fields.boolean("disable_parallel_tool_use") else None
    choice = None
    if kind == "auto":
        choice = ir.ToolChoice("auto")
    elif kind == "any":
        choice = ir.ToolChoice("required")
    elif kind == "none":
        choice = ir.ToolChoice("none")
    elif kind == "tool":
        choice = ir.ToolChoice("named", (fields.text("name", None),))
    else:
        fields.fail("type", "must be one of auto, any, tool, none")
    fields.finish()
    return choice, parallel


def _output(fields: Fields | None) -> ir.Output | None:
    if fields is None:
        return None
    if fields.text("type", None) != "json_schema":
        fields.fail("type", "must be json_schema")
    output = ir.Output("json_schema", fields.raw("schema"))
    fields.finish()
    return output


def _reasoning(fields: Fields | None, effort: str, unread: list[str]) -> ir.Reasoning | None:
    if fields is None:
        return ir.Reasoning(effort=effort) if effort else None
    kind = fields.text("type", None)
    enabled: bool | None = True
    budget: int | None = None
    if kind == "enabled":
        budget = fields.integer("budget_tokens")
        if budget is None:
            fields.fail("budget_tokens", "is required")
    elif kind == "adaptive":
        budget = -1
    elif kind == "disabled":
        enabled = False
    else:  # between_tools, and what comes next
        unread.append(fields.path)
        return ir.Reasoning(effort=effort) if effort else None
    show = {"summarized": True, "omitted": False}.get(fields.text("display"))
    fields.finish()
    return ir.Reasoning(enabled, effort, budget, show)
