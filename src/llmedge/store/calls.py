"""The ledger's rows, one by one: the latest, those of somebody, one by its request id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmedge.store.database import Connection
from llmedge.store.rows import COLUMNS, Row

FILTERS = {
    **{name: name for name in ("model", "provider", "outcome", "operation", "team", "project", "organization")},
    "key": "key_id",
    "user": "user_id",
    "end_user": "end_user",
    "request_id": "request_id",
}
"""What calls may be asked by, and the column that has it."""
BEGINNING = 0
Where = Mapping[str, Sequence[str]]


def latest(
    connection: Connection,
    where: Where,
    within: tuple[str, Sequence[str]],
    start: int,
    before: tuple[int, str],
    most: int,
) -> list[Row]:
    """The latest first.

    :param where: values, each of which will do, by names of :data:`FILTERS`.
    :param within: a condition of ours on what may be seen, and its parameters.
    :param start: microseconds since 1970. :param before: only rows before that time and ``uid``.
    """
    condition, parameters = _condition(where, within)
    found: list[Row] = []
    at, uid = before
    for table in connection.months(start, at + 1):
        rows = connection.query(
            f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE at >= ? AND (at < ? OR (at = ? AND uid < ?))"  # noqa: S608
            f"{condition} ORDER BY at DESC, uid DESC LIMIT {most - len(found)}",
            [start, at, at, uid, *parameters],
        )
        found += [Row(*row) for row in rows]
        if len(found) >= most:
            break
    return found


def every(
    connection: Connection,
    where: Where,
    within: tuple[str, Sequence[str]],
    start: int,
    end: int,
    step: int = 1000,
) -> Iterator[list[Row]]:
    """All of a time, some at a time, the latest first."""
    before = (end, "")
    while rows := latest(connection, where, within, start, before, step):
        yield rows
        before = (rows[-1].at, rows[-1].uid)


def _condition(where: Where, within: tuple[str, Sequence[str]]) -> tuple[str, list[str]]:
    conditions = [f"{FILTERS[name]} IN ({', '.join('?' * len(values))})" for name, values in where.items()]
    parameters = [value for values in where.values() for value in values]
    if within[0]:
        conditions.append(f"({within[0]})")
        parameters += within[1]
    return "".join(f" AND {each}" for each in conditions), parameters


def by_request(connection: Connection, request_id: str, within: tuple[str, Sequence[str]]) -> list[Row]:
    """Those with that id: a client may have sent it more than once. The latest first."""
    condition, parameters = _condition({"request_id": [request_id]}, within)
    found: list[Row] = []
    for table in connection.months(BEGINNING, connection.now() + 86_400_000_000):
        rows: list[tuple[Any, ...]] = connection.query(
            f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE 1 = 1{condition} ORDER BY at DESC",  # noqa: S608
            parameters,
        )
        found += [Row(*row) for row in rows]
        if found:
            break
    return found
