"""What was spent, and on which calls: ``/admin/v1/spend`` and ``/calls``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from llmedge.admin.asked import LONGEST_PAGE, PAGE, Asked, Handlers, iso
from llmedge.errors import NotFound, ValidationError
from llmedge.identity.directory import Directory
from llmedge.money import text
from llmedge.store import calls
from llmedge.store.calls import FILTERS
from llmedge.store.database import Connection
from llmedge.store.rollups import FIGURES, MONEY
from llmedge.store.rows import Row
from llmedge.store.spend import DAY, GROUPS, TIMES, Question, Spend, TooManyGroups, spend

NAMES = {
    "calls": "calls",
    "errors": "errors",
    "input": "input_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "unpriced": "unpriced_calls",
    "estimated": "estimated_calls",
    "hits": "cache_hits",
    "spared_input": "spared_input_tokens",
    "spared_output": "spared_output_tokens",
}
"""Figures as the API calls them; money is a text, exact: ``cost_usd`` and ``saved_usd``."""
_NAMED = ("key", "team", "project", "organization", "user")
MOST = 50_000
"""Sums of an answer."""
SETTLING = 1.0
"""Seconds that an answer waits for calls that have just ended to be in the database."""


def handlers() -> Handlers:
    return {"spend": spent, "list_calls": listed, "get_call": one}


def period(asked: Asked) -> tuple[int, int]:
    """``from`` and ``to``: by default the last 30 days."""
    now = round(asked.deps.clock.seconds() * 1_000_000)
    end = asked.moment("to", (now // DAY + 1) * DAY)
    start = asked.moment("from", end - 30 * DAY)
    if start >= end:
        raise ValidationError("The parameter 'from' must be before 'to'.", param="from")
    return start, end


def question(asked: Asked) -> Question:
    """What the URL asks.

    :raises ValidationError: it makes no sense.
    """
    start, end = period(asked)
    by = tuple(filter(None, asked.query("by").split(",")))
    if unknown := [name for name in by if name not in GROUPS]:
        raise ValidationError(f"The parameter 'by' knows {', '.join(GROUPS)}, not '{unknown[0]}'.", param="by")
    where = {name: meant(asked, name, value) for name in GROUPS if name not in TIMES and (value := asked.query(name))}
    return Question(start, end, by, where, within=asked.reach.where())


async def tell(asked: Asked, wanted: Question, shape: Callable[[list[Spend]], Any]) -> None:
    """Answer with what the one function says, with all that has ended by now in it.

    :param shape: makes a document of it, in the thread of the database: it may be long.
    :raises ValidationError: that would be too much for one answer.
    """
    store = asked.deps.store
    wanted = attrs.evolve(wanted, most=MOST)
    await store.ledger.caught_up(SETTLING)
    try:
        body = await store.database.run(lambda connection: msgspec.json.encode(shape(spend(connection, wanted))))
    except TooManyGroups:
        raise ValidationError(f"These are more than {MOST} sums: ask for less time, or by less.") from None
    await asked.answer_whole(body)


async def spent(asked: Asked) -> None:
    wanted = question(asked)
    directory = asked.deps.store.directory

    def shape(groups: list[Spend]) -> dict[str, Any]:
        total = Spend({name: sum(group[name] for group in groups) for name in FIGURES})
        return {
            "object": "list",
            "from": iso(wanted.start),
            "to": iso(wanted.end),
            "by": list(wanted.by),
            "data": [spend_view(group, wanted.by, directory) for group in groups],
            "total": spend_view(total, (), directory),
        }

    await tell(asked, wanted, shape)


def spend_view(group: Spend, by: tuple[str, ...], directory: Directory) -> dict[str, Any]:
    """A group as the API shows it: ids with the names that they have."""
    shown: dict[str, Any] = {}
    for name in by:
        value = group[name]
        shown[name] = _hour(value) if name == "hour" else _day(value) if name == "day" else value
        if name in _NAMED and (entity := directory.entity(name, str(value))) is not None:
            shown[f"{name}_name"] = entity.name
    shown |= {shown_as: group[name] for name, shown_as in NAMES.items()}
    shown |= {f"{name}_usd": text(group[name]) for name in MONEY}
    return shown


def _day(day: int) -> str:
    return f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"


def _hour(hour: int) -> str | None:
    return iso(hour * 3_600_000_000)


def call_view(row: Row, whole: bool = False) -> dict[str, Any]:
    """A row as the API shows it; ``whole``: with every decision."""
    shown = msgspec.structs.asdict(row)
    del shown["uid"], shown["detail"], shown["cost"], shown["saved"]
    shown |= {
        "at": iso(row.at),
        "tags": msgspec.json.decode(row.tags),
        "stream": bool(row.stream),
        "estimated": bool(row.estimated),
        "unpriced": bool(row.unpriced),
        "cost_usd": None if row.cost is None else text(row.cost),
        "saved_usd": text(row.saved),
        "duration_ms": row.duration / 1000,
        "first_event_ms": None if row.first_event is None else row.first_event / 1000,
    }
    del shown["duration"], shown["first_event"]
    if whole:
        detail = msgspec.json.decode(row.detail)
        for attempt in detail.get("attempts", ()):
            cost = attempt.pop("cost", None)
            attempt["cost_usd"] = None if cost is None else text(cost)
        shown["decision"] = detail
    return shown


async def listed(asked: Asked) -> None:
    """The latest calls, a page at a time."""
    start, end = period(asked)
    most = asked.number("limit", PAGE, LONGEST_PAGE)
    where, within = filters(asked), asked.reach.where()
    before = _cursor(asked.query("after")) if asked.query("after") else (end, "")
    await asked.deps.store.ledger.caught_up(SETTLING)

    def page(connection: Connection) -> bytes:
        rows = calls.latest(connection, where, within, start, before, most + 1)
        last = rows[most - 1] if len(rows) > most else None
        return msgspec.json.encode(
            {
                "object": "list",
                "data": [call_view(row) for row in rows[:most]],
                "next": None if last is None else f"{last.at}-{last.uid}",
            }
        )

    await asked.answer_whole(await asked.deps.store.database.run(page))


def _cursor(text: str) -> tuple[int, str]:
    at, _, uid = text.partition("-")
    if not at.isdigit() or len(at) > 17 or not uid:
        raise ValidationError("The parameter 'after' must be the 'next' of an answer.", param="after")
    return int(at), uid


def filters(asked: Asked) -> dict[str, list[str]]:
    """What the URL asks calls by."""
    return {name: meant(asked, name, value) for name in FILTERS if (value := asked.query(name))}


def meant(asked: Asked, name: str, value: str) -> list[str]:
    """What stands in the ledger for ``value``: an id, or the name of what has one."""
    found = asked.deps.store.directory.named(name, value) if name in _NAMED else None
    return [value] if found is None or found.id == value else [value, found.id]


async def one(asked: Asked, key: str) -> None:
    """One call by its request id, with every decision that was made for it."""
    within = asked.reach.where()
    await asked.deps.store.ledger.caught_up(SETTLING)
    rows = await asked.deps.store.database.run(lambda connection: calls.by_request(connection, key, within))
    if not rows:
        raise NotFound(f"There is no call with the request id '{key}'.")
    shown = call_view(rows[0], whole=True)
    if len(rows) > 1:
        shown["others"] = [call_view(row) for row in rows[1:]]
    asked.answer(shown)
