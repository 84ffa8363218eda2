"""``budgets`` of a key, and of what it belongs to: what may be spent in a time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from llmedge.config import kinds
from llmedge.config.option import option

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MOST = Decimal(1_000_000_000)


def _usd(value: Any) -> Decimal:
    try:
        if isinstance(value, bool):
            raise TypeError
        amount = Decimal(str(value) if isinstance(value, float) else value)  # as it is written: 0.1 is a tenth
        if 0 <= amount <= _MOST and amount == amount.quantize(Decimal("1e-12")):
            return amount
    except (TypeError, ValueError, InvalidOperation):
        pass
    raise ValueError("must be USD, a number from 0 to 1000000000 with 12 decimals at most")


USD = kinds.simple("USD", _usd, {"type": ["number", "string"], "minimum": 0, "maximum": int(_MOST)})


def _period(value: Any) -> str:
    if value not in ("day", "week", "month", "total") and not re.fullmatch(r"[1-9]\d{0,3}d", str(value)):
        raise ValueError('must be "day", "week", "month", "total" or a number of days such as "30d"')
    return str(value)


PERIOD = kinds.simple(
    '"day", "week", "month", "total" or days such as "30d"',
    _period,
    {"type": "string", "pattern": r"^(day|week|month|total|[1-9]\d{0,3}d)$"},
)


def _zone(value: Any) -> str:
    try:
        ZoneInfo(str(value))
    except Exception:  # ZoneInfo raises what the file system does, too
        raise ValueError('must be a time zone such as "Europe/Amsterdam"') from None
    return str(value)


ZONE = kinds.simple("time zone of the IANA's list", _zone, kinds.string.schema)


def _date(value: Any) -> str:
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()[:10]
    except (TypeError, ValueError):
        raise ValueError('must be a day such as "2026-01-31"') from None


DATE = kinds.simple("day such as 2026-01-31", _date, {"type": "string", "format": "date"})


def _shares(value: Any) -> tuple[float, ...]:
    numbers = isinstance(value, list) and all(
        isinstance(each, int | float) and not isinstance(each, bool) and 0 < each < 1 for each in value
    )
    if not numbers:
        raise ValueError("must be a list of shares between 0 and 1, such as [0.5, 0.8]")
    return tuple(sorted(set(map(float, value))))


SHARES = kinds.simple(
    "list of shares between 0 and 1",
    _shares,
    {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
)


def _name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", str(value)):
        raise ValueError("must be 1 to 64 letters, digits, '_', '.' and '-'")
    return str(value)


NAME = kinds.simple("name", _name, {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})


def are_for(patterns: Iterable[str], model: str) -> bool:
    """Whether one of ``patterns`` means ``model``, by its own name or as one of a provider's (``PROVIDER/MODEL``)."""
    names = {model, model.partition("/")[2] or model}
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


@attrs.frozen
class Budget:
    """What may be spent."""

    amount: Decimal = option(USD, Decimal(0), "USD in each period.")
    period: str = option(PERIOD, "month", "How long it is for.")
    time_zone: str = option(ZONE, "UTC", "Where days begin.")
    week_starts: str = option(kinds.choice(*DAYS), "monday", "Where weeks begin.")
    starts: str = option(DATE, "1970-01-01", "Where periods of days are counted from.")
    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models it is for, by whatever provider.")
    on_breach: str = option(
        kinds.choice("block", "warn"), "block", "Refuse what would go beyond it, or let it pass and say so."
    )
    soft: tuple[float, ...] = option(SHARES, (0.5, 0.8, 0.95), "Shares of it at which somebody is told.")
    unpriced: str = option(kinds.choice("refuse", "allow"), "refuse", "What becomes of calls whose price is not known.")
    name: str = option(
        NAME, "", "What it is known by among its owner's; default: by its period, its models, and whether it blocks."
    )

    @property
    def handle(self) -> str:
        """What it is known by, whatever is before and behind it and however much its amount is changed."""
        if self.name:
            return self.name
        models = "" if self.models == ("*",) else f"-{sha256(repr(sorted(self.models)).encode()).hexdigest()[:8]}"
        return f"{self.period}{models}{'-warn' if self.on_breach == 'warn' else ''}"


def handles(budgets: Iterable[Budget]) -> dict[str, Budget]:
    """Each by its own handle among its owner's. Of two that differ in their amount only the first keeps it."""
    found: dict[str, Budget] = {}
    for each in budgets:
        handle, number = each.handle, 2
        while handle in found:
            handle, number = f"{each.handle}.{number}", number + 1
        found[handle] = each
    return found
