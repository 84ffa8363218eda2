"""What a call costs: prices from the configuration, else the vendor's list prices, times its tokens.

List prices are the data that genai-prices carries (github.com/pydantic/genai-prices); nothing is ever fetched. An
unknown model has no price: none is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from llmedge.config.sections.prices import Price
from llmedge.model import Clock, InThread, Target, Usage

log = Logger()

_REMEMBERED = 4096
"""Looked-up models kept: a caller can ask for any name behind ``PROVIDER/``."""


@attrs.frozen
class Rates:
    """USD per million tokens, ``None`` where not known; ``request`` is USD per request."""

    input: Decimal | None
    output: Decimal | None
    cached: Decimal | None
    cache_write: Decimal | None
    cache_write_1h: Decimal | None
    audio_input: Decimal | None
    audio_output: Decimal | None
    reasoning: Decimal | None
    request: Decimal = Decimal(0)

    def total(self, usage: Usage) -> Decimal | None:
        """USD, exact; ``None`` if there are tokens of a kind that has no price."""
        written = usage.cache_write - usage.cache_write_1h
        read = usage.input - usage.cached - usage.cache_write - usage.audio_input
        said = usage.output - usage.reasoning - usage.audio_output
        micros = Decimal(0)
        for count, rate in (
            (read, self.input),
            (usage.cached, self.cached),
            (written, self.cache_write),
            (usage.cache_write_1h, self.cache_write_1h),
            (usage.audio_input, self.audio_input),
            (said, self.output),
            (usage.reasoning, self.reasoning),
            (usage.audio_output, self.audio_output),
        ):
            if count > 0:  # below: a vendor whose parts are more than the whole
                if rate is None:
                    return None
                micros += rate * count
        return micros.scaleb(-6) + self.request


def rates(of: Mapping[str, Decimal | None]) -> Rates:
    """Rates with what is not said filled in: the parts of the input as input, those of the output as output."""

    def first(*names: str) -> Decimal | None:
        return next((price for name in names if (price := of.get(name)) is not None), None)

    return Rates(
        first("input"),
        first("output"),
        first("cached", "input"),
        first("cache_write", "input"),
        first("cache_write_1h", "cache_write", "input"),
        first("audio_input", "input"),
        first("audio_output", "output"),
        first("reasoning", "output"),
        (of.get("request") or Decimal(0)) / 1000,
    )


@attrs.frozen
class Tariff:
    """The rates of one model. ``tiers``: (input tokens above which, rates for all tokens), the highest first."""

    tiers: tuple[tuple[int, Rates], ...]
    constraint: Any = None
    """When it holds, as genai-prices has it: from a date on, or at certain hours; ``None`` for always."""

    def total(self, usage: Usage) -> Decimal | None:
        for above, at in self.tiers:
            if usage.input > above:
                return at.total(usage)
        return self.tiers[-1][1].total(usage)


Tariffs = tuple[Tariff, ...]

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
    "request": "requests_kcount",
}


def _flat(**prices: str) -> Tariffs:
    return (Tariff(((0, rates({name: Decimal(price) for name, price in prices.items()})),)),)


_CORRECTED = {
    # The hours' discount ended, and the price changed, on 2025-09-05 (api-docs.deepseek.com/quick_start/pricing).
    ("deepseek", "deepseek-chat"): _flat(input="0.28", cached="0.028", output="0.42"),
    ("deepseek", "deepseek-reasoner"): _flat(input="0.28", cached="0.028", output="0.42"),
    # Audio would be taken for text (platform.openai.com/docs/pricing).
    ("openai", "gpt-4o-audio-preview"): _flat(input="2.5", output="10", audio_input="40", audio_output="80"),
    ("openai", "gpt-4o-mini-audio-preview"): _flat(input="0.15", output="0.6", audio_input="10", audio_output="20"),
}
"""Where genai-prices' data is plainly wrong, by its ids of vendor and model."""


class Catalogue:
    """The list prices, read out of genai-prices' providers."""

    def __init__(self, providers: Iterable[Any]) -> None:
        self._providers = list(providers)
        self._by_id = {provider.id: provider for provider in self._providers}

    def find(self, vendor: str, model: str) -> Tariffs | None:
        """What ``model`` costs at ``vendor``, a price name as the catalogue's."""
        if vendor.endswith("*"):
            model, _, behind = model.rpartition(":")
            vendor = vendor.removesuffix("*") + behind
        provider = self._by_id.get(vendor)
        if provider is None:
            return None
        found = provider.find_model(model, all_providers=self._providers)
        if found is None:
            return None
        if (corrected := _CORRECTED.get((vendor, found.id))) is not None:
            return corrected
        choices = found.prices if isinstance(found.prices, list) else [found]
        tariffs = tuple(_tariff(choice.prices, getattr(choice, "constraint", None)) for choice in choices)
        if not any(vars(choice.prices) for choice in choices):
            return _flat(input="0", output="0") if model.endswith(":free") else None
        return tariffs


def _tariff(prices: Any, constraint: Any) -> Tariff:
    found = {name: getattr(prices, key) for name, key in _KEYS.items()}
    starts = {tier.start for price in found.values() for tier in getattr(price, "tiers", ())}
    tiers = [
        (above, rates({name: _at(price, above) for name, price in found.items()})) for above in sorted(starts | {0})
    ]
    return Tariff(tuple(reversed(tiers)), constraint)


def _at(price: Any, above: int) -> Decimal | None:
    """``price`` for calls with more than ``above`` input tokens."""
    reached = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= above]
    found: Decimal | None = reached[-1] if reached else getattr(price, "base", price)
    return found


@cache
def load_catalogue() -> Catalogue:
    """Takes 0.3 s and 13 MB, most of it for pydantic and httpx2: for a thread, once there is need."""
    from genai_prices.data import providers

    return Catalogue(providers)


class Prices:
    """Prices of one configuration.

    :param configured: by target or pattern of targets; they go before list prices.
    :param vendors: provider's name → price name of its vendor, ``""`` for one that has no list prices.
    :ivar catalogue: the list prices, once there was need of them.
    """

    def __init__(
        self, configured: Mapping[str, Price], vendors: Mapping[str, str], clock: Clock, in_thread: InThread
    ) -> None:
        self._exact: dict[str, Tariffs] = {}
        self._patterns: list[tuple[str, Tariffs]] = []
        for name, price in configured.items():
            tariffs = (Tariff(((0, rates(attrs.asdict(price))),)),)
            if any(char in name for char in "*?["):
                self._patterns.append((name, tariffs))
            else:
                self._exact[name] = tariffs
        self._patterns.sort(key=lambda item: -len(item[0]))  # as for models: the longest pattern says most
        self._vendors = vendors
        self._clock = clock
        self._in_thread = in_thread
        self._found: dict[tuple[str, str, str], Tariffs | None] = {}
        self.catalogue: Catalogue | None = None if any(vendors.values()) else Catalogue(())
        self._warming = False

    def warm(self) -> None:
        """Begin to load what there will be need of. At the first call, not at the start: what nobody asks costs no
        memory, and the vendor takes longer to answer than this to load."""
        if not self._warming:
            self._warming = True
            Deferred.fromCoroutine(self.ready())

    async def ready(self) -> None:
        """Wait until :meth:`cost` knows all it can."""
        if self.catalogue is not None:
            return
        try:
            self.catalogue = await self._in_thread(load_catalogue)
        except Exception:
            log.failure("the list prices cannot be read; only configured prices count")
            self.catalogue = Catalogue(())

    def price(self, target: Target, usage: Usage) -> Decimal | None:
        """What ``usage`` of ``target`` costs, in USD."""
        return self.cost(self._vendors.get(target.provider, ""), target.provider, target.model, usage)

    def cost(self, vendor: str, provider: str, model: str, usage: Usage) -> Decimal | None:
        """USD, or ``None`` if nobody knows. Microseconds, but for a model's first time.

        :param vendor: a price name, ``""`` for one without list prices.
        """
        key = (vendor, provider, model)
        try:
            tariffs = self._found[key]
        except KeyError:
            tariffs = self._find(vendor, f"{provider}/{model}", model)
            if self.catalogue is not None:
                if len(self._found) >= _REMEMBERED:
                    self._found.clear()
                self._found[key] = tariffs
        if tariffs is None:
            return None
        return (tariffs[0] if len(tariffs) == 1 else self._now(tariffs)).total(usage)

    def _find(self, vendor: str, target: str, model: str) -> Tariffs | None:
        if (tariffs := self._exact.get(target)) is not None:
            return tariffs
        for pattern, tariffs in self._patterns:
            if fnmatchcase(target, pattern):
                return tariffs
        return self.catalogue.find(vendor, model) if self.catalogue is not None else None

    def _now(self, tariffs: Tariffs) -> Tariff:
        """The last one in force; the first one if none is, as genai-prices has it."""
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        for tariff in reversed(tariffs):
            if tariff.constraint is None or tariff.constraint.active(now):
                return tariff
        return tariffs[0]
