"""What operators ask of a gateway that runs: its state, its description."""

from __future__ import annotations

import math
from typing import Any

from llmedge._version import __version__
from llmedge.admin.asked import Asked, Handlers
from llmedge.admin.own import fund_view
from llmedge.model import Standing
from llmedge.web.openapi import openapi

_STATES = ("closed", "half open", "open")


def handlers() -> Handlers:
    return {"state": state, "describe": describe}


async def state(asked: Asked) -> None:
    """Every target with its breaker, limit and pause; budgets; the store."""
    deps, store = asked.deps, asked.deps.store
    asked.answer(
        {
            "version": __version__,
            "deployments": [_deployment(each) for each in deps.standings()],
            "budgets": [
                {"who": fund.limits.who, **fund_view(fund)} for fund in sorted(deps.allowances.funds.values(), key=_id)
            ],
            "store": {
                "reachable": not store.database.away,
                "ledger": {
                    "rows_shipped": store.ledger.shipped,
                    "rows_lost": store.ledger.lost,
                    "waiting_bytes": store.ledger.behind,
                    "blocked": store.ledger.blocked,
                },
                "directory_revision": store.directory.revision,
            },
        }
    )


def _id(fund: Any) -> str:
    return str(fund.id)


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
