"""Tools → the IR (platform.openai.com/docs/api-reference/responses/create#responses-create-tools).

Tools in a namespace become functions whose names begin with it: Codex has such, and gets calls back with the name and
the ``namespace`` apart (github.com/openai/codex, codex-rs/protocol). Tools that clients run by themselves, whose
arguments only OpenAI's models know, become functions with those arguments.
"""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import parse_tool as parse_custom
from llmedge.dialects.fields import Fields
from llmedge.dialects.openai_chat.tools import parse_function


@attrs.frozen
class ClientTool:
    """A tool that the client runs by itself.

    :ivar call: type of the items that call it, ``field`` the one of theirs that has the arguments.
    :ivar properties: of the arguments, and which are ``required``; ``None`` where no function can stand for it.
    """

    call: str
    field: str
    description: str = ""
    properties: dict[str, Any] | None = None
    required: tuple[str, ...] = ()


def _strings(description: str = "") -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


_MILLISECONDS = {"timeout_ms": {"type": "integer"}}
CLIENT_TOOLS = {
    "local_shell": ClientTool(
        "local_shell_call",
        "action",
        "Run a command on the user's machine.",
        {
            "command": _strings("The program and its arguments"),
            "working_directory": {"type": "string"},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            **_MILLISECONDS,
        },
        ("command",),
    ),
    "shell": ClientTool(
        "shell_call",
        "action",
        "Run shell commands on the user's machine, beside each other.",
        {"commands": _strings(), **_MILLISECONDS, "max_output_length": {"type": "integer"}},
        ("commands",),
    ),
    "apply_patch": ClientTool(
        "apply_patch_call",
        "operation",
        "Create, update or delete one file by a diff in the V4A format.",
        {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": {"type": "string"},
            "diff": {"type": "string"},
        },
        ("type", "path"),
    ),
    "tool_search": ClientTool("tool_search_call", "arguments", "Search for more tools.", {}),
    "computer": ClientTool("computer_call", "action"),
}
CALLS = {tool.call: kind for kind, tool in CLIENT_TOOLS.items()}
"""Type of an item that calls such a tool → the tool's."""


def parse_tools(tools: list[Fields]) -> tuple[list[ir.Tool], dict[str, str]]:
    """The client's tools, and those that OpenAI runs: their types → their paths."""
    found: list[ir.Tool] = []
    own: dict[str, str] = {}
    for each in tools:
        kind = each.text("type") or "function"
        if kind == "namespace":
            space = each.text("name", None)
            inner, others = parse_tools(each.objects("tools"))
            found += [_in_namespace(tool, space) for tool in inner]
            own |= others
            each.ignore("description")
        elif kind == "function":
            found.append(parse_function(each))
        elif kind == "custom":
            found.append(parse_custom(each, nested=False))
        elif kind in CLIENT_TOOLS and (tool := _client_tool(each, kind)) is not None:
            found.append(tool)
        else:
            own[kind] = f"{each.path} ({kind})"
            continue
        each.finish()
    return found, own


def _in_namespace(tool: ir.Tool, space: str) -> ir.Tool:
    return ir.replace(tool, name=in_namespace(space, tool.name), namespace=space)


def in_namespace(space: str, name: str) -> str:
    """A tool's name as a function; see :func:`without_namespace`."""
    return f"{space}__{name}" if space else name


def without_namespace(tool: ir.Tool) -> str:
    """The name as the client knows it."""
    return tool.name.removeprefix(f"{tool.namespace}__") if tool.namespace else tool.name


def name_of(fields: Fields) -> str:
    """The name of the tool that is called, or chosen."""
    return in_namespace(fields.text("namespace"), fields.text("name", None))


def _client_tool(fields: Fields, kind: str) -> ir.Tool | None:
    """``None`` for one that runs at the vendor's, or that no function can stand for."""
    tool = CLIENT_TOOLS[kind]
    environment = fields.object("environment")
    if environment is not None and environment.text("type") != "local":
        return None
    if tool.properties is None or (kind == "tool_search" and fields.text("execution") != "client"):
        return None
    schema = fields.raw("parameters") or ir.encode(
        {"type": "object", "properties": tool.properties, "required": tool.required}
    )
    return ir.Tool(kind, fields.text("description") or tool.description, schema, kind=kind)
