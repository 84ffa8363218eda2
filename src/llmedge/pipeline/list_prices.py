"""Vendors' list prices: the data that genai-prices carries (github.com/pydantic/genai-prices), read into our rates.
Nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import attrs

from llmedge.pipeline.tariffs import Rates, Tariff, Tariffs, flat, rates

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
    "characters": "input_mchars",
}
"""Ours → genai-prices' names. Those of sound and of requests are for other amounts."""

_CORRECTED = {
    # The hours' discount ended, and the price changed, on 2025-09-05 (api-docs.deepseek.com/quick_start/pricing).
    ("deepseek", "deepseek-chat"): flat(input="0.28", cached="0.028", output="0.42"),
    ("deepseek", "deepseek-reasoner"): flat(input="0.28", cached="0.028", output="0.42"),
    # Audio would be taken for text (platform.openai.com/docs/pricing).
    ("openai", "gpt-4o-audio-preview"): flat(input="2.5", output="10", audio_input="40", audio_output="80"),
    ("openai", "gpt-4o-mini-audio-preview"): flat(input="0.15", output="0.6", audio_input="10", audio_output="20"),
    # Free of charge (platform.openai.com/docs/guides/moderation).
    ("openai", "moderation"): flat(input="0", output="0", request="0"),
}
"""Where genai-prices' data is plainly wrong, or missing, by its ids of vendor and model."""

_LEAST_MS = {"groq": 10_000}
"""What is paid for a shorter recording (console.groq.com/docs/speech-to-text)."""

_VARIANTS = {"openrouter": ("free", "floor", "nitro", "online", "exacto", "extended", "beta", "thinking")}
"""How a vendor marks the ways to be served behind a model's name (openrouter.ai/docs/guides/routing/model-variants).
What a search of ``:online`` costs is not in the price of tokens."""


class Catalogue:
    """The list prices, read out of genai-prices' providers."""

    def __init__(self, providers: Iterable[Any]) -> None:
        self._providers = list(providers)
        self._by_id = {provider.id: provider for provider in self._providers}

    def find(self, vendor: str, model: str) -> Tariffs | None:
        """What ``model`` costs at ``vendor``, a price name as the catalogue's."""
        provider, found = self._model(vendor, model)
        if found is None:
            return None
        if (corrected := _CORRECTED.get((provider.id, found.id))) is not None:
            return corrected
        free = model.endswith(":free")
        choices = found.prices if isinstance(found.prices, list) else [found]
        if free or not any(vars(choice.prices) for choice in choices):
            return flat(input="0", output="0") if free else None
        return tuple(_tariff(choice.prices, provider.id, getattr(choice, "constraint", None)) for choice in choices)

    def find_in_tier(self, vendor: str, model: str, tier: str, now: float) -> Tariff | None:
        """The same in a service tier, where its price is listed and in force."""
        return self._in_tier(vendor, model, tier, int(now // 60))

    @lru_cache(256)  # noqa: B019 - there is one, which stays
    def _in_tier(self, vendor: str, model: str, tier: str, minute: int) -> Tariff | None:
        provider, found = self._model(vendor, model)
        if found is None or not any(found is each for each in provider.models):
            return None  # tiers are a vendor's own, where prices may be another's
        now = datetime.fromtimestamp(minute * 60, UTC)
        for context in ({"service_tier": tier}, {"speed": tier}):  # Anthropic's word
            for variant in found.price_variants or ():
                if variant.when == context and (variant.constraint is None or variant.constraint.active(now)):
                    return _tariff(found.get_prices(now, context), provider.id)
        return None

    def _model(self, vendor: str, model: str) -> tuple[Any, Any]:
        """Vendor and model as genai-prices has them; ``None`` for who is not there."""
        if vendor.endswith("*"):
            model, _, behind = model.rpartition(":")
            vendor = vendor.removesuffix("*") + behind
        if (provider := self._by_id.get(vendor)) is None:
            return None, None
        found = provider.find_model(model, all_providers=self._providers)
        base, _, variant = model.rpartition(":")
        if found is None and base and variant in _VARIANTS.get(vendor, ()):
            found = provider.find_model(base, all_providers=self._providers)
        return provider, found


def _tariff(prices: Any, vendor: str, constraint: Any = None) -> Tariff:
    found = {name: getattr(prices, key) for name, key in _KEYS.items()}
    starts = {tier.start for price in found.values() for tier in getattr(price, "tiers", ())}
    besides, least = _besides(prices), _LEAST_MS.get(vendor, 0)

    def above(start: int) -> Rates:
        return attrs.evolve(rates({name: _at(price, start) for name, price in found.items()} | besides), least_ms=least)

    return Tariff(tuple((start, above(start)) for start in sorted(starts | {0}, reverse=True)), constraint)


def _besides(prices: Any) -> dict[str, Decimal | None]:
    """What is listed by the hour of sound that is read, and by a thousand requests."""
    hour = _at(prices.input_audio_hours, 0) or _at(prices.audio_hours, 0)
    thousand = _at(prices.requests_kcount, 0)
    return {
        "audio_ms": None if hour is None else hour / Decimal("3.6"),
        "request": None if thousand is None else thousand / 1000,
    }


def _at(price: Any, above: int) -> Decimal | None:
    """``price`` for calls with more than ``above`` input tokens."""
    reached = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= above]
    found: Decimal | None = reached[-1] if reached else getattr(price, "base", price)
    return found


@cache
def load_catalogue() -> Catalogue:
    """Takes 0.3 s and 13 MB, most of it for pydantic and httpx2: for a thread."""
    from genai_prices.data import providers

    return Catalogue(providers)
