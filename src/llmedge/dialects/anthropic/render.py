"""The form → Messages requests (platform.claude.com/docs/en/api/messages/create)."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from llmedge.dialects import form
from llmedge.dialects.anthropic.content import Blocks
from llmedge.dialects.effort import BUDGETS, budget_of, effort_of
from llmedge.dialects.rendering import Saying, ignore

_encode = msgspec.json.Encoder().encode

DEFAULT_MAX_TOKENS = 4096
"""Of an answer, where the client sets no limit: the API demands one, and every model can write this many.
Thinking counts towards the limit and is added to it."""

MIN_BUDGET = 1024
"""The least the API takes for ``budget_tokens``; it has to stay below ``max_tokens``."""
_COUNTED = ("model", "system", "messages", "tools", "tool_choice", "thinking", "output_config")


def render(request: form.Request, model: str, saying: Saying, *, stream: bool, quirks: frozenset[str]) -> bytes:
    """The body for a vendor. Quirks it knows:

    - ``system_messages``: the model takes messages of role ``system`` anywhere (Claude Opus 4.8 and later);
    - ``adaptive_thinking``: the model decides how much it thinks and refuses budgets (Claude Opus 4.7 and later);
    - ``no_sampling``: ``temperature``, ``top_p`` and ``top_k`` are refused (those models, and API version 2026-10-21).

    :raises Unsupported: a field cannot be said.
    """
    say = _body(request, model, saying, quirks)
    if stream:
        say["stream"] = True
    return _encode(say)


def render_count(request: form.Request, model: str, saying: Saying, *, quirks: frozenset[str]) -> bytes:
    """The body for ``/v1/messages/count_tokens``: what of a request is read.

    :raises Unsupported: a field cannot be said.
    """
    say = _body(request, model, saying, quirks)
    return _encode({name: say[name] for name in _COUNTED if name in say})


def _body(request: form.Request, model: str, saying: Saying, quirks: frozenset[str]) -> dict[str, Any]:
    thinking, config, room = _reasoning(request, saying, quirks)
    if thinking is not None and (why := _cannot_think(request, thinking["type"])):
        saying.cannot("reasoning", why)
        thinking, room = None, 0
    if request.output is not None and (output := _output(request.output, saying)) is not None:
        config["format"] = output
    say: dict[str, Any] = {"model": model}
    say["max_tokens"] = DEFAULT_MAX_TOKENS + room if request.max_tokens is None else request.max_tokens
    system, say["messages"] = _messages(request.messages, saying, "system_messages" in quirks)
    if system:
        say["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    if request.tools:
        say["tools"] = [_tool(tool) for tool in request.tools]
    if (choice := _tool_choice(request, saying)) is not None:
        say["tool_choice"] = choice
    if thinking is not None:
        say["thinking"] = thinking
    if config:
        say["output_config"] = config
    if request.stop:
        say["stop_sequences"] = list(request.stop)
    thinks = thinking is not None and thinking["type"] != "disabled"
    for name, least in (("temperature", 1.0), ("top_p", 0.95), ("top_k", math.inf)):
        value = getattr(request, name)
        if value is None or (name == "top_p" and value == 1):  # which is the default: newer models refuse it
            continue
        if "no_sampling" in quirks:
            saying.cannot(name)
        elif thinks and value < least:
            saying.cannot(name, "not while it thinks")
        elif name == "temperature" and not 0 <= value <= 1:
            saying.cannot(name, "it goes from 0 to 1 there")
        else:
            say[name] = value
    if request.user:
        say["metadata"] = {"user_id": request.user}
    if request.service_tier == "default":
        say["service_tier"] = "standard_only"
    elif request.service_tier:
        saying.cannot("service_tier")
    return say


# Messages


def _messages(
    messages: tuple[form.Message, ...], saying: Saying, anywhere: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``system``, and ``messages``."""
    system: list[dict[str, Any]] = []
    out: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the tool message just before
    for message in messages:
        blocks = Blocks(message, saying)
        if message.role in ("system", "developer"):
            said = blocks.system()
            if out and anywhere:
                out.append({"role": "system", "content": _short(said)})
            else:
                if out:
                    saying.cannot(message.at, "a system message in the middle of the conversation")
                system += said
                continue  # tool results and what the user says still belong together
        elif message.role == "tool":
            results = blocks.results()
            out.append({"role": "user", "content": results})
            continue
        elif message.role == "user":
            said = blocks.user()
            if results is not None and said:
                results += said  # in one message, results first
            else:
                out.append({"role": "user", "content": _short(said)})
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


def _tool(tool: form.Tool) -> dict[str, Any]:
    out: dict[str, Any] = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    # A schema is required, and so is its type.
    out["input_schema"] = msgspec.Raw(b'{"type":"object"}' if tool.schema in (b"", b"{}") else tool.schema)
    if tool.strict is not None:
        out["strict"] = tool.strict
    if tool.cache:
        out["cache_control"] = {"type": "ephemeral"} | ({"ttl": tool.cache} if tool.cache != "5m" else {})
    return out


_MODES = {"auto": "auto", "required": "any", "named": "tool", "none": "none"}


def _tool_choice(request: form.Request, saying: Saying) -> dict[str, Any] | None:
    choice = request.tool_choice
    alone = request.parallel_tools is False
    if not request.tools and (choice is None or choice.mode in ("auto", "none")):
        return None  # the API refuses a choice among no tools, and it says nothing
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    out: dict[str, Any] = {"type": _MODES[choice.mode]}
    if choice.mode == "named":
        out["name"] = choice.names[0]
    if alone and choice.mode != "none":
        out["disable_parallel_tool_use"] = True
    return out


def _output(output: form.Output, saying: Saying) -> dict[str, Any] | None:
    """``output_config.format``. Its name is a label nobody reads, and every schema is strict."""
    if output.kind == "json" or not output.schema:
        saying.cannot("output", "JSON without a schema")
        return None
    ignore(output, "name", "strict")
    return {"type": "json_schema", "schema": msgspec.Raw(output.schema)}


def _cannot_think(request: form.Request, kind: str) -> str:
    """Why there can be no thought
    (platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use); ``""``: it can.
    """
    if kind == "disabled":
        return ""
    if request.tools and request.tool_choice is not None and request.tool_choice.mode in ("required", "named"):
        return "not where a tool has to be called"
    if kind == "enabled" and request.messages and request.messages[-1].role == "tool":
        turn = next((each for each in reversed(request.messages) if each.role == "assistant"), None)
        if turn is not None and not any(isinstance(part, form.Thinking) and part.signature for part in turn.parts):
            return "a tool's result follows a call without its signed thought"
    return ""


def _reasoning(
    request: form.Request, saying: Saying, quirks: frozenset[str]
) -> tuple[dict[str, Any] | None, dict[str, Any], int]:
    """``thinking``, ``output_config``, and the tokens to leave for thoughts.

    An effort alone becomes a budget on the published scale; beside ``thinking`` it is said as it is. A budget is kept
    within what the API takes.
    """
    said = request.reasoning
    if said is None or (said.budget is None and not effort_of(said)):
        return None, {}, 0
    config: dict[str, Any] = {}
    if said.enabled is False or said.budget == 0 or said.effort == "none":
        if said.effort not in ("", "none"):
            config["effort"] = said.effort
        return {"type": "disabled"}, config, 0
    budget = said.budget
    if budget is None:
        budget = budget_of(effort_of(said))
    elif said.effort:
        config["effort"] = said.effort
    thinking: dict[str, Any] = {"type": "adaptive"}
    if "adaptive_thinking" in quirks or budget is None or budget < 0:
        effort = said.effort or (effort_of(said) if budget is None or budget > 0 else "")
        if effort:
            config["effort"] = "low" if effort == "minimal" else effort
        room = budget_of(effort) or BUDGETS["high"]
    else:
        room = max(budget, MIN_BUDGET)
        if request.max_tokens is not None and room >= request.max_tokens:
            room = request.max_tokens - 1
        if room < MIN_BUDGET:
            saying.cannot("reasoning", f"max_tokens leaves less than {MIN_BUDGET} tokens for it")
            return None, config, 0
        thinking = {"type": "enabled", "budget_tokens": room}
    if said.show is not None:
        thinking["display"] = "summarized" if said.show else "omitted"
    return thinking, config, room
