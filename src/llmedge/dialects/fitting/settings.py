"""Settings within what a vendor and its model take."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from llmedge.config.limits import Limits
from llmedge.dialects import ir
from llmedge.dialects.fitting.thinking import fit_thinking
from llmedge.dialects.rendering import RenderContext

_PENALTIES = ("presence_penalty", "frequency_penalty")
_SAMPLING = ("temperature", "top_p", "top_k", *_PENALTIES)
_USUAL = {"temperature": 1, "top_p": 1, "top_k": None, "presence_penalty": 0, "frequency_penalty": 0}
"""How models sample anyway."""


def fit_settings(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """Quirks it knows: ``no_sampling``, ``no_penalties``, ``one_sampling``, ``greedy_alone``, ``no_blank_text``,
    ``no_stop`` and those of :func:`~llmedge.dialects.fitting.thinking.fit_thinking`.

    :raises Unsupported: one cannot be said, and may not be left out.
    """
    limits = context.limits
    assert limits is not None
    changed: dict[str, Any] = {}
    if request.reasoning is not None:
        changed["reasoning"] = fit_thinking(request.reasoning, context, quirks)
    if request.max_tokens is not None:
        changed["max_tokens"] = _max_tokens(request.max_tokens, context, limits)
    if request.user and not _is_plain(request.user, limits):
        changed["user"] = hashlib.sha256(request.user.encode(errors="replace")).hexdigest()[: limits.user or None]
    _sampling(request, context, quirks, limits, changed)
    _counts(request, context, limits, changed)
    if request.metadata and limits.metadata is not None:
        changed["metadata"] = _metadata(request.metadata, context, limits.metadata)
    if request.stop:
        changed["stop"] = _told(request, limits, quirks)
        if "no_blank_text" in quirks and any(stop and stop.isspace() for stop in request.stop):
            context.approximated("stop", "not of white space")
    return ir.replace(request, **changed) if changed else request


def _max_tokens(tokens: int, context: RenderContext, limits: Limits) -> int | None:
    """Within what the model can write: to ask for more asks for no more. Nobody answers with nothing."""
    most = context.capabilities.max_output
    if tokens < 1:
        context.unsupported("max_tokens", "at least 1")
        return None
    if tokens < limits.max_tokens:
        context.approximated("max_tokens", f"at least {limits.max_tokens} there")
        return limits.max_tokens
    return tokens if most is None else min(tokens, most)


def _is_plain(user: str, limits: Limits) -> bool:
    if not limits.user and len(user) >= limits.user_least:
        return True
    return limits.user_least <= len(user) <= limits.user and user.isascii() and user.isprintable()


def _sampling(
    request: ir.Request, context: RenderContext, quirks: frozenset[str], limits: Limits, changed: dict[str, Any]
) -> None:
    for name in _SAMPLING:
        value = getattr(request, name)
        if value is None:
            continue
        least, most = getattr(limits, name)
        if "no_sampling" in quirks or (name in _PENALTIES and "no_penalties" in quirks):
            changed[name] = None
            if value != _USUAL[name]:
                context.unsupported(name, "it is not taken")
        elif value < least and name == "top_k":
            changed[name] = None  # which says that there is no limit
            context.approximated(name, "it is not limited")
        elif not least <= value <= most:
            changed[name] = least if value < least else most
            context.approximated(name, f"it goes from {least:g} to {most:g} there")
    temperature, top_p = (changed.get(name, getattr(request, name)) for name in ("temperature", "top_p"))
    if top_p is None:
        return
    if "one_sampling" in quirks and (temperature is not None or top_p == 1):
        changed["top_p"] = None
        if top_p != 1:
            context.unsupported("top_p", "it takes this or temperature")
    elif "greedy_alone" in quirks and temperature == 0 and top_p != 1:
        changed["top_p"] = None
        context.approximated("top_p", "of no effect at a temperature of 0")


def _counts(request: ir.Request, context: RenderContext, limits: Limits, changed: dict[str, Any]) -> None:
    if request.n is not None and limits.n and request.n > limits.n:
        context.unsupported("n", f"at most {limits.n}")
        changed["n"] = limits.n
    least, most = limits.seed
    if request.seed is not None and not least <= request.seed <= most:
        changed["seed"] = request.seed % (most + 1)  # the same for the same
        context.approximated("seed", f"it goes from {least} to {most} there")
    if request.top_logprobs is not None and request.top_logprobs > limits.top_logprobs:
        changed["top_logprobs"] = limits.top_logprobs
        context.approximated("top_logprobs", f"at most {limits.top_logprobs}")


def _metadata(
    metadata: tuple[tuple[str, str], ...], context: RenderContext, limits: tuple[int, str, str]
) -> tuple[tuple[str, str], ...]:
    """The pairs that the vendor takes."""
    most, of_key, of_value = limits
    fit = tuple(each for each in metadata if re.fullmatch(of_key, each[0]) and re.fullmatch(of_value, each[1]))[:most]
    if len(fit) < len(metadata):
        context.approximated("metadata", f"{most} pairs there, of {of_key} and {of_value}")
    return fit


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
