"""The tools of Messages requests and the choice among them → the IR
(platform.claude.com/docs/en/agents-and-tools/tool-use/overview)."""

from __future__ import annotations

import re
from typing import Any

from llmedge.dialects import ir, own_tools
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign

_DATE = re.compile(r"_\d{8}")


def _string(description: str = "", *choices: str) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "string"}
    if description:
        out["description"] = description
    if choices:
        out["enum"] = list(choices)
    return out


_LINES = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_POINT = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_EDITS = {"path": _string("Absolute path"), "file_text": _string("The whole file, for create"), "old_str": _string()}
_EDITS |= {"new_str": _string(), "insert_line": {"type": "integer"}, "insert_text": _string(), "view_range": _LINES}

_KNOWN: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "bash": (
        "Run commands in a bash shell whose state is kept from call to call.",
        {"command": _string("The command to run"), "restart": {"type": "boolean", "description": "Restart the shell"}},
        [],
    ),
    "text_editor": (
        "View, create and edit files.",
        {"command": _string("", "view", "create", "str_replace", "insert", "undo_edit"), **_EDITS},
        ["command", "path"],
    ),
    "memory": (
        "View, create and edit files of notes below /memories.",
        {
            "command": _string("", "view", "create", "str_replace", "insert", "delete", "rename"),
            **_EDITS,
            "old_path": _string("For rename"),
            "new_path": _string("For rename"),
        },
        ["command"],
    ),
    "computer": (
        "Use a computer's screen, mouse and keyboard.",
        {
            "action": _string("key, type, mouse_move, left_click, left_click_drag, scroll, wait, screenshot …"),
            "coordinate": {**_POINT, "description": "x and y in pixels"},
            "start_coordinate": _POINT,
            "text": _string("What to type, or the keys"),
            "scroll_direction": _string("", "up", "down", "left", "right"),
            "scroll_amount": {"type": "integer"},
            "duration": {"type": "number", "description": "Seconds"},
            "region": {"type": "array", "items": {"type": "integer"}},
        },
        ["action"],
    ),
}
"""Tools that the client runs and Claude knows by their types: description, properties and the required ones. Others get
them as functions, whose calls look the same to the client."""


def parse_tools(top: Fields) -> tuple[list[ir.Tool], dict[str, str]]:
    """The client's tools, and those of Anthropic's own: their names, to be chosen by → their paths and types."""
    tools: list[ir.Tool] = []
    own: dict[str, str] = {}
    for each in top.objects("tools"):
        kind = each.text("type")
        known = _KNOWN.get(_DATE.split(kind)[0])
        if kind in ("", "custom"):
            tools.append(_tool(each))
        elif known is not None:
            tools.append(_client_tool(each, *known))
        else:
            own[each.text("name") or kind] = f"{each.path} ({kind})"
    if top.objects("mcp_servers"):
        own["mcp_servers"] = "mcp_servers"
    return tools, own


def _tool(fields: Fields) -> ir.Tool:
    description = fields.text("description")
    if examples := fields.value("input_examples"):
        shown = "\n".join(ir.encode(each).decode() for each in examples) if isinstance(examples, list) else ""
        description = f"{description}\n\nExamples of the input:\n{shown}".lstrip()
    schema, strict = fields.raw("input_schema"), fields.boolean("strict") or None
    tool = ir.Tool(fields.text("name", None), description, schema, strict, parse_cache(fields))
    fields.finish()
    return tool


def _client_tool(fields: Fields, description: str, properties: dict[str, Any], required: list[str]) -> ir.Tool:
    width, height = fields.integer("display_width_px"), fields.integer("display_height_px")
    if width and height:
        description += f" The screen has {width} x {height} pixels."
    fields.ignore("display_number", "enable_zoom", "max_characters", "input_examples", "strict")
    schema = ir.encode({"type": "object", "properties": properties, "required": required})
    tool = ir.Tool(fields.text("name", None), description, schema, cache=parse_cache(fields))
    fields.finish()
    return tool


def parse_cache(fields: Fields) -> str:
    """How long the prompt up to here may be cached; ``""`` for no mark. A mark is a hint, whatever else it says."""
    mark = fields.given("cache_control")
    if mark is None:
        return ""
    mark.ignore("type")
    ttl = mark.text("ttl")
    mark.finish()
    return "1h" if ttl == "1h" else "5m"


def parse_choice(
    fields: Fields | None, tools: list[ir.Tool], own: dict[str, str], foreign: Foreign
) -> tuple[ir.ToolChoice | None, bool | None]:
    """The choice, and ``parallel_tools``.

    :param own: Anthropic's own tools, which go to ``foreign``; see :func:`parse_tools`.
    """
    choice, parallel, kind, name = None, None, "", ""
    if fields is not None:
        kind = fields.text("type", None)
        parallel = False if fields.boolean("disable_parallel_tool_use") else None
        if kind == "auto":
            choice = ir.ToolChoice("auto")
        elif kind == "any":
            choice = ir.ToolChoice("required")
        elif kind == "none":
            choice = ir.ToolChoice("none")
        elif kind == "tool":
            name = fields.text("name", None)
            choice = None if name in own else ir.ToolChoice("named", (name,))
        else:
            fields.fail("type", "must be one of auto, any, tool, none")
        fields.finish()
    own_tools.leave_out(own.values(), tools, name in own, foreign)
    return choice, parallel
