"""Settings within what a vendor and its model take."""

from __future__ import annotations

import hashlib
from typing import Any

from llmedge.config.limits import Limits
from llmedge.dialects import ir
from llmedge.dialects.fitting.schemas import described
from llmedge.dialects.rendering import RenderContext

_USUAL = {"temperature": 1, "top_p": 1, "top_k": None, "presence_penalty": 0, "frequency_penalty": 0}
"""How models sample anyway."""

_JSON = "Answer with one JSON object and nothing else."


def fit_settings(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """Quirks it knows: ``no_sampling``, ``one_sampling``, ``no_blank_text``, ``no_stop``, ``no_json_object``,
    ``no_schema_description``.

    :raises Unsupported: a hint cannot be said, and may not be left out.
    """
    changed: dict[str, Any] = {}
    limits, capabilities = context.limits, context.capabilities
    assert limits is not None
    most = capabilities.max_output
    if most is not None and request.max_tokens is not None and request.max_tokens > most:
        changed["max_tokens"] = most  # more it cannot write
    if request.reasoning is not None and capabilities.thinking is False:
        changed["reasoning"] = None
        if _wants_thoughts(request.reasoning):
            context.unsupported("reasoning", "this model does not think")
    if limits.user and request.user and not _is_plain(request.user, limits.user):
        changed["user"] = hashlib.sha256(request.user.encode(errors="replace")).hexdigest()[: limits.user]
    _sampling(request, context, quirks, limits, changed)
    output = request.output
    if output is not None and not output.schema and "no_json_object" in quirks:
        context.approximated("output", "JSON without a schema")
        changed["output"] = None
        changed["messages"] = (ir.Message("system", (ir.Text(_JSON),)), *request.messages)
    elif output is not None and output.description and "no_schema_description" in quirks:
        if (schema := described(output)) is None:
            context.unsupported("output.description")
        changed["output"] = ir.replace(output, schema=schema or output.schema, description="")
    if request.stop:
        changed["stop"] = _told(request, limits, quirks)
        if "no_blank_text" in quirks and any(stop and stop.isspace() for stop in request.stop):
            context.approximated("stop", "not of white space")
    return ir.replace(request, **changed) if changed else request


def _wants_thoughts(reasoning: ir.Reasoning) -> bool:
    """Whether it asks for something, and not for no thoughts."""
    off = reasoning.enabled is False or reasoning.budget == 0 or reasoning.effort == "none"
    return not off and reasoning != ir.Reasoning(show=False)


def _is_plain(user: str, longest: int) -> bool:
    return len(user) <= longest and user.isascii() and user.isprintable()


def _sampling(
    request: ir.Request, context: RenderContext, quirks: frozenset[str], limits: Limits, changed: dict[str, Any]
) -> None:
    if "no_sampling" in quirks:
        for name, usual in _USUAL.items():
            value = getattr(request, name)
            if value is not None:
                changed[name] = None
                if value != usual:
                    context.unsupported(name, "this model does not take it")
        return
    if request.temperature is not None and request.temperature > limits.temperature:
        context.approximated("temperature", f"it goes to {limits.temperature:g} there")
        changed["temperature"] = limits.temperature
    if (
        "one_sampling" in quirks
        and request.top_p is not None
        and (request.temperature is not None or request.top_p == 1)
    ):
        changed["top_p"] = None
        if request.top_p != 1:
            context.unsupported("top_p", "it takes this or temperature")


def own_stops(request: ir.Request, limits: Limits, quirks: frozenset[str]) -> tuple[str, ...]:
    """The stop sequences that the vendor cannot be told: the gateway looks for them in the answer."""
    told = _told(request, limits, quirks)
    return tuple(stop for stop in request.stop if stop and stop not in told)


def _told(request: ir.Request, limits: Limits, quirks: frozenset[str]) -> tuple[str, ...]:
    """Those the vendor is told."""
    if "no_stop" in quirks:
        return ()
    blank = "no_blank_text" in quirks
    return tuple(stop for stop in request.stop if stop and not (blank and stop.isspace()))[: limits.stops]
