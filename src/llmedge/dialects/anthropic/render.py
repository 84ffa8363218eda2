"""The IR → Messages requests (platform.claude.com/docs/en/api/messages/create)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic.content import Blocks
from llmedge.dialects.effort import BUDGETS, budget_of, effort_of
from llmedge.dialects.fitting.thinking import MIN_BUDGET, cannot_think, room_for, sampled_beside
from llmedge.dialects.rendering import RenderContext, ignore
from llmedge.dialects.scalars import TOOL, render_scalars

_encode = msgspec.json.Encoder().encode

DEFAULT_MAX_TOKENS = 4096
"""Of an answer, where the client sets no limit: the API demands one, and every model can write this many.
Thinking counts towards the limit and is added to it."""

_COUNTED = ("model", "system", "messages", "tools", "tool_choice", "thinking", "output_config")


def render(request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]) -> bytes:
    """The body for a vendor. Quirks it knows:

    - ``system_messages``: the model takes messages of role ``system`` anywhere (Claude Opus 4.8 and later);
    - ``adaptive_thinking``: the model decides how much it thinks and refuses budgets (Claude Opus 4.7 and later).

    :raises Unsupported: a field cannot be said.
    """
    payload = _body(request, model, context, quirks)
    if stream:
        payload["stream"] = True
    return _encode(payload)


def render_count(request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str]) -> bytes:
    """The body for ``/v1/messages/count_tokens``: what of a request is read.

    :raises Unsupported: a field cannot be said.
    """
    payload = _body(request, model, context, quirks)
    return _encode({name: payload[name] for name in _COUNTED if name in payload})


def _body(request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str]) -> dict[str, Any]:
    thinking, config, room = _reasoning(request, context, quirks)
    if thinking is not None and (why := cannot_think(request, thinking["type"])):
        context.unsupported("reasoning", why)
        thinking, room = None, 0
    if request.output is not None:
        config["format"] = {"type": "json_schema", "schema": msgspec.Raw(request.output.schema)}
        ignore(request.output, "name", "strict")
    payload: dict[str, Any] = {"model": model}
    most = context.capabilities.max_output or DEFAULT_MAX_TOKENS + room
    payload["max_tokens"] = request.max_tokens or min(DEFAULT_MAX_TOKENS + room, most)
    system, payload["messages"] = _messages(request.messages, context)
    if system:
        payload["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    if request.tools:
        payload["tools"] = [_tool(tool) for tool in request.tools]
    if (choice := _tool_choice(request)) is not None:
        payload["tool_choice"] = choice
    if thinking is not None:
        payload["thinking"] = thinking
    if config:
        payload["output_config"] = config
    if request.stop:
        payload["stop_sequences"] = list(request.stop)
    thinks = thinking is not None and thinking["type"] != "disabled"
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is None or (name == "top_p" and value == 1):  # which is the default: newer models refuse it
            continue
        if thinks and not sampled_beside(name, value):
            context.unsupported(name, "not while it thinks")
        else:
            payload[name] = value
    if request.user:
        payload["metadata"] = {"user_id": request.user}
    if request.service_tier == "default":
        payload["service_tier"] = "standard_only"
    elif request.service_tier:
        context.unsupported("service_tier")
    return payload


# Messages


def _messages(
    messages: tuple[ir.Message, ...], context: RenderContext
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``system``, and ``messages``."""
    system: list[dict[str, Any]] = []
    out: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the tool message just before
    for message in messages:
        blocks = Blocks(message, context)
        if message.role in ("system", "developer"):
            rendered = blocks.system()
            if not out:
                system += rendered
                continue
            out.append({"role": "system", "content": _short(rendered)})
        elif message.role == "tool":
            results = blocks.results()
            out.append({"role": "user", "content": results})
            continue
        elif message.role == "user":
            rendered = blocks.user()
            if results is not None and rendered:
                results += rendered  # in one message, results first
            else:
                out.append({"role": "user", "content": _short(rendered)})
        else:
            out.append({"role": "assistant", "content": _short(blocks.assistant())})
        results = None
    return system, [each for each in out if each["content"]] or out  # the API refuses an empty one


def _short(blocks: list[dict[str, Any]]) -> Any:
    """A single text without marks can be said as a string, and nothing as an empty one."""
    if not blocks:
        return ""
    if len(blocks) == 1 and blocks[0]["type"] == "text" and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return blocks


# Settings


def _tool(tool: ir.Tool) -> dict[str, Any]:
    out: dict[str, Any] = {"name": tool.name}
    render_scalars(tool, TOOL, out)
    out["input_schema"] = msgspec.Raw(tool.schema)
    if tool.cache:
        out["cache_control"] = {"type": "ephemeral"} | ({"ttl": tool.cache} if tool.cache != "5m" else {})
    return out


_MODES = {"auto": "auto", "required": "any", "named": "tool", "none": "none"}


def _tool_choice(request: ir.Request) -> dict[str, Any] | None:
    choice = request.tool_choice
    alone = request.parallel_tools is False
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    out: dict[str, Any] = {"type": _MODES[choice.mode]}
    if choice.mode == "named":
        out["name"] = choice.names[0]
    if alone and choice.mode != "none":
        out["disable_parallel_tool_use"] = True
    return out


def _reasoning(
    request: ir.Request, context: RenderContext, quirks: frozenset[str]
) -> tuple[dict[str, Any] | None, dict[str, Any], int]:
    """``thinking``, ``output_config``, and the tokens to leave for thoughts.

    An effort alone becomes a budget on the published scale; beside ``thinking`` it is said as it is. A budget is kept
    within what the API takes.
    """
    reasoning = request.reasoning
    if reasoning is None or (reasoning.budget is None and not effort_of(reasoning)):
        return None, {}, 0
    config: dict[str, Any] = {}
    if reasoning.enabled is False or reasoning.budget == 0 or reasoning.effort == "none":
        if reasoning.effort not in ("", "none"):
            config["effort"] = reasoning.effort
        return {"type": "disabled"}, config, 0
    budget = reasoning.budget
    if budget is None:
        budget = budget_of(effort_of(reasoning))
    elif reasoning.effort:
        config["effort"] = reasoning.effort
    thinking: dict[str, Any] = {"type": "adaptive"}
    if "adaptive_thinking" in quirks or budget is None or budget < 0:
        effort = reasoning.effort or (effort_of(reasoning) if budget is None or budget > 0 else "")
        if effort:
            config["effort"] = "low" if effort == "minimal" else effort
        room = budget_of(effort) or BUDGETS["high"]
    else:
        room = room_for(budget, request.max_tokens, context.capabilities.max_output, DEFAULT_MAX_TOKENS)
        if not room:
            context.unsupported("reasoning", f"max_tokens leaves less than {MIN_BUDGET} tokens for it")
            return None, config, 0
        thinking = {"type": "enabled", "budget_tokens": room}
    if reasoning.show is not None:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    return thinking, config, room
