"""Tools, the choice among them and their names, as a vendor takes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from llmedge.dialects import ir
from llmedge.dialects.fitting.schemas import parameters
from llmedge.dialects.rendering import RenderContext


def fit_tools(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """Quirks it knows: ``no_allowed_tools``, ``tools_of_history``, ``schema_required``.

    :raises Unsupported: a tool has to be called and there is none.
    """
    tools, choice = request.tools, request.tool_choice
    if choice is not None and choice.names and choice.mode != "named" and "no_allowed_tools" in quirks:
        if choice.mode == "required" and len(choice.names) == 1:
            choice = ir.ToolChoice("named", choice.names)
        else:
            tools = tuple(tool for tool in tools if tool.name in choice.names)
            choice = ir.ToolChoice(choice.mode)
    if not tools:
        if choice is not None and choice.mode in ("required", "named"):
            context.unsupported("tool_choice", "there are no tools")
        choice = None
        if "tools_of_history" in quirks:
            tools = tuple(ir.Tool(name) for name in dict.fromkeys(_called(request)))
    tools = tuple(
        ir.replace(tool, schema=schema)
        if (tool.schema or "schema_required" in quirks) and (schema := parameters(tool.schema)) is not tool.schema
        else tool
        for tool in tools
    )
    parallel = request.parallel_tools if request.tools else None
    if (tools, choice, parallel) != (request.tools, request.tool_choice, request.parallel_tools):
        request = ir.replace(request, tools=tools, tool_choice=choice, parallel_tools=parallel)
    assert context.limits is not None
    names = names_for(_names(request), context.limits.tool_name)
    return _renamed(request, names) if names else request


def names_for(names: Iterable[str], pattern: str) -> Mapping[str, str]:
    """The names that are not of ``pattern`` → such that are: the beginning of each, and a hash of it."""
    fits = re.compile(pattern).fullmatch
    return {name: _made(name) for name in names if not fits(name)}


def _made(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:52]
    if not plain[:1].isalpha():
        plain = f"t_{plain}"
    return f"{plain}_{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _called(request: ir.Request) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ir.ToolCall):
                yield part.name


def _names(request: ir.Request) -> Iterator[str]:
    yield from (tool.name for tool in request.tools)
    yield from _called(request)
    if request.tool_choice is not None:
        yield from request.tool_choice.names


def _renamed(request: ir.Request, names: Mapping[str, str]) -> ir.Request:
    choice = request.tool_choice
    if choice is not None:
        choice = ir.ToolChoice(choice.mode, tuple(names.get(name, name) for name in choice.names))
    return ir.replace(
        request,
        tools=tuple(ir.replace(tool, name=names.get(tool.name, tool.name)) for tool in request.tools),
        tool_choice=choice,
        messages=tuple(
            ir.replace(message, parts=tuple(_rename(part, names) for part in message.parts))
            for message in request.messages
        ),
    )


def _rename(part: ir.Part, names: Mapping[str, str]) -> ir.Part:
    if isinstance(part, ir.ToolCall | ir.ToolResult) and part.name in names:
        return ir.replace(part, name=names[part.name])
    return part
