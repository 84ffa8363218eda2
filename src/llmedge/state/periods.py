"""When a budget's period began and when it ends: computed from the time, so that no reset can be missed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from llmedge.config.sections.budgets import DAYS, Budget

NEVER = 2.0**32
"""Seconds since 1970 at which ``total`` ends: in 2106."""


@lru_cache(4096)
def _around(budget: Budget, local: date) -> tuple[float, float]:
    first, last = _days(budget, local)
    zone = ZoneInfo(budget.time_zone)
    return _midnight(first, zone), _midnight(last, zone)


def _midnight(day: date, zone: ZoneInfo) -> float:
    """Where no clock shows it, because it is put forward then, the moment at which it is."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp()


def _days(budget: Budget, day: date) -> tuple[date, date]:
    match budget.period:
        case "day":
            return day, day + timedelta(1)
        case "week":
            first = day - timedelta((day.weekday() - DAYS.index(budget.week_starts)) % 7)
            return first, first + timedelta(7)
        case "month":
            first = day.replace(day=1)
            return first, (first + timedelta(31)).replace(day=1)
        case _:
            length = int(budget.period[:-1])
            start = date.fromisoformat(budget.starts)
            first = start + timedelta((day - start).days // length * length)
            return first, first + timedelta(length)


def period(budget: Budget, at: float) -> tuple[float, float]:
    """The seconds since 1970 at which the period that ``at`` is in began, and at which it ends."""
    if budget.period == "total":
        return 0.0, NEVER
    return _around(budget, datetime.fromtimestamp(at, ZoneInfo(budget.time_zone)).date())
