"""What a model costs: rates for each kind of token, and for what else is paid by. Pure, and in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
import msgspec

from llmedge.model import Usage
from llmedge.money import MILLION, of_millionths, picos

Known = Mapping[str, Decimal | None]
"""Prices by name, in USD for a million tokens, characters or milliseconds of sound, for one picture, or one request."""


@attrs.frozen
class Rates:
    """Picos for a million of each, ``None`` where not known; ``request``: for one request.

    :ivar audio_ms: for a million milliseconds of sound; ``least_ms``: as much is paid for a shorter one.
    :ivar images: for a million pictures.
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
    _most_read: int | None = attrs.field(init=False)
    _most_said: int | None = attrs.field(init=False)

    @_most_read.default
    def _dearest_read(self) -> int | None:
        kinds = (self.input, self.cached, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)
        return max((rate for rate in kinds if rate is not None), default=None)

    @_most_said.default
    def _dearest_said(self) -> int | None:
        kinds = (self.output, self.reasoning, self.audio_output, self.image_output)
        return max((rate for rate in kinds if rate is not None), default=None)

    def total(self, usage: Usage) -> int | None:
        """Picos, exact but for the last; ``None`` if something was used that has no price."""
        read, said, millionths = usage.input, usage.output, 0
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
            read, millionths = read - parts[0], parts[1]
        if usage.reasoning or usage.audio_output or usage.image_output:
            parts = _sum(
                (usage.reasoning, self.reasoning),
                (usage.audio_output, self.audio_output),
                (usage.image_output, self.image_output),
            )
            if parts is None:
                return None
            said, millionths = said - parts[0], millionths + parts[1]
        if read > 0:  # below: a vendor whose parts are more than the whole
            if self.input is None:
                return None
            millionths += self.input * read
        if said > 0:
            if self.output is None:
                return None
            millionths += self.output * said
        if usage.audio_ms or usage.characters or usage.images:
            besides = self._besides(usage)
            if besides is None:
                return None
            millionths += besides
        return of_millionths(millionths) + self.request

    def most_of_text(self, read: int, said: int) -> tuple[int, int]:
        """Picos, at most, of so many tokens that are read, and of those with so many that are written, too; where both
        have a price."""
        assert self._most_read is not None and self._most_said is not None  # noqa: PT018 - it is asked for each call
        of_read = read * self._most_read + MILLION // 2
        return of_read // MILLION + self.request, (of_read + said * self._most_said) // MILLION + self.request

    @property
    def by_token(self) -> bool:
        """Whether what is read and what is written both have a price."""
        return self._most_read is not None and self._most_said is not None

    def most(self, usage: Usage) -> int | None:
        """Picos, at most, of ``usage``, of which ``input`` and ``output`` are read: each token as the dearest of its
        kind, and what else it is paid by on top; ``None`` where nothing of it has a price."""
        read, said, besides = self._most_read, self._most_said, None
        if usage.audio_ms or usage.characters or usage.images:
            besides = self._besides(msgspec.structs.replace(usage, input=0, output=0))
        if (read is None and usage.input) or (said is None and usage.output):
            return None if besides is None else of_millionths(besides) + self.request
        tokens = usage.input * (read or 0) + usage.output * (said or 0)
        return of_millionths(tokens + (besides or 0)) + self.request

    def _besides(self, usage: Usage) -> int | None:
        """What is not counted in tokens, in millionths; ``None`` where it alone is told, and has no price."""
        millionths, known = 0, bool(usage.input or usage.output or self.request)
        for count, rate in (
            (max(usage.audio_ms, self.least_ms) if usage.audio_ms else 0, self.audio_ms),
            (usage.characters, self.characters),
            (usage.images, self.images),
        ):
            if count and rate is not None:
                millionths += rate * count
                known = True
        return millionths if known else None


def _sum(*parts: tuple[int, int | None]) -> tuple[int, int] | None:
    """How many the ``parts`` are together, and their cost in millionths, each given with its rate; ``None``: one of
    them has none."""
    counted = millionths = 0
    for count, rate in parts:
        if count > 0:
            if rate is None:
                return None
            counted += count
            millionths += rate * count
    return counted, millionths


def rates(known: Known) -> Rates:
    """Rates with what is not said filled in: the parts of the input as input, those of the output as output."""

    def first(*names: str) -> int | None:
        return next((picos(price) for name in names if (price := known.get(name)) is not None), None)

    def each(name: str) -> int | None:
        price = known.get(name)
        return None if price is None else picos(price)

    image = each("image")
    return Rates(
        first("input"),
        first("output"),
        first("cached", "input"),
        first("cache_write", "input"),
        first("cache_write_1h", "cache_write", "input"),
        first("audio_input", "input"),
        first("audio_output", "output"),
        first("reasoning", "output"),
        first("image_input", "input"),
        first("image_output", "output"),
        each("audio_ms"),
        each("characters"),
        None if image is None else image * MILLION,
        each("request") or 0,
    )


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
