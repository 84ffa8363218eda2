"""Budgets, whoever's they are: how they stand, a reset, a raise for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from heapq import nsmallest
from itertools import islice
from operator import itemgetter
from typing import Any

import attrs

from llmedge.admin.asked import PAGE, Asked, Handlers
from llmedge.admin.own import fund_view, known
from llmedge.config import ConfigError
from llmedge.config.load import read_table
from llmedge.config.sections.auth import KeySettings
from llmedge.config.sections.scopes import Scope
from llmedge.entities import Entity, Kind
from llmedge.errors import NotFound, ValidationError
from llmedge.identity.configured import caller_of, limits_of
from llmedge.model import Limits
from llmedge.money import picos
from llmedge.state.funds import Fund
from llmedge.store import entities
from llmedge.store.database import Connection

_KINDS: tuple[Kind, ...] = ("organization", "team", "project", "user", "key")
LONGEST = 200
"""Budgets of a page: each takes some ten microseconds, on the reactor's thread."""
_MOST = Decimal(9_000_000)
"""USD: the database keeps 64 bits of picos."""


def handlers() -> Handlers:
    return {"list_budgets": listed, "reset_budget": reset, "raise_budget": raise_}


@attrs.frozen
class Owned:
    """A budget, and where it is. ``team`` and ``project`` say who may touch it."""

    limits: Limits
    fund: Fund
    kind: str
    team: str
    project: str


Owner = Entity | Limits
"""Whoever has budgets: known to the store, or not."""


def _owners(asked: Asked, start: str, most: int) -> list[Owner]:
    """The first within reach whose limits' ids are not before ``start``. There may be thousands: none is read yet."""
    found: list[tuple[str, Owner]] = []
    for kind in _KINDS:
        for entity in asked.deps.store.directory.all(kind):
            if entity.data.get("budgets") and asked.reach.covers(*_where(entity)):
                found.append((f"{kind}:{entity.id}", entity))
    if asked.reach.everywhere:
        found += [(limits.id, limits) for limits in _elsewhere(asked)]
    return [owner for _, owner in nsmallest(most, (each for each in found if each[0] >= start), key=itemgetter(0))]


def _where(entity: Entity) -> tuple[str, str]:
    """Its team and project."""
    team = entity.id if entity.kind == "team" else entity.team
    return team, entity.id if entity.kind == "project" else entity.project


def _elsewhere(asked: Asked) -> Iterable[Limits]:
    """Those of keys that are not in the store: the file's, and of workloads that have asked for something."""
    directory = asked.deps.store.directory
    found = {limits.id: limits for key in asked.deps.keys if key.budgets for limits in caller_of(key).limits}
    for fund in asked.deps.allowances.funds.values():
        kind, _, id = fund.limits.id.partition(":")
        if kind == "key" and directory.entity("key", id) is None:
            found.setdefault(fund.limits.id, fund.limits)
    return found.values()


def _budgets(asked: Asked, owners: Iterable[Owner]) -> Iterator[Owned]:
    for owner in owners:
        where = _where(owner) if isinstance(owner, Entity) else ("", "")
        for limits in _limits(owner):
            for fund in asked.deps.allowances.funds_of(limits):
                yield Owned(limits, fund, limits.kind, *where)


def _limits(owner: Owner) -> tuple[Limits, ...]:
    if isinstance(owner, Limits):
        return (owner,)
    scope = read_table(Scope, {"budgets": owner.data["budgets"]})
    return limits_of(scope, f"{owner.kind}:{owner.id}", f"The {owner.kind} '{owner.name}'")


async def listed(asked: Asked) -> None:
    """A page of them, by their owners."""
    most, after = asked.number("limit", PAGE, LONGEST), asked.query("after")
    start = after.rpartition("/")[0]
    found = _budgets(asked, _owners(asked, start, most + 2))
    page = list(islice(_behind(found, start, after), most + 1))
    await known(asked, [each.fund for each in page[:most]])
    more = page[most - 1].fund.id if len(page) > most else None
    asked.answer({"object": "list", "data": [view(each) for each in page[:most]], "next": more})


def _behind(found: Iterator[Owned], owner: str, after: str) -> Iterator[Owned]:
    """Those behind ``after``; if it is gone, of the next owner."""
    passed = not after
    for each in found:
        if passed or each.limits.id != owner:
            yield each
        passed = passed or each.fund.id == after


def view(owned: Owned) -> dict[str, Any]:
    """As the API shows it."""
    kind, _, id = owned.limits.id.partition(":")
    return {"object": "budget", "scope": kind, "scope_id": id, "who": owned.limits.who, **fund_view(owned.fund)}


def _one(asked: Asked, id: str) -> Owned:
    """:raises NotFound: there is none within reach."""
    for each in _budgets(asked, _owners(asked, id.rpartition("/")[0], 1)):
        if each.fund.id == id:
            if each.kind != "key" and not asked.reach.everywhere:
                raise NotFound("A team's own budget is for others to change.")
            return each
    raise NotFound(f"There is no budget with the id '{id}'.")


async def reset(asked: Asked, id: str) -> None:
    """What was spent so far in this period does not count any more."""
    owned = _one(asked, id)

    def keep(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(
                "INSERT INTO budget_event (budget, at, action, amount, until) VALUES (?, ?, 'reset', 0, 0)",
                [id, connection.now()],
            )
            entities.write_down(connection, asked.actor, "budget.reset", "budget", id, owned.team, view(owned), None)

    await asked.deps.store.database.run(keep)
    await asked.deps.store.know_again([owned.fund], 2.0)
    asked.answer(view(owned))


async def raise_(asked: Asked, id: str) -> None:
    """``amount`` USD more, until ``until``."""
    owned, body = _one(asked, id), asked.body()
    try:
        amount = Decimal(str(body.get("amount")))
        good = 0 < amount <= _MOST and not isinstance(body.get("amount"), bool)
    except InvalidOperation:
        good = False
    if not good:
        raise ValidationError(f"The field 'amount' must be USD, a number above 0, {_MOST} at most.", param="amount")
    until = _moment(body.get("until"), asked.deps.clock.seconds())
    more = picos(amount)

    def keep(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(
                "INSERT INTO budget_event (budget, at, action, amount, until) VALUES (?, ?, 'raise', ?, ?)",
                [id, connection.now(), more, until],
            )
            after = {"amount": str(amount), "until": body["until"]}
            entities.write_down(connection, asked.actor, "budget.raise", "budget", id, owned.team, view(owned), after)

    await asked.deps.store.database.run(keep)
    await asked.deps.store.know_again([owned.fund], 2.0)
    asked.answer(view(owned))


def _moment(value: Any, now: float) -> int:
    """Microseconds since 1970."""
    try:
        moment = read_table(KeySettings, {"expires": value}).expires
    except ConfigError:
        moment = None
    if moment is None:
        raise ValidationError(
            "The field 'until' must be a day or a moment, such as 2026-12-31T18:00:00Z.", param="until"
        )
    if moment.timestamp() <= now:
        raise ValidationError("The field 'until' is over: the budget would not be raised.", param="until")
    return round(moment.timestamp() * 1_000_000)
