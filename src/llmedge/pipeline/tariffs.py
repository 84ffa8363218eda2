"""What a model costs: rates for each kind of token, and for what else is paid by. Pure, and in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import gcd
from typing import Any

import attrs
import msgspec

from llmedge.model import Usage
from llmedge.money import MILLION, nearest, picos

Known = Mapping[str, Decimal | None]
"""Prices by name, in USD for a million tokens, characters or milliseconds of sound, for one picture, or one request."""


@attrs.frozen
class Rates:
    """Picos for ``per`` of each, ``None`` where not known; ``request``: for one request.

    :ivar audio_ms: for ``per`` milliseconds of sound; ``least_ms``: as much is paid for a shorter one.
    :ivar most_read: picos of one token that is read, at most, whatever its kind; ``most_said``: of one that is written.
    :ivar most_of_each: those, and of a request; ``None`` where one of them is not known.
    """

    input: int | None
    output: int | None
    cached: int | None
    cache_write: int | None
    cache_write_1h: int | None
    audio_input: int | None
    audio_output: int | None
    reasoning: int | None
    image_input: int | None = None
    image_output: int | None = None
    audio_ms: int | None = None
    characters: int | None = None
    images: int | None = None
    request: int = 0
    least_ms: int = 0
    per: int = MILLION
    most_read: int | None = attrs.field(init=False)
    most_said: int | None = attrs.field(init=False)
    most_of_each: tuple[int, int, int] | None = attrs.field(init=False)

    @most_read.default
    def _dearest_read(self) -> int | None:
        return self._dearest(
            self.input, self.cached, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input
        )

    @most_said.default
    def _dearest_said(self) -> int | None:
        return self._dearest(self.output, self.reasoning, self.audio_output, self.image_output)

    @most_of_each.default
    def _all_known(self) -> tuple[int, int, int] | None:
        read, said = self.most_read, self.most_said
        return None if read is None or said is None else (read, said, self.request)

    def _dearest(self, *rates: int | None) -> int | None:
        """Of those that are known, in picos for one, rounded up."""
        dearest = max((rate for rate in rates if rate is not None), default=None)
        return None if dearest is None else -(-dearest // self.per)

    def total(self, usage: Usage) -> int | None:
        """Picos, exact but for the last; ``None`` if something was used that has no price."""
        read, said, sum = usage.input, usage.output, 0
        if usage.cached or usage.cache_write or usage.cache_write_1h or usage.audio_input or usage.image_input:
            parts = _sum(
                (usage.cached, self.cached),
                (usage.cache_write - usage.cache_write_1h, self.cache_write),
                (usage.cache_write_1h, self.cache_write_1h),
                (usage.audio_input, self.audio_input),
                (usage.image_input, self.image_input),
            )
            if parts is None:
                return None
            read, sum = read - parts[0], parts[1]
        if usage.reasoning or usage.audio_output or usage.image_output:
            parts = _sum(
                (usage.reasoning, self.reasoning),
                (usage.audio_output, self.audio_output),
                (usage.image_output, self.image_output),
            )
            if parts is None:
                return None
            said, sum = said - parts[0], sum + parts[1]
        if read > 0:  # below: a vendor whose parts are more than the whole
            if self.input is None:
                return None
            sum += self.input * read
        if said > 0:
            if self.output is None:
                return None
            sum += self.output * said
        if usage.audio_ms or usage.characters or usage.images:
            besides = self._besides(usage)
            if besides is None:
                return None
            sum += besides
        return nearest(sum, self.per) + self.request

    def most(self, usage: Usage) -> int | None:
        """Picos, at most, of ``usage``, of which ``input`` and ``output`` are read: each token as the dearest of its
        kind, and what else it is paid by on top; ``None`` where nothing of it has a price."""
        read, said, besides = self.most_read, self.most_said, None
        if usage.audio_ms or usage.characters or usage.images:
            besides = self._besides(msgspec.structs.replace(usage, input=0, output=0))
        if (read is None and usage.input) or (said is None and usage.output):
            return None if besides is None else nearest(besides, self.per) + self.request
        return usage.input * (read or 0) + usage.output * (said or 0) + nearest(besides or 0, self.per) + self.request

    def _besides(self, usage: Usage) -> int | None:
        """What is not counted in tokens, in parts of ``per``; ``None`` where it alone is told, and has no price."""
        sum, known = 0, bool(usage.input or usage.output or self.request)
        for count, rate in (
            (max(usage.audio_ms, self.least_ms) if usage.audio_ms else 0, self.audio_ms),
            (usage.characters, self.characters),
            (usage.images, self.images),
        ):
            if count and rate is not None:
                sum += rate * count
                known = True
        return sum if known else None


def _sum(*parts: tuple[int, int | None]) -> tuple[int, int] | None:
    """How many the ``parts`` are together, and what they cost, each given with its rate; ``None``: one of
    them has none."""
    counted = sum = 0
    for count, rate in parts:
        if count > 0:
            if rate is None:
                return None
            counted += count
            sum += rate * count
    return counted, sum


def rates(known: Known) -> Rates:
    """Rates with what is not said filled in: the parts of the input as input, those of the output as output."""

    def first(*names: str) -> int | None:
        return next((picos(price) for name in names if (price := known.get(name)) is not None), None)

    def each(name: str) -> int | None:
        price = known.get(name)
        return None if price is None else picos(price)

    image = each("image")
    million = {
        "input": first("input"),
        "output": first("output"),
        "cached": first("cached", "input"),
        "cache_write": first("cache_write", "input"),
        "cache_write_1h": first("cache_write_1h", "cache_write", "input"),
        "audio_input": first("audio_input", "input"),
        "audio_output": first("audio_output", "output"),
        "reasoning": first("reasoning", "output"),
        "image_input": first("image_input", "input"),
        "image_output": first("image_output", "output"),
        "audio_ms": each("audio_ms"),
        "characters": each("characters"),
        "images": None if image is None else image * MILLION,
    }
    common = gcd(MILLION, *(rate for rate in million.values() if rate is not None))  # small numbers are quicker to add
    least: dict[str, Any] = {name: None if rate is None else rate // common for name, rate in million.items()}
    return Rates(**least, request=each("request") or 0, per=MILLION // common)


@attrs.frozen
class Tariff:
    """The rates of one model. ``tiers``: (input tokens above which, rates for all tokens), the highest first."""

    tiers: tuple[tuple[int, Rates], ...]
    constraint: Any = None
    """When it holds, as genai-prices has it: from a date on, or at certain hours; ``None`` for always."""
    flat: int | None = attrs.field(init=False)
    """Picos of a request that costs the same whatever it uses, or nothing; else ``None``."""

    @flat.default
    def _flat(self) -> int | None:
        rates = self.tiers[-1][1]
        used = (rates.input, rates.output, rates.audio_ms, rates.characters, rates.images)
        return None if any(used) else rates.request

    def total(self, usage: Usage) -> int | None:
        """Picos; ``None`` where something was used that has no price."""
        for above, at in self.tiers:
            if usage.input > above:
                return at.total(usage)
        return self.tiers[-1][1].total(usage)

    def most(self, usage: Usage) -> int | None:
        """Picos, at most; see :meth:`Rates.most`."""
        if len(self.tiers) == 1:
            return self.tiers[0][1].most(usage)
        totals = [at.most(usage) for above, at in self.tiers if usage.input > above or above == 0]
        return None if None in totals else max((total for total in totals if total is not None), default=None)


Tariffs = tuple[Tariff, ...]
"""Of one model: the last one in force holds."""


def flat(**prices: str) -> Tariffs:
    """The same always and whatever the length: by what :data:`Known` has."""
    return (Tariff(((0, rates({name: Decimal(price) for name, price in prices.items()})),)),)
