"""``/admin/v1/export``: all calls of a time, or what was spent, some at a time: it may be millions."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmedge.admin import focus
from llmedge.admin.asked import Asked, Handlers
from llmedge.admin.money import SETTLING, call_view, filters, meant, period
from llmedge.errors import ValidationError
from llmedge.store import calls
from llmedge.store.database import Connection
from llmedge.store.spend import DAY, Question, spend

_STEP = 200
"""Calls read and written at a time: a few milliseconds."""
COLUMNS = (
    *("at", "request_id", "key_id", "key", "team", "project", "organization", "user_id", "end_user", "tags"),
    *("operation", "model", "provider", "target", "stream", "status", "outcome", "error_code"),
    *("input", "cached", "cache_write", "output", "reasoning", "estimated", "cost_usd", "unpriced", "attempts"),
    *("duration_ms", "first_event_ms", "cache", "saved_usd", "spared_input", "spared_output"),
)
"""Of a table of calls."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
Pieces = Callable[[Connection], Iterator[bytes]]
"""What is sent, piece by piece; each is made in the thread of the database."""


def handlers() -> Handlers:
    return {"export": export}


async def send(asked: Asked, media_type: bytes, pieces: Pieces) -> None:
    """Answer with all the ``pieces``, as fast as they are taken; it may take as long as a stream."""
    request, run = asked.request, asked.deps.store.database.run
    made: list[Iterator[bytes]] = []

    def work(connection: Connection) -> bytes | None:
        if not made:
            made.append(pieces(connection))
        return next(made[0], None)

    piece = await run(work)
    request.responseHeaders.setRawHeaders(b"content-type", [media_type])
    request.responseHeaders.setRawHeaders(b"cache-control", [b"no-store"])
    request.context.begin_answer(request.edge.limits)
    flow = request.backpressure()
    flow.start()
    try:
        while piece is not None:
            request.write(piece)
            await flow.ready()
            piece = await run(work)
    finally:
        flow.stop()


async def export(asked: Asked) -> None:
    start, end = period(asked)
    shape = asked.query("format", "csv")
    if shape not in _SHAPES:
        raise ValidationError(f"The parameter 'format' knows {', '.join(_SHAPES)}.", param="format")
    await asked.deps.store.ledger.caught_up(SETTLING)
    media_type, pieces = _SHAPES[shape]
    await send(asked, media_type, pieces(asked, start, end))


def _table(asked: Asked, start: int, end: int) -> Pieces:
    where, within = filters(asked), asked.reach.where()

    def pieces(connection: Connection) -> Iterator[bytes]:
        yield table((), COLUMNS, header=True)
        for rows in calls.every(connection, where, within, start, end, _STEP):
            yield table(map(call_view, rows), COLUMNS)

    return pieces


def _lines(asked: Asked, start: int, end: int) -> Pieces:
    where, within = filters(asked), asked.reach.where()

    def pieces(connection: Connection) -> Iterator[bytes]:
        for rows in calls.every(connection, where, within, start, end, _STEP):
            yield lines(map(call_view, rows))

    return pieces


def _focus(asked: Asked, start: int, end: int) -> Pieces:
    where = {name: meant(asked, name, value) for name in focus.BY if (value := asked.query(name))}
    within, directory, price = asked.reach.where(), asked.deps.store.directory, asked.deps.price

    def pieces(connection: Connection) -> Iterator[bytes]:
        yield table((), focus.COLUMNS, header=True)
        at = start
        while at < end:
            until = min(end, at // DAY * DAY + DAY)
            groups = spend(connection, Question(at, until, focus.BY, where, within=within))
            yield table(focus.rows(groups, at, until, price, directory), focus.COLUMNS)
            at = until

    return pieces


_CSV = b"text/csv; charset=utf-8"
_SHAPES: Mapping[str, tuple[bytes, Callable[[Asked, int, int], Pieces]]] = {
    "csv": (_CSV, _table),
    "ndjson": (b"application/x-ndjson", _lines),
    "focus": (_CSV, _focus),
}


def lines(documents: Iterable[Any]) -> bytes:
    """A line of JSON for each."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in documents)


def table(documents: Iterable[Mapping[str, Any]], columns: Sequence[str], header: bool = False) -> bytes:
    """A line of CSV for each (RFC 4180)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if header:
        writer.writerow(columns)
    writer.writerows([_cell(each.get(name)) for name in columns] for each in documents)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    """Spreadsheets take a text that begins so for a formula (owasp.org, "CSV Injection")."""
    if isinstance(value, list):
        value = " ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
