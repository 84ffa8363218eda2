"""Messages requests → the IR (platform.claude.com/docs/en/api/messages/create)."""

from __future__ import annotations

from llmedge.dialects import ir, own_tools
from llmedge.dialects.anthropic import citations
from llmedge.dialects.anthropic.tools import parse_cache, parse_choice, parse_tools
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.scalars import parse_scalars
from llmedge.dialects.signatures import own_signature
from llmedge.dialects.tool_ids import unsigned_id
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
    foreign = Foreign("anthropic")
    top = Fields(fields, "", foreign)
    top.ignore("model", "stream")
    messages: list[ir.Message] = []
    if system := _content(top, "system", foreign):
        messages.append(ir.Message("system", tuple(system), at="system"))
    for each in top.objects("messages"):
        _message(each, foreign, messages)
    tools, own = parse_tools(top)
    choice, parallel = parse_choice(top.given("tool_choice"), tools, own, foreign)
    user = ""
    if (metadata := top.object("metadata")) is not None:
        user = metadata.text("user_id")
        metadata.finish()
    config = top.object("output_config")
    effort, output = "", top.given("output_format")  # the beta's place, before there was output_config
    if config is not None:
        effort = config.text("effort")
        output = config.given("format") or output
        config.finish()
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tools),
        tool_choice=choice,
        parallel_tools=parallel,
        output=_output(output),
        reasoning=_reasoning(top.given("thinking"), effort, foreign),
        user=user,
        service_tier=_service_tier(top),
        **parse_scalars(top, {**_SAME, "stop": "stop_sequences"}),
    )
    top.finish()
    return foreign.placed(request)


def _service_tier(top: Fields) -> str:
    """``standard_only`` is what others call ``default``."""
    tier = top.text("service_tier")
    return {"auto": "", "standard_only": "default"}.get(tier, tier)


# Messages


def _message(fields: Fields, foreign: Foreign, messages: list[ir.Message]) -> None:
    """Append a message: more than one, where tool results and what the user says stand together."""
    role = fields.text("role", None)
    if role not in ("user", "assistant", "system"):
        fields.fail("role", "must be one of user, assistant, system")
    parts = _content(fields, "content", foreign)
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


def _content(fields: Fields, name: str, foreign: Foreign) -> list[ir.Part]:
    """A text, or a list of blocks."""
    if fields.is_text(name):
        text = fields.text(name)
        return [ir.Text(text)] if text else []
    return [part for each in fields.objects(name) if (part := _part(each, foreign)) is not None]


def _part(fields: Fields, foreign: Foreign) -> ir.Part | None:
    """One block; ``None`` for an empty text, and for what has no place in the IR."""
    kind = fields.text("type", None)
    part: ir.Part | None
    if kind == "text":
        cites = tuple(_citation(each, foreign) for each in fields.objects("citations"))
        text = fields.text("text", None)
        part = ir.Text(text, tuple(filter(None, cites)), parse_cache(fields)) if text else None
        fields.ignore("cache_control")
    elif kind == "image":
        image = _image_source(fields.object("source"))
        if image is None:
            fields.fail("source", "must be of type base64, url or file")
        part = ir.Image(image, cache=parse_cache(fields))
    elif kind == "document":
        part = _document(fields, foreign)
    elif kind == "tool_use":
        id, signature = unsigned_id(fields.text("id", None))
        part = ir.ToolCall(
            id, fields.text("name", None), _arguments(fields), own_signature(signature), parse_cache(fields)
        )
    elif kind == "tool_result":
        part = _result(fields, foreign)
    elif kind == "thinking":
        part = ir.Thinking(fields.text("thinking"), own_signature(fields.text("signature")))
    elif kind == "redacted_thinking":
        part = ir.Thinking(signature=fields.text("data", None), redacted=True)
    else:
        return _foreign(kind, fields, foreign)
    fields.finish()
    return part


_SILENT = ("fallback", "mcp_tool_listing", "tool_reference", "tool_search_tool_result")
"""Blocks that say nothing to a model that has not the tools they are about."""


def _foreign(kind: str, fields: Fields, foreign: Foreign) -> ir.Text | None:
    """A block that only Anthropic has: what can be read of it."""
    if kind == "search_result":
        content = [part.text for part in _content(fields, "content", foreign) if isinstance(part, ir.Text)]
        lines = (fields.text("title"), fields.text("source"), *content)
        part = ir.Text("\n".join(filter(None, lines)), cache=parse_cache(fields))
        fields.finish()
        return part
    if kind == "compaction":
        if text := fields.text("content"):
            return ir.Text(text, cache=parse_cache(fields))
        foreign.lost.append(f"{fields.path} ({kind})")
    elif kind in ("server_tool_use", "mcp_tool_use") or kind.endswith("_tool_result"):
        if kind not in _SILENT and (text := own_tools.told(kind, fields.everything())):
            return ir.Text(text, cache=parse_cache(fields))
        foreign.hint(f"{fields.path} ({kind})")
    elif kind in _SILENT:
        foreign.hint(f"{fields.path} ({kind})")
    else:  # uploads to containers, changes of the tools, and what comes next
        foreign.lost.append(f"{fields.path} ({kind})")
    return None


def _result(fields: Fields, foreign: Foreign) -> ir.ToolResult:
    content = tuple(
        each
        for each in _content(fields, "content", foreign)
        if isinstance(each, ir.Text | ir.Image | ir.File) or fields.fail("content", "holds a wrong block")
    )
    id, _ = unsigned_id(fields.text("tool_use_id", None))
    return ir.ToolResult(id, content, error=fields.boolean("is_error") or False, cache=parse_cache(fields))


def _arguments(fields: Fields) -> str:
    raw = fields.raw("input") or b"{}"
    if raw[:1] != b"{":
        fields.fail("input", "must be an object")
    return raw.decode()


def _citation(fields: Fields, foreign: Foreign) -> ir.Citation | None:
    cite = citations.parse(fields)
    if cite is None:
        foreign.append(fields.path)
    return cite


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


def _document(fields: Fields, foreign: Foreign) -> ir.File:
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
            blocks = _content(given, "content", foreign)
            texts = [block.text for block in blocks if isinstance(block, ir.Text)]
            if len(texts) < len(blocks) or (cite and len(texts) > 1):
                foreign.append(given.at("content"))  # its pictures, or the blocks its citations would count
            source = ir.Source("text", "\n".join(texts), "text/plain")
            given.finish()
    if source is None:
        fields.fail("source", "must be of type base64, text, url, file or content")
    return ir.File(source, fields.text("title"), fields.text("context"), cite, parse_cache(fields))


# Settings


def _output(fields: Fields | None) -> ir.Output | None:
    if fields is None:
        return None
    if fields.text("type", None) != "json_schema":
        fields.fail("type", "must be json_schema")
    output = ir.Output("json_schema", fields.raw("schema"))
    fields.finish()
    return output


def _reasoning(fields: Fields | None, effort: str, foreign: Foreign) -> ir.Reasoning | None:
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
        foreign.hint(fields.path)
        return ir.Reasoning(effort=effort) if effort else None
    show = {"summarized": True, "omitted": False}.get(fields.text("display"))
    fields.finish()
    return ir.Reasoning(enabled, effort, budget, show)
