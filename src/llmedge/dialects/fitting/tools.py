"""Tools, the choice among them and their names, as a vendor takes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from llmedge.dialects import ir
from llmedge.dialects.fitting import schemas
from llmedge.dialects.rendering import RenderContext

_NO_CALLS = "Call no tool in this answer."


def fit_tools(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """Quirks it knows: ``no_allowed_tools`` (unless ``allowed_tools``), ``tools_of_history``, ``schema_required`` and
    those of :mod:`~llmedge.dialects.fitting.schemas`.

    :raises Unsupported: a tool has to be called and there is none, or one cannot be said.
    """
    assert context.limits is not None
    most = context.limits.tools or len(request.tools)
    if len(request.tools) > most:
        context.unsupported("tools", f"at most {most}")
    fitted = (_schema(tool, context, quirks) for tool in dict.fromkeys(request.tools[:most]))
    tools, choice = tuple(dict.fromkeys(tool for tool in fitted if tool is not None)), request.tool_choice
    if choice is not None and choice.names and len(tools) < len(set(request.tools)):
        choice = None  # of what cannot be offered
    alone = "no_allowed_tools" in quirks and "allowed_tools" not in quirks
    if choice is not None and choice.names and choice.mode != "named" and alone:
        if choice.mode == "required" and len(choice.names) == 1:
            choice = ir.ToolChoice("named", choice.names)
        else:
            tools = tuple(tool for tool in tools if tool.name in choice.names)
            choice = ir.ToolChoice(choice.mode)
    parallel = request.parallel_tools if tools else None
    if not tools:
        if choice is not None and choice.mode in ("required", "named"):
            context.unsupported("tool_choice", "there are no tools")
        choice = None
        if "tools_of_history" in quirks:
            empty = schemas.parameters(b"", quirks)
            tools = tuple(ir.Tool(name, schema=empty) for name in dict.fromkeys(_called(request)))
    if choice is not None and choice.mode == "none" and "tools_of_history" in quirks and any(_called(request)):
        context.approximated("tool_choice", "who has called tools has to offer them")
        choice = None
        request = ir.replace(request, messages=(ir.Message("system", (ir.Text(_NO_CALLS),)), *request.messages))
    if (tools, choice, parallel) != (request.tools, request.tool_choice, request.parallel_tools):
        request = ir.replace(request, tools=tools, tool_choice=choice, parallel_tools=parallel)
    names = names_for(_names(request), context.limits.tool_name)
    return _renamed(request, names) if names else request


def _schema(tool: ir.Tool, context: RenderContext, quirks: frozenset[str]) -> ir.Tool | None:
    """A tool with its arguments as the vendor takes them; ``None`` if it cannot be offered."""
    if tool.description.isspace():
        tool = ir.replace(tool, description="")
    if not (tool.schema or "schema_required" in quirks):
        return tool
    try:
        schema = schemas.parameters(tool.schema, quirks)
    except schemas.Unsayable as why:
        context.unsupported("Tool.schema", str(why), at=f"tools ({tool.name})")
        return None
    if tool.strict:
        strict = schemas.strict_parameters(schema, quirks)
        if strict is None:
            context.approximated("strict", "an object of its schema is open, or not all it has is required")
            tool = ir.replace(tool, strict=None)
        schema = strict or schema
    return tool if schema == tool.schema else ir.replace(tool, schema=schema)


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
