"""Who changed what: ``/admin/v1/audit``, the latest first, or all of it as NDJSON, with the chain that shows a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmedge.admin.asked import LONGEST_PAGE, PAGE, Asked, Handlers, iso
from llmedge.admin.export import lines, send
from llmedge.errors import PermissionDenied, ValidationError
from llmedge.identity.directory import Directory
from llmedge.store import entities
from llmedge.store.database import Connection

FILTERS = ("actor", "action", "kind", "id", "team")


def handlers() -> Handlers:
    return {"audit": audit}


def view(row: tuple[Any, ...], directory: Directory) -> dict[str, Any]:
    """A line as the API shows it; ``digest`` is made of all the others but ``actor_name``, ``previous`` is that of the
    line before."""
    line = dict(zip(entities.AUDIT, row, strict=True))
    shown = {name: msgspec.json.decode(line[name]) for name in ("before", "after")}
    actor = directory.entity("key", line["actor"])
    return {**line, **shown, "at": iso(line["at"]), "actor_name": line["actor"] if actor is None else actor.name}


async def audit(asked: Asked) -> None:
    directory = asked.deps.store.directory
    most = asked.number("limit", PAGE, LONGEST_PAGE)
    after = asked.number("after", 2**53, 2**53)
    conditions, parameters = ["n < ?"], list[str]()
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

    def page(connection: Connection, before: int, limit: int) -> list[tuple[Any, ...]]:
        return connection.query(
            f"SELECT {', '.join(entities.AUDIT)} FROM audit WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY n DESC LIMIT {limit}",
            [before, *parameters],
        )

    def pieces(connection: Connection) -> Iterator[bytes]:
        before = after
        while rows := page(connection, before, PAGE):
            yield lines(view(row, directory) for row in rows)
            before = rows[-1][0]

    if format == "ndjson":
        await send(asked, b"application/x-ndjson", pieces)
        return
    verify = bool(asked.query("verify"))
    if verify and not asked.reach.everywhere:
        raise PermissionDenied("Only who may see all of the audit may have its chain verified.")

    def look(connection: Connection) -> tuple[list[tuple[Any, ...]], list[int]]:
        return page(connection, after, most + 1), entities.broken_links(connection) if verify else []

    rows, broken = await asked.deps.store.database.run(look)
    document: dict[str, Any] = {
        "object": "list",
        "data": [view(row, directory) for row in rows[:most]],
        "next": str(rows[most - 1][0]) if len(rows) > most else None,
    }
    if verify:
        document["broken"] = broken
    asked.answer(document)
