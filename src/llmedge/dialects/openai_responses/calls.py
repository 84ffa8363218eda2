"""Items that call a tool, each kind of tool by its own (platform.openai.com/docs/api-reference/responses/object)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import arguments_of, input_of
from llmedge.dialects.fields import Fields
from llmedge.dialects.lenient import arguments, broken_input, is_json, raw_object
from llmedge.dialects.openai_responses.tools import CALLS, CLIENT_TOOLS, without_namespace

FUNCTION = ir.Tool("")
"""A tool that its client knows as a function."""

PREFIXES = {"": "fc", "custom": "ctc", "local_shell": "lsh", "shell": "sh", "apply_patch": "apc", "tool_search": "tsc"}
"""A tool's kind → what the ids of its items begin with."""

CALLED = frozenset({"function_call", "custom_tool_call", *CALLS}) - {"computer_call", "shell_call"}
"""Types of items that call a client's tool. Those left out may also run at the vendor's."""

_BESIDE: dict[str, dict[str, Any]] = {"tool_search": {"execution": "client"}}


def name_of(name: str, tool: ir.Tool) -> str:
    """The name by which the client knows a tool that was called."""
    return name if tool is FUNCTION else without_namespace(tool)


def item_of(id: str, call: ir.ToolCall, tool: ir.Tool, status: str = "") -> dict[str, Any]:
    """An item of ``output``.

    :param tool: that is called, :data:`FUNCTION` for one like all others.
    :param status: by default, whether the arguments are complete.
    """
    name = name_of(call.name, tool)
    status = status or ("completed" if is_json(call.arguments) or tool.kind == "custom" else "incomplete")
    out: dict[str, Any] = {"id": id, "type": "function_call", "status": status}
    if tool.kind == "custom":
        out |= {"type": "custom_tool_call", "call_id": call.id, "name": name, "input": input_of(call.arguments)}
    elif tool.kind:
        known = CLIENT_TOOLS[tool.kind]
        out |= {"type": known.call, "call_id": call.id, **_BESIDE.get(tool.kind, {})}
        out[known.field] = _object(call.arguments, tool.kind)
    else:
        out |= {"arguments": call.arguments, "call_id": call.id, "name": name}
    if tool.namespace:
        out["namespace"] = tool.namespace
    if call.signature:
        out["extra_content"] = {"google": {"thought_signature": call.signature}}
    return out


def _object(arguments: str, kind: str) -> Any:
    raw = raw_object(arguments)
    if raw is None:
        return broken_input(arguments)
    return {"type": "exec", **msgspec.json.decode(raw)} if kind == "local_shell" else raw


def arguments_in(item: Fields, kind: str) -> str:
    """The arguments of a call."""
    if kind == "function_call":
        return arguments(item.raw("arguments")) or "{}"
    if kind == "custom_tool_call":
        return arguments_of(item.text("input"))
    return item.raw(CLIENT_TOOLS[CALLS[kind]].field).decode() or "{}"
