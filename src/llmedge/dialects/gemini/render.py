"""The IR → generateContent requests (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.gemini.parts import render_contents, render_part
from llmedge.dialects.gemini.request import SCALARS, TIERS
from llmedge.dialects.rendering import RenderContext, ignore
from llmedge.dialects.scalars import render_scalars

_encode = msgspec.json.Encoder().encode

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Google's scale for its OpenAI-compatible API (ai.google.dev/gemini-api/docs/openai)."""

_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
_SIGNS = re.compile(r"gemini-[3-9]")
_WITH_BUDGETS = re.compile(r"gemini-(1|2)\b")
_TIERS = {ours: theirs for theirs, ours in TIERS.items() if ours} | {"flex": "flex", "priority": "priority"}


def render(request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str]) -> bytes:
    """The body for a vendor; the model and whether it streams stand in the URL.

    Quirks it knows: ``no_call_ids`` (calls of functions and their responses go without ``id``), ``thinking_budget``
    (thinking is measured in tokens, as Gemini 2.5 has it; models named ``gemini-2…`` have it anyway).

    :raises Unsupported: a field cannot be said.
    """
    return _encode(render_fields(request, model, context, quirks))


def render_fields(
    request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The same, before it is JSON."""
    payload: dict[str, Any] = {}
    if instruction := _instruction(request, context):
        payload["systemInstruction"] = {"parts": instruction}
    payload["contents"] = render_contents(
        request.messages, context, ids="no_call_ids" not in quirks, signed=_SIGNS.search(model) is not None
    )
    if request.tools:
        payload["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
    if calling := _calling(request):
        payload["toolConfig"] = {"functionCallingConfig": calling}
    config: dict[str, Any] = {}
    render_scalars(request, SCALARS, config)
    if request.output is not None:
        config["responseMimeType"] = "application/json"
        if request.output.schema:
            config["responseJsonSchema"] = msgspec.Raw(request.output.schema)
        ignore(request.output, "name", "strict")
    if request.reasoning is not None and (thinking := _thinking(request.reasoning, model, context, quirks)):
        config["thinkingConfig"] = thinking
    if config:
        payload["generationConfig"] = config
    if request.metadata:
        payload["labels"] = dict(request.metadata)
    if request.service_tier:
        if request.service_tier in _TIERS:
            payload["serviceTier"] = _TIERS[request.service_tier]
        else:
            context.unsupported("service_tier")
    if "no_store" not in quirks and request.store is not None:
        payload["store"] = request.store
    return payload


def _instruction(request: ir.Request, context: RenderContext) -> list[dict[str, Any]]:
    """What is said before the conversation."""
    return [
        out
        for message in request.messages
        if message.role in ("system", "developer")
        for part in message.parts
        for out in render_part(part, message, context)
    ]


def _tool(tool: ir.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.schema:
        function["parametersJsonSchema"] = msgspec.Raw(tool.schema)
    return function


def _calling(request: ir.Request) -> dict[str, Any]:
    """``ANY`` and ``VALIDATED`` keep arguments to their schemas, so ``strict`` needs no more than a mode."""
    choice = request.tool_choice
    strict = any(tool.strict for tool in request.tools)
    if choice is None or choice.mode == "auto":
        names = () if choice is None else choice.names
        if not strict and not names:
            return {} if choice is None else {"mode": "AUTO"}
        mode = "VALIDATED"  # AUTO takes no names
    else:
        mode, names = ("NONE" if choice.mode == "none" else "ANY"), choice.names
    return {"mode": mode, "allowedFunctionNames": list(names)} if names else {"mode": mode}


def _thinking(reasoning: ir.Reasoning, model: str, context: RenderContext, quirks: frozenset[str]) -> dict[str, Any]:
    """Gemini takes one of ``thinkingLevel`` (from 3 on) and ``thinkingBudget``."""
    thinking: dict[str, Any] = {}
    effort, budget = reasoning.effort, reasoning.budget
    budgets = "thinking_budget" in quirks or _WITH_BUDGETS.search(model) is not None
    if reasoning.enabled is False or effort == "none" or budget == 0:
        thinking["thinkingBudget"] = 0
    elif effort and not (budget is not None and budgets):
        if budgets and effort in _BUDGETS:
            thinking["thinkingBudget"] = _BUDGETS[effort]
        elif not budgets and effort in _LEVELS:
            thinking["thinkingLevel"] = effort.upper()
        else:
            context.unsupported("reasoning", f"an effort of '{effort}'")
    elif budget is not None:
        thinking["thinkingBudget"] = budget
    elif reasoning.enabled:
        thinking["thinkingBudget"] = -1
    if reasoning.show is not None:
        thinking["includeThoughts"] = reasoning.show
    return thinking
