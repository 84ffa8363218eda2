"""What was spent: the one function that every question about money goes to. Budgets, the admin API, exports and the
command ask it, so they agree to the last digit.

Whole days come from the sums by day. What is left of the first and the last day comes from the rows themselves, or,
where whole hours are asked for and the hours' sums know what is asked by, from those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from llmedge.config.sections.budgets import are_for
from llmedge.store.database import Connection
from llmedge.store.rollups import FIGURES, HITS, HOUR, MONEY, ROLLUPS
from llmedge.store.rows import day_of

DAY = 24 * HOUR
GROUPS = {
    "key": "key_id",
    "team": "team",
    "project": "project",
    "organization": "organization",
    "user": "user_id",
    "model": "model",
    "provider": "provider",
    "day": "day",
    "hour": "hour",
}
"""What spend may be asked by, and the column that has it."""
TIMES = ("day", "hour")
_BOUND = ("team", "project")
_WHOLE = 1_000_000
_SUMS = ", ".join(
    f"SUM({name} / 1000000), SUM({name} % 1000000)" if name in MONEY else f"SUM({name})" for name in FIGURES
)
"""Money in two parts: a sum of 64 bits would hold nine million USD, and not a day more."""
_OF_ROWS = ", ".join(
    {
        "calls": "COUNT(*)",
        "errors": "SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END)",
        "cost": "SUM(COALESCE(cost, 0) / 1000000), SUM(COALESCE(cost, 0) % 1000000)",
        "saved": "SUM(saved / 1000000), SUM(saved % 1000000)",
        "hits": f"SUM(CASE WHEN cache IN ({', '.join(map(repr, HITS))}) THEN 1 ELSE 0 END)",
    }.get(name, f"SUM({name})")
    for name in FIGURES
)


@attrs.frozen
class Question:
    """What is asked.

    :ivar start: microseconds since 1970; ``end`` too, which is not in it.
    :ivar by: names of :data:`GROUPS`.
    :ivar where: only rows whose column, by a name of :data:`GROUPS`, is one of these.
    :ivar models: only models that match one of these patterns; none: all.
    :ivar most: groups that are told; ``None``: all.
    :ivar within: a condition of ours on ``team`` and ``project``, with its parameters: what the asker may see.
    """

    start: int
    end: int
    by: tuple[str, ...] = ()
    where: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    models: tuple[str, ...] = ()
    within: tuple[str, Sequence[str]] = ("", ())
    most: int | None = None


class TooManyGroups(Exception):
    """More than :attr:`Question.most`."""


class Spend(dict[str, Any]):
    """One group: what it is of, by the names asked for, and the figures of the sums, money in picos."""


def spend(connection: Connection, asked: Question) -> list[Spend]:
    """The groups there are, in order; with no ``by`` there is one.

    :raises TooManyGroups: there are. :raises DatabaseError: as the connection does.
    """
    columns = [GROUPS[name] for name in asked.by]
    needed = columns if not asked.models or "model" in columns else [*columns, "model"]
    sums: dict[tuple[Any, ...], list[int]] = {} if columns else {(): [0] * len(FIGURES)}
    columns_needed = {*needed, *(GROUPS[name] for name in asked.where)} | ({*_BOUND} if asked.within[0] else set())
    for table, start, end in _pieces(asked, columns_needed):
        for group, figures in _rows(connection, table, start, end, needed, asked):
            if asked.models and not are_for(asked.models, group[needed.index("model")]):
                continue
            group = group[: len(columns)]
            before = sums.get(group)
            sums[group] = figures if before is None else [a + b for a, b in zip(before, figures, strict=True)]
        if asked.most is not None and len(sums) > asked.most:
            raise TooManyGroups
    return [
        Spend(zip((*asked.by, *FIGURES), (*group, *figures), strict=True)) for group, figures in sorted(sums.items())
    ]


def _pieces(asked: Question, columns: set[str]) -> Iterator[tuple[str, int, int]]:
    """The tables that answer, each with its part of the time."""
    first, last = -(-asked.start // DAY) * DAY, asked.end // DAY * DAY
    if "hour" in columns or first >= last:
        yield from _hours(asked.start, asked.end, columns)
        return
    yield from _hours(asked.start, first, columns)
    yield "rollup_day", first, last
    yield from _hours(last, asked.end, columns)


def _hours(start: int, end: int, columns: set[str]) -> Iterator[tuple[str, int, int]]:
    if start >= end:
        return
    first, last = -(-start // HOUR) * HOUR, end // HOUR * HOUR
    fitting = (table for table in ("rollup_hour_key", "rollup_hour_model") if columns <= {*ROLLUPS[table], "day"})
    table = next(fitting, None)
    if table is None or first >= last:
        yield "ledger", start, end
        return
    if start < first:
        yield "ledger", start, first
    yield table, first, last
    if last < end:
        yield "ledger", last, end


def _rows(
    connection: Connection, table: str, start: int, end: int, columns: Sequence[str], asked: Question
) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
    conditions: list[str] = []
    parameters: list[str] = []
    for name, values in asked.where.items():
        conditions.append(f"{GROUPS[name]} IN ({', '.join('?' * len(values)) or 'NULL'})")
        parameters += values
    if asked.within[0]:
        conditions.append(f"({asked.within[0]})")
        parameters += asked.within[1]
    match table:
        case "rollup_day":
            period, between = "day", [day_of(start), day_of(end)]
        case "ledger":
            period, between = "at", [start, end]
        case _:
            period, between = "hour", [start // HOUR, end // HOUR]
    where = " AND ".join([f"{period} >= ? AND {period} < ?", *conditions])
    chosen = [_time(table, name) for name in columns]
    grouped = f" GROUP BY {', '.join(str(place + 1) for place in range(len(chosen)))}" if chosen else ""
    limit = "" if asked.most is None else f" LIMIT {int(asked.most) + 1}"
    for name in connection.months(start, end) if table == "ledger" else [table]:
        sums = _OF_ROWS if table == "ledger" else _SUMS
        found = connection.query(
            f"SELECT {', '.join([*chosen, sums])} FROM {name} WHERE {where}{grouped}{limit}",  # noqa: S608 - our own names
            [*between, *parameters],
        )
        if asked.most is not None and len(found) > asked.most:
            raise TooManyGroups
        for row in found:
            yield _group(columns, row), _figures(row[len(columns) :])


def _time(table: str, column: str) -> str:
    """How ``table`` says the day or the hour, in numbers that :func:`_group` reads; other columns as they are."""
    if column not in ("day", "hour") or column in ROLLUPS.get(table, ()):
        return column
    size = DAY if column == "day" else HOUR
    return f"at / {size}" if table == "ledger" else f"hour / {size // HOUR}"


def _group(columns: Iterable[str], row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        day_of(value * DAY) if column == "day" and value < 10_000_000 else value
        for column, value in zip(columns, row, strict=False)
    )


def _figures(row: Sequence[Any]) -> list[int]:
    values = iter([int(value or 0) for value in row])
    return [next(values) * _WHOLE + next(values) if name in MONEY else next(values) for name in FIGURES]
