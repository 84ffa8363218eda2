"""What a call costs: prices from the configuration, else the vendor's own sum, else its list prices, times what was
used. An unknown model has no price: none is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from llmedge.config.catalogue import VENDORS
from llmedge.config.sections.prices import Price
from llmedge.model import Clock, InThread, Target, Usage
from llmedge.pipeline.list_prices import Catalogue, load_catalogue
from llmedge.pipeline.tariffs import Known, Rates, Tariff, Tariffs, flat, rates

log = Logger()

_REMEMBERED = 4096
"""Looked-up models kept: a caller can ask for any name behind ``PROVIDER/``."""
FREE = "free"
"""The price name of a vendor that nobody pays."""
_FREE = flat(**dict.fromkeys(("input", "output", "characters", "audio_ms", "image", "request"), "0"))
_NO_TIERS: Mapping[str, Decimal] = {}


@attrs.frozen
class _Found:
    """What is known of a target's price.

    :ivar vendor: and ``model``: where its list prices are, for its tiers.
    :ivar own: configured, so that it goes before the vendor's own sum; ``tiers``: by how much a tier multiplies it.
    :ivar seeks: its name is no model's that has a price: the one that its answers tell may be.
    :ivar plain: the rates, where it is paid by the token, at all times and for all lengths the same.
    """

    tariffs: Tariffs | None
    vendor: str
    model: str
    own: bool = False
    tiers: Mapping[str, Decimal] = _NO_TIERS
    seeks: bool = False
    plain: Rates | None = attrs.field(init=False)

    @plain.default
    def _only_rates(self) -> Rates | None:
        if self.tariffs is None or len(self.tariffs) > 1:
            return None
        (tariff,) = self.tariffs
        rates = tariff.tiers[0][1]
        return rates if len(tariff.tiers) == 1 and tariff.flat is None and rates.most_of_each is not None else None


class Prices:
    """Prices of one configuration.

    :param configured: by target or pattern of targets; they go before list prices.
    :param vendors: provider's name → price name of its vendor, ``""`` for one that has no list prices.
    :ivar catalogue: the list prices, once they are read.
    :ivar listed: there are list prices, or there will be. ``seeks``: :meth:`seeks_model` is true of a target that was
        priced.
    """

    def __init__(
        self, configured: Mapping[str, Price], vendors: Mapping[str, str], clock: Clock, in_thread: InThread
    ) -> None:
        self._exact = {name: price for name, price in configured.items() if not _is_pattern(name)}
        self._patterns = [(name, price) for name, price in configured.items() if _is_pattern(name)]
        self._patterns.sort(key=lambda item: -len(item[0]))  # as for models: the longest pattern says most
        self._vendors = vendors
        self._clock = clock
        self._in_thread = in_thread
        self._found: dict[tuple[str, str], _Found] = {}
        paid = any(name not in ("", FREE) for name in vendors.values())
        self.listed = paid or any(price.price_as for price in configured.values())
        self.catalogue: Catalogue | None = None if self.listed else Catalogue(())
        self._warming = False
        self.seeks = False

    def warm(self) -> None:
        """Begin to read the list prices, if they may be needed."""
        if self.catalogue is None and not self._warming:
            self._warming = True
            Deferred.fromCoroutine(self.ready())

    async def ready(self) -> None:
        """Wait until :meth:`price` knows all it can."""
        if self.catalogue is not None:
            return
        try:
            self.catalogue = await self._in_thread(load_catalogue)
        except Exception:
            log.failure("the list prices cannot be read; only configured prices count")
            self.catalogue = Catalogue(())

    def price(self, target: Target, usage: Usage | None) -> int | None:
        """What ``usage`` of ``target`` costs, in picos; ``None`` if nobody knows. Microseconds.

        :param usage: ``None``: nobody can tell what was used; a request may have a price all the same.
        """
        found = self._found.get((target.provider, target.model)) or self._look_up(target)
        if usage is None:
            return None if found.tariffs is None else self._now(found.tariffs).flat
        if usage.cost is not None and not found.own:
            return usage.cost
        if usage.tier:
            return self._in_tier(found, usage)
        if found.plain is not None:
            return found.plain.total(usage)
        return None if found.tariffs is None else self._now(found.tariffs).total(usage)

    def lasting(self, target: Target) -> tuple[int, int, int] | None:
        """Picos, at most, of a token of ``target`` that is read, one that is written, and a request; ``None`` where it
        is paid otherwise, or an answer may show that its price is another."""
        found = self._look_up(target)
        return None if found.seeks or found.plain is None else found.plain.most_of_each

    def most_of_text(self, target: Target, read: int, said: int, tier: str) -> tuple[int, int] | None:
        """Picos that ``read`` tokens of ``target`` cost at most, and ``said`` ones that are written after these;
        ``None`` if nobody knows.

        :param tier: that is asked for.
        """
        used = Usage(read, said, tier=tier)
        if (whole := self.most(target, used)) is None:
            return None
        fixed = self.most(target, msgspec.structs.replace(used, output=0)) or 0
        return fixed, whole - fixed

    def most(self, target: Target, usage: Usage) -> int | None:
        """Picos that a call of ``target`` costs at most, if it uses no more than ``usage``; ``None`` if nobody knows.

        :param usage: ``input`` and ``output``, and the ``tier`` that is asked for.
        """
        found = self._found.get((target.provider, target.model)) or self._look_up(target)
        if found.tariffs is None:
            return None
        now = self._now(found.tariffs)
        if now.flat is not None:
            return now.flat
        most = now.most(usage)
        if not usage.tier or most is None:
            return most
        tiered = self._in_tier(found, usage)
        usual = now.total(msgspec.structs.replace(usage, tier=""))
        return None if tiered is None or not usual else max(most, -(-most * tiered // usual))

    def seeks_model(self, target: Target) -> bool:
        """Whether :meth:`learn` would help: a deployment has a name of one's own, and its vendor list prices."""
        return self._look_up(target).seeks

    def learn(self, target: Target, model: str) -> None:
        """An answer of ``target``, which seeks its model, says that ``model`` wrote it."""
        found = self._look_up(target)
        if found.model != model and self.catalogue is not None:
            tariffs = self._listed(found.vendor, model)
            self._found[target.provider, target.model] = attrs.evolve(found, tariffs=tariffs, model=model)

    def _look_up(self, target: Target) -> _Found:
        key = (target.provider, target.model)
        found = self._found.get(key)
        if found is None:
            found = self._find(*key)
            if self.catalogue is not None:
                if len(self._found) >= _REMEMBERED:
                    self._found.clear()
                self._found[key] = found
        return found

    def _find(self, provider: str, model: str) -> _Found:
        if (price := self._configured(f"{provider}/{model}")) is None:
            vendor = self._vendors.get(provider, "")
            tariffs = self._listed(vendor, model)
            seeks = bool(vendor) and tariffs is None
            self.seeks = self.seeks or seeks
            return _Found(tariffs, vendor, model, seeks=seeks)
        if not price.price_as:
            return _Found(_own(price), "", "", own=True, tiers=price.tiers)
        provider, _, like = price.price_as.partition("/")
        model = model if like == "*" else like
        other = self._configured(f"{provider}/{model}")
        if other is not None and not other.price_as:
            return _Found(_own(other), "", "", own=True, tiers=other.tiers)
        vendor = self._vendors.get(provider) or (VENDORS[provider].price_name if provider in VENDORS else "")
        return _Found(self._listed(vendor, model), vendor, model)

    def _configured(self, target: str) -> Price | None:
        if (price := self._exact.get(target)) is not None:
            return price
        return next((price for pattern, price in self._patterns if fnmatchcase(target, pattern)), None)

    def _listed(self, vendor: str, model: str) -> Tariffs | None:
        if vendor == FREE:
            return _FREE
        return None if self.catalogue is None else self.catalogue.find(vendor, model)

    def _in_tier(self, found: _Found, usage: Usage) -> int | None:
        """What a tier costs; ``None`` where that is not known: the usual price would be wrong."""
        if found.own:
            factor, total = found.tiers.get(usage.tier), self._now(found.tariffs or ()).total(usage)
            return None if factor is None or total is None else int(total * factor + Decimal("0.5"))
        if self.catalogue is None:
            return None
        tariff = self.catalogue.find_in_tier(found.vendor, found.model, usage.tier, self._clock.seconds())
        return None if tariff is None else tariff.total(usage)

    def _now(self, tariffs: Tariffs) -> Tariff:
        """The last one in force; the first one if none is, as genai-prices has it."""
        if len(tariffs) > 1:
            now = datetime.fromtimestamp(self._clock.seconds(), UTC)
            for tariff in reversed(tariffs):
                if tariff.constraint is None or tariff.constraint.active(now):
                    return tariff
        return tariffs[0]


def _is_pattern(name: str) -> bool:
    return any(char in name for char in "*?[")


def _own(price: Price) -> Tariffs:
    """A price of the configuration."""
    known: Known = {name: each for name, each in attrs.asdict(price).items() if isinstance(each, Decimal)}
    minute = price.audio_minute
    sound: Known = {} if minute is None else {"audio_ms": minute / Decimal("0.06")}
    return (Tariff(((0, rates({**known, **sound})),)),)
