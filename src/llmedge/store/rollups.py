"""The ledger's sums: a day by everything that spend is asked by, an hour by key and by model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmedge.store.database import Connection
from llmedge.store.rows import Row, day_of

FIGURES = (
    *("calls", "errors", "input", "cached", "cache_write", "output", "reasoning", "cost", "unpriced", "estimated"),
    *("hits", "saved", "spared_input", "spared_output"),
)
MONEY = ("cost", "saved")
"""Those that are picos."""
"""What is summed up, in this order, behind the columns that say of what."""
OWNERS = ("key_id", "team", "project", "organization", "user_id")
MODELS = ("model", "provider")
ROLLUPS = {
    "rollup_day": ("day", *OWNERS, *MODELS),
    "rollup_hour_key": ("hour", *OWNERS),
    "rollup_hour_model": ("hour", *MODELS),
}
"""The tables, and the columns that say of what their sums are."""
HITS = ("HIT", "SEMANTIC", "STALE", "COLLAPSED")
"""What the cache says of calls that nobody else was asked for."""
HOUR = 3_600_000_000
"""Microseconds. Hours are counted from 1970."""


def figures(row: Row) -> tuple[int, ...]:
    """One row's, in the order of :data:`FIGURES`."""
    return (
        1,
        int(row.outcome != "ok"),
        row.input,
        row.cached,
        row.cache_write,
        row.output,
        row.reasoning,
        row.cost or 0,
        row.unpriced,
        row.estimated,
        int(row.cache in HITS),
        row.saved,
        row.spared_input,
        row.spared_output,
    )


def add(connection: Connection, rows: Iterable[Row]) -> None:
    """Add ``rows`` to the sums, in the transaction that is open. In the order of their keys, as whoever else does: two
    that wait for each other would never be done."""
    sums: dict[tuple[str, tuple[object, ...]], Sequence[int]] = {}
    for row in rows:
        at = {"day": day_of(row.at), "hour": row.at // HOUR}
        of_row = figures(row)
        for table, names in ROLLUPS.items():
            place = (table, tuple(at.get(name) or getattr(row, name) for name in names))
            before = sums.get(place)
            sums[place] = of_row if before is None else [a + b for a, b in zip(before, of_row, strict=True)]
    for table, names in ROLLUPS.items():
        columns = (*names, *FIGURES)
        more = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in FIGURES)
        connection.many(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            f" ON CONFLICT ({', '.join(names)}) DO UPDATE SET {more}",
            sorted((*place, *summed) for (of, place), summed in sums.items() if of == table),
        )
