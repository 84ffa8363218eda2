"""What operators ask of a gateway that runs: its state, its description, another configuration."""

from __future__ import annotations

import math
import os
from heapq import nlargest
from typing import Any

from llmedge._version import __version__
from llmedge.admin.asked import Asked, Handlers
from llmedge.admin.own import fund_view
from llmedge.config import ConfigError
from llmedge.errors import Conflict, PermissionDenied
from llmedge.model import Standing
from llmedge.state.funds import Fund
from llmedge.store import entities
from llmedge.store.database import Connection
from llmedge.store.store import Store
from llmedge.web.openapi import openapi

_STATES = ("closed", "half open", "open")
_BUDGETS = 100
"""That are shown; there may be thousands, and ``/admin/v1/budgets`` has pages of them."""
_SHORTEST = 6
"""Characters of what may be a secret."""


def handlers() -> Handlers:
    return {"state": state, "describe": describe, "reload": reload, "check": check}


async def state(asked: Asked) -> None:
    """Every target with its breaker, limit and pause; the budgets that are nearest to their end; the store."""
    deps = asked.deps
    _of_the_whole(asked)
    asked.answer(
        {
            "version": __version__,
            "deployments": [_deployment(each) for each in deps.standings()],
            "budgets": [
                {"who": fund.limits.who, **fund_view(fund)}
                for fund in nlargest(_BUDGETS, deps.allowances.funds.values(), key=_used)
            ],
            "cache": None if (cache := deps.cache()) is None else cache.standing(),
            "store": None if deps.books is None else _store(deps.books),
        }
    )


def _of_the_whole(asked: Asked) -> None:
    """:raises PermissionDenied: the caller's role is bound to a team, and this is no team's."""
    if not asked.reach.everywhere:
        raise PermissionDenied("This is the gateway's, and the role of this key is bound to a team or a project.")


def _store(store: Store) -> dict[str, Any]:
    return {
        "reachable": not store.database.away,
        "ledger": {
            "rows_shipped": store.ledger.shipped,
            "rows_lost": store.ledger.lost,
            "waiting_bytes": store.ledger.behind,
            "blocked": store.ledger.blocked,
        },
        "directory_revision": store.directory.revision,
    }


def _used(fund: Fund) -> float:
    """The share of it that is spent or held."""
    return (fund.spent + fund.held) / max(1, fund.amount)


def _deployment(standing: Standing) -> dict[str, Any]:
    return {
        "deployment": standing.label,
        "breaker": _STATES[standing.state],
        "in_flight": standing.in_flight,
        "waiting": standing.waiting,
        "limit": None if math.isinf(standing.limit) else standing.limit,
        "rate": None if math.isinf(standing.rate) else standing.rate,
        "pause_seconds": round(standing.pause, 3),
        "failing": round(standing.failing, 4),
    }


async def describe(asked: Asked) -> None:
    """``GET /openapi.json``: all that is served here."""
    asked.answer(openapi())


async def reload(asked: Asked) -> None:
    """``POST /admin/v1/reload``: the configuration as its file and the environment are now, or as it was."""
    _of_the_whole(asked)
    try:
        changes = [_scrubbed(each) for each in await asked.deps.read_again()]
    except ConfigError as error:
        raise _refused(error) from None
    if (store := asked.deps.books) is not None:
        await store.database.run(lambda connection: _write_down(connection, asked.actor, changes))
    asked.answer({"object": "reload", "changes": changes})


def _write_down(connection: Connection, actor: entities.Actor, changes: list[str]) -> None:
    with connection.transaction():
        entities.write_down(connection, actor, "config.reload", "config", "", "", None, {"changes": changes})


async def check(asked: Asked) -> None:
    """``POST /admin/v1/check``: whether a TOML text could be in force, and what would change."""
    _of_the_whole(asked)
    try:
        changes = await asked.deps.check(asked.text())
    except ConfigError as error:
        problems = [_scrubbed(each) for each in error.problems]
        asked.answer({"object": "check", "valid": False, "problems": problems, "changes": []})
        return
    shown = [_scrubbed(each) for each in changes]
    asked.answer({"object": "check", "valid": True, "problems": [], "changes": shown})


def _refused(error: ConfigError) -> Conflict:
    problems = [_scrubbed(each) for each in error.problems]
    return Conflict(
        f"The configuration is refused, the one in force stays: {'; '.join(problems)}", details={"problems": problems}
    )


def _scrubbed(line: str) -> str:
    """``line`` without what the environment holds: it may have been a secret, put where none belongs."""
    for name, value in sorted(os.environ.items(), key=lambda each: -len(each[1])):
        if len(value) >= _SHORTEST and value in line:
            line = line.replace(value, f"env:{name}")
    return line
