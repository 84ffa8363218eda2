"""Who changed what: ``/admin/v1/audit``, the latest first, or all of it as NDJSON, with the chain that shows a gap."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.admin.asked import LONGEST_PAGE, PAGE, Asked, Handlers, iso
from llmedge.errors import ValidationError
from llmedge.store import entities
from llmedge.store.database import Connection

FILTERS = ("actor", "action", "kind", "id", "team")


def handlers() -> Handlers:
    return {"audit": audit}


def view(row: tuple[Any, ...]) -> dict[str, Any]:
    """A line as the API shows it; ``digest`` is made of all the others, ``previous`` is that of the line before."""
    line = dict(zip(entities.AUDIT, row, strict=True))
    shown = {name: msgspec.json.decode(line[name]) for name in ("before", "after")}
    return {**line, **shown, "at": iso(line["at"])}


async def audit(asked: Asked) -> None:
    most = asked.number("limit", PAGE, LONGEST_PAGE)
    after = asked.number("after", 2**53, 2**53)
    conditions, parameters = ["n < ?"], [str(after)]
    for name in FILTERS:
        if value := asked.query(name):
            conditions.append(f"{name} = ?")
            parameters.append(value)
    within, more = asked.reach.where(project="")
    if within:
        conditions.append(f"({within})")
        parameters += more
    if (format := asked.query("format", "json")) not in ("json", "ndjson"):
        raise ValidationError("The parameter 'format' knows json and ndjson.", param="format")
    limit = 1_000_000 if format == "ndjson" else most + 1

    def look(connection: Connection) -> tuple[list[tuple[Any, ...]], list[int]]:
        rows = connection.query(
            f"SELECT {', '.join(entities.AUDIT)} FROM audit WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY n DESC LIMIT {limit}",
            [after, *parameters[1:]],
        )
        return rows, entities.broken_links(connection) if asked.query("verify") else []

    rows, broken = await asked.deps.store.database.run(look)
    if format == "ndjson":
        asked.lines(view(row) for row in rows)
        return
    document: dict[str, Any] = {
        "object": "list",
        "data": [view(row) for row in rows[:most]],
        "next": str(rows[most - 1][0]) if len(rows) > most else None,
    }
    if asked.query("verify"):
        document["broken"] = broken
    asked.answer(document)
