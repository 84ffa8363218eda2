"""Converse requests → the IR (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from __future__ import annotations

import itertools

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.bedrock.content import cache_point, parse_blocks
from llmedge.dialects.fields import Fields
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

SCALARS = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
FIELD_NAMES = {
    **{ours: f"inferenceConfig.{theirs}" for ours, theirs in SCALARS.items()},
    "tools": "toolConfig.tools",
    "tool_choice": "toolConfig.toolChoice",
    "output": "outputConfig.textFormat",
    "reasoning": "additionalModelRequestFields.thinking",
    "reasoning.show": "additionalModelRequestFields.thinking.display",
    "top_k": "additionalModelRequestFields.top_k",
    "metadata": "requestMetadata",
    "service_tier": "serviceTier",
}
STOP_SEQUENCE = "/stop_sequence"
"""JSON Pointer of the one further field asked of a model: which sequence stopped it."""


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    unread: list[str] = []
    top = Fields(fields, "", unread)
    messages: list[ir.Message] = []
    if system := parse_blocks(top.objects("system"), unread):
        messages.append(ir.Message("system", tuple(system), at="system"))
    for each in top.objects("messages"):
        messages += _messages(each, unread)
    tools, choice = _tools(top.object("toolConfig"), unread)
    inference = top.object("inferenceConfig") or Fields({})
    if top.value("additionalModelResponseFieldPaths") not in (None, [STOP_SEQUENCE]):
        unread.append("additionalModelResponseFieldPaths")
    metadata = top.object("requestMetadata")
    tier = top.object("serviceTier")
    output_config = top.object("outputConfig") or Fields({})
    additional = top.object("additionalModelRequestFields") or Fields({})
    request = ir.Request(
        messages=tuple(messages),
        tools=tools,
        tool_choice=choice,
        output=_output(output_config.object("textFormat")),
        reasoning=_reasoning(additional.object("thinking"), output_config.text("effort")),
        top_k=additional.integer("top_k"),
        metadata=tuple((name, metadata.text(name)) for name in metadata.names()) if metadata is not None else (),
        service_tier=tier.text("type") if tier is not None else "",
        **parse_scalars(inference, SCALARS),
    )
    for each in (inference, output_config, additional, top):
        each.finish()
    return msgspec.structs.replace(request, extra=tuple(unread)) if unread else request


def _messages(fields: Fields, unread: list[str]) -> list[ir.Message]:
    """One message; in the IR tool results stand in messages of their own."""
    role = fields.text("role", None)
    if role not in ("user", "assistant", "system"):
        fields.fail("role", "must be one of user, assistant, system")
    parts = parse_blocks(fields.objects("content"), unread)
    fields.finish()
    if not parts:
        return [ir.Message(role, (), at=fields.path)]  # type: ignore[arg-type]
    runs = itertools.groupby(parts, lambda part: isinstance(part, ir.ToolResult))
    return [
        ir.Message("tool" if results else role, tuple(run), at=fields.path)  # type: ignore[arg-type]
        for results, run in runs
    ]


def _tools(fields: Fields | None, unread: list[str]) -> tuple[tuple[ir.Tool, ...], ir.ToolChoice | None]:
    if fields is None:
        return (), None
    tools: list[ir.Tool] = []
    for each in fields.objects("tools"):
        if (spec := each.object("toolSpec")) is not None:
            schema = spec.object("inputSchema")
            tools.append(
                ir.Tool(
                    spec.text("name", None),
                    spec.text("description"),
                    schema.raw("json") if schema is not None else b"",
                    spec.boolean("strict"),
                )
            )
            spec.finish()
        elif (point := each.object("cachePoint")) is not None:
            ttl = cache_point(point)
            if tools:
                tools[-1] = msgspec.structs.replace(tools[-1], cache=ttl)
            else:
                unread.append(point.path)
        each.finish()  # systemTool has no place
    choice: ir.ToolChoice | None = None
    if (chosen := fields.object("toolChoice")) is not None:
        if (named := chosen.object("tool")) is not None:
            choice = ir.ToolChoice("named", (named.text("name", None),))
        elif chosen.has("any"):
            choice = ir.ToolChoice("required")
        elif chosen.has("auto"):
            choice = ir.ToolChoice("auto")
        chosen.ignore("auto", "any")
        chosen.finish()
    fields.finish()
    return tuple(tools), choice


def _output(fields: Fields | None) -> ir.Output | None:
    """The schema is JSON text inside a string."""
    if fields is None:
        return None
    structure = fields.object("structure")
    schema = structure.object("jsonSchema") if structure is not None else None
    if fields.text("type", None) != "json_schema" or schema is None:
        fields.fail("type", "must be json_schema, with structure.jsonSchema")
    text = schema.text("schema", None)
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        schema.fail("schema", "must be the text of a JSON object")
    output = ir.Output("json_schema", text.encode(), schema.text("name"), schema.text("description"))
    schema.finish()
    fields.finish()
    return output


_SHOW = {"summarized": True, "omitted": False}


def _reasoning(thinking: Fields | None, effort: str) -> ir.Reasoning | None:
    """Claude's ``thinking`` and Bedrock's ``effort``. Adaptive thinking with an effort is just that effort."""
    if thinking is None:
        return ir.Reasoning(effort=effort) if effort else None
    kind = thinking.text("type", None)
    show = _SHOW.get(thinking.text("display"))
    if kind == "adaptive":
        reasoning = ir.Reasoning(None if effort else True, effort, show=show)
    elif kind == "enabled":
        reasoning = ir.Reasoning(True, effort, thinking.integer("budget_tokens"), show)
    elif kind == "disabled":
        reasoning = ir.Reasoning(False, effort, show=show)
    else:
        thinking.fail("type", "must be one of adaptive, enabled, disabled")
    thinking.finish()
    return reasoning
