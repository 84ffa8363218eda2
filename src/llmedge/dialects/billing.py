"""What vendors say of the bill besides tokens: the service tier, and their own sum."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from llmedge.dialects import lenient
from llmedge.model import Usage
from llmedge.money import USD, picos

_USUAL = {"", "default", "standard", "auto", "on_demand", "on-demand", "ondemand", "none", "unspecified"}
"""How OpenAI, Anthropic, Groq, Bedrock and Google call the tier that list prices are for."""
_LONGEST = 32
_MOST = 10**6
_SUMS = frozenset({"cost", "estimated_cost", "cost_in_usd_ticks"})


def tier(value: Any) -> str:
    """A service tier as it is in our books; ``""`` for the usual one, and where none is told."""
    if not isinstance(value, str):
        return ""
    word = value[:_LONGEST].lower().removeprefix("service_tier_").removeprefix("on_demand_")  # Vertex's traffic types
    return "" if word in _USUAL else word


def in_tier(usage: Usage | None, told: Any) -> Usage | None:
    """``usage`` in the tier that its answer tells, which stands beside the usage.

    :param told: a text, or JSON of one.
    """
    if usage is None or told is None:
        return usage
    word = tier(lenient.decode(told) if isinstance(told, msgspec.Raw) else told)
    return msgspec.structs.replace(usage, tier=word) if word else usage


def asked_tier(fields: Mapping[str, Any]) -> str:
    """The tier that a request asks for (``service_tier``, in Google's words ``serviceTier``)."""
    raw = fields.get("service_tier") or fields.get("serviceTier")
    return "" if raw is None else tier(lenient.decode(raw))


def told_cost(usage: Mapping[str, Any]) -> int | None:
    """The vendor's own sum in a usage object, in picos; ``None`` where it tells none.

    OpenRouter: ``cost`` (openrouter.ai/docs/guides/guides/usage-accounting; with a key of one's own at its vendor that
    is the fee, and ``cost_details.upstream_inference_cost`` the rest). Perplexity: ``cost.total_cost``. DeepInfra:
    ``estimated_cost``. xAI: ``cost_in_usd_ticks``, 10⁻¹⁰ USD each.
    """
    if _SUMS.isdisjoint(usage):
        return None
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return _picos(cost.get("total_cost"))
    if (sum := _picos(cost)) is not None:
        details = usage.get("cost_details")
        if usage.get("is_byok") is True and isinstance(details, dict):
            sum += _picos(details.get("upstream_inference_cost")) or 0
        return sum
    if (sum := _picos(usage.get("estimated_cost"))) is not None:
        return sum
    ticks = usage.get("cost_in_usd_ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool) and 0 <= ticks <= _MOST * 10**10:
        return ticks * (USD // 10**10)
    return None


def _picos(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return picos(Decimal(repr(value)))
