"""The IR → Converse requests (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.bedrock.content import Blocks, Refuse, render_cache_point
from llmedge.dialects.bedrock.request import SCALARS, STOP_SEQUENCE
from llmedge.dialects.fitting.thinking import cannot_think, is_signed, room_for, sampled_beside
from llmedge.dialects.rendering import RenderContext, ignore
from llmedge.dialects.scalars import TOOL, render_scalars

_encode = msgspec.json.Encoder().encode
_SERVICE_TIERS = ("priority", "default", "flex", "reserved")
_EFFORTS = {"minimal": "low"}
"""Bedrock knows low, medium, high, xhigh and max. What it does not know it refuses itself."""
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Tokens of thought for an effort, where a model has budgets only; Google's published scale
(ai.google.dev/gemini-api/docs/openai), and Anthropic's advice not to go over 32k without batching."""


def render(request: ir.Request, model: str, context: RenderContext, *, quirks: frozenset[str]) -> bytes:
    """The body; model and streaming are in the URL. Quirks it knows:

    - ``claude``: the model is Anthropic's although its name (of an application inference profile, say) hides it;
    - ``thinking_budget``: it has no adaptive thinking (Claude before 4.6): efforts are said as budgets.

    :raises Unsupported: a field cannot be said.
    """
    claude = "anthropic." in model or "claude" in quirks
    payload: dict[str, Any] = {}
    system, messages = _messages(request.messages, context, claude)
    payload["messages"] = messages
    if system:
        payload["system"] = system
    inference: dict[str, Any] = {}
    render_scalars(request, SCALARS, inference)
    if request.top_p == 1:
        del inference["topP"]  # which Claude takes or the temperature
    if tools := _tools(request, context):
        payload["toolConfig"] = tools
    additional: dict[str, Any] = {}
    output: dict[str, Any] = {}
    if request.output is not None:
        output["textFormat"] = _output(request.output)
    if claude:
        if request.reasoning is not None:
            thinking, effort = _thinking(request.reasoning, "thinking_budget" in quirks, request.max_tokens)
            if why := cannot_think(request, thinking["type"]) if thinking else "max_tokens leaves no room for it":
                context.unsupported("reasoning", why)
            else:
                additional["thinking"] = thinking
            if effort:
                output["effort"] = effort
        if request.top_k is not None:
            additional["top_k"] = request.top_k
        if additional.get("thinking", {"type": "disabled"})["type"] != "disabled":
            _beside_thinking(inference, additional, context)
        if request.stop:
            payload["additionalModelResponseFieldPaths"] = [STOP_SEQUENCE]
    if inference:
        payload["inferenceConfig"] = inference
    if additional:
        payload["additionalModelRequestFields"] = additional
    if output:
        payload["outputConfig"] = output
    if request.metadata:
        payload["requestMetadata"] = dict(request.metadata)
    if request.service_tier in _SERVICE_TIERS:
        payload["serviceTier"] = {"type": request.service_tier}
    elif request.service_tier:
        context.unsupported("service_tier", f"it has {', '.join(_SERVICE_TIERS)}")
    return _encode(payload)


def _messages(
    messages: tuple[ir.Message, ...], context: RenderContext, claude: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``system`` and ``messages``. Bedrock wants user and assistant to take turns; tool results are the user's.

    :param claude: the model takes back thoughts that it signed; others take none
        (github.com/can1357/oh-my-pi/pull/9086, github.com/maximhq/bifrost/pull/6942).
    """
    system: list[dict[str, Any]] = []
    out: list[dict[str, Any]] = []
    blocks = Blocks()
    for message in messages:
        refuse = partial(context.unsupported, at=message.at)
        role = {"tool": "user", "developer": "system"}.get(message.role, message.role)
        if role == "system" and not out:
            system += [block for part in message.parts for block in _system(part, blocks, refuse)]
            continue
        if not out or out[-1]["role"] != role:
            out.append({"role": role, "content": []})
        for part in message.parts:
            if isinstance(part, ir.Thinking) and not (claude and is_signed(part)):
                refuse("Thinking")
            else:
                out[-1]["content"] += blocks.render(part, refuse)
    return system, [each for each in out if each["content"]] or out  # Bedrock refuses an empty one


def _system(part: ir.Part, blocks: Blocks, refuse: Refuse) -> list[dict[str, Any]]:
    if not isinstance(part, ir.Text):
        refuse(type(part).__name__, "not in the system prompt")
        return []
    if part.citations:
        refuse("Text.citations")
    return blocks.render(ir.Text(part.text, cache=part.cache), refuse)


def _tools(request: ir.Request, context: RenderContext) -> dict[str, Any]:
    choice, offered = request.tool_choice, request.tools
    mode = choice.mode if choice is not None else "auto"
    if mode == "none":
        return {}  # what is not offered is not called
    tools: list[dict[str, Any]] = []
    for tool in offered:
        spec: dict[str, Any] = {"name": tool.name}
        render_scalars(tool, TOOL, spec)
        spec["inputSchema"] = {"json": msgspec.Raw(tool.schema)}
        tools.append({"toolSpec": spec})
        if tool.cache:
            tools += render_cache_point(tool.cache, context.unsupported)
    out: dict[str, Any] = {"tools": tools} if tools else {}
    if choice is None:
        return out
    names = choice.names
    if mode == "named":
        out["toolChoice"] = {"tool": {"name": names[0]}}
    elif names:
        context.unsupported("tool_choice")
    else:
        out["toolChoice"] = {"any": {}} if mode == "required" else {"auto": {}}
    return out


def _output(output: ir.Output) -> dict[str, Any]:
    """Bedrock always holds the model to the schema: ``strict`` needs no saying."""
    ignore(output, "strict")
    schema: dict[str, Any] = {"schema": output.schema.decode()}
    render_scalars(output, {"name": "name", "description": "description"}, schema)
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def _beside_thinking(inference: dict[str, Any], additional: dict[str, Any], context: RenderContext) -> None:
    """Take away what Claude takes only while it does not think."""
    for name, fields, theirs in (
        ("temperature", inference, "temperature"),
        ("top_p", inference, "topP"),
        ("top_k", additional, "top_k"),
    ):
        if theirs in fields and not sampled_beside(name, fields[theirs]):
            del fields[theirs]
            context.unsupported(name, "not while it thinks")


def _thinking(reasoning: ir.Reasoning, budgets: bool, max_tokens: int | None) -> tuple[dict[str, Any], str]:
    """Claude's ``thinking``, empty where there is no room for it, and Bedrock's ``effort``
    (docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html).

    :param budgets: the model thinks by budgets only.
    """
    effort, budget = _EFFORTS.get(reasoning.effort, reasoning.effort), reasoning.budget
    if reasoning.enabled is False or budget == 0 or effort == "none":
        return {"type": "disabled"}, "" if effort == "none" else effort
    if budgets and (budget is None or budget < 0):
        budget, effort = _BUDGETS.get(reasoning.effort, _BUDGETS["medium"]), ""
    thinking: dict[str, Any] = {"type": "adaptive"}
    if budget is not None and budget > 0:
        if not (room := room_for(budget, max_tokens, None, 0)):
            return {}, effort
        thinking = {"type": "enabled", "budget_tokens": room}
    if reasoning.show is not None:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    return thinking, effort
