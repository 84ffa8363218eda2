"""generateContent requests → the IR (ai.google.dev/api/generate-content)."""

from __future__ import annotations

from typing import Any

from llmedge.dialects import ir, own_tools
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.gemini.contents import parse_contents, parse_instruction
from llmedge.dialects.gemini.schema import to_json_schema
from llmedge.dialects.gemini.wire import GoogleFields
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

SCALARS = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
FIELD_NAMES = {
    **{ours: f"generationConfig.{theirs}" for ours, theirs in SCALARS.items()},
    "messages": "contents",
    "tool_choice": "toolConfig",
    "output": "generationConfig.responseMimeType",
    "reasoning": "generationConfig.thinkingConfig",
    "reasoning.show": "generationConfig.thinkingConfig.includeThoughts",
    "metadata": "labels",
    "service_tier": "serviceTier",
}

TIERS = {"standard": "default", "unspecified": ""}
"""Google's tiers and OpenAI's; ``flex`` and ``priority`` have the same names."""


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    foreign = Foreign("gemini")
    top = GoogleFields(fields, "", foreign)
    top.ignore("model")
    messages: list[ir.Message] = []
    if (instruction := top.object("systemInstruction")) is not None:
        system = parse_instruction(instruction, foreign)
        if system is not None:
            messages.append(system)
    messages += parse_contents(top.objects("contents"), foreign)
    config = top.object("generationConfig") or GoogleFields({})
    choice, validated = _tool_choice(top.object("toolConfig"))
    tools, own = _tools(top, validated)
    own_tools.leave_out(own, tools, False, foreign)
    labels = top.value("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(each, str) for each in labels.values()):
        top.fail("labels", "must be an object of strings")
    tier = top.text("serviceTier").lower()
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tools),
        tool_choice=choice,
        output=_output(config),
        reasoning=_reasoning(config.object("thinkingConfig")),
        metadata=tuple(labels.items()),
        service_tier=TIERS.get(tier, tier),
        store=top.boolean("store"),
        **parse_scalars(config, SCALARS),
    )
    if config.value("responseModalities") in (["TEXT"], ["text"], []):
        config.ignore("responseModalities")
    else:
        config.unread("responseModalities")
    config.finish()
    top.finish()
    return foreign.placed(request)


def _tools(top: GoogleFields, validated: bool) -> tuple[list[ir.Tool], list[str]]:
    """The functions, and the paths of Google's own tools (``googleSearch``, ``codeExecution`` …)."""
    tools: list[ir.Tool] = []
    own: list[str] = []
    for each in top.objects("tools"):
        kinds = [name for name in each.names() if name != "functionDeclarations" and each.has(name)]
        own += [f"{each.path} ({name})" for name in kinds]
        for function in each.objects("functionDeclarations"):
            schema = function.raw("parametersJsonSchema")
            if not schema and function.has("parameters"):
                schema = to_json_schema(function.raw("parameters"))
            name, description = function.text("name", None), function.text("description")
            tools.append(ir.Tool(name, description, schema, validated or None))
            function.finish()
    return tools, own


def _tool_choice(config: GoogleFields | None) -> tuple[ir.ToolChoice | None, bool]:
    """The choice, and whether arguments must keep to their schemas (``VALIDATED``, the IR's ``strict``)."""
    if config is None:
        return None, False
    calling = config.object("functionCallingConfig")
    config.finish()
    if calling is None:
        return None, False
    mode = calling.text("mode").upper()
    names = calling.texts("allowedFunctionNames")
    calling.finish()
    if mode == "ANY":
        return ir.ToolChoice("named" if len(names) == 1 else "required", names), False
    if mode == "NONE":
        return ir.ToolChoice("none"), False
    if mode in ("AUTO", "VALIDATED"):
        return ir.ToolChoice("auto", names), mode == "VALIDATED"
    if mode not in ("", "MODE_UNSPECIFIED"):
        calling.fail("mode", "must be AUTO, ANY, NONE or VALIDATED")
    return None, False


def _output(config: GoogleFields) -> ir.Output | None:
    media_type = config.text("responseMimeType")
    schema = config.raw("responseJsonSchema")
    if not schema and config.has("responseSchema"):
        schema = to_json_schema(config.raw("responseSchema"))
    if media_type == "application/json":
        return ir.Output("json_schema", schema) if schema else ir.Output("json")
    if media_type not in ("", "text/plain"):
        config.unread("responseMimeType")  # text/x.enum
    elif schema:
        config.fail("responseMimeType", "must be application/json with a schema")
    return None


def _reasoning(thinking: GoogleFields | None) -> ir.Reasoning | None:
    if thinking is None:
        return None
    budget: Any = thinking.integer("thinkingBudget")
    effort = thinking.text("thinkingLevel").lower()
    reasoning = ir.Reasoning(
        enabled=False if budget == 0 else None,
        effort="" if effort == "thinking_level_unspecified" else effort,
        budget=budget or None,
        show=thinking.boolean("includeThoughts"),
    )
    thinking.finish()
    return None if reasoning == ir.Reasoning() else reasoning
