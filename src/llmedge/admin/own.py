"""``GET /v1/key``: what the caller's own key may, what is left of it, and when it begins anew. From memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from llmedge.admin.asked import Asked, Handlers
from llmedge.model import Limits
from llmedge.money import text
from llmedge.state.funds import Fund
from llmedge.state.periods import NEVER


def handlers() -> Handlers:
    return {"own_key": own_key}


async def own_key(asked: Asked) -> None:
    caller = asked.caller
    asked.answer(
        {
            "object": "key",
            "id": caller.account.key_id,
            "name": caller.name,
            "team": caller.account.team or None,
            "project": caller.account.project or None,
            "models": list(caller.models),
            "roles": list(caller.roles),
            "limits": [_limits(asked, each) for each in caller.limits],
        }
    )


def _limits(asked: Asked, limits: Limits) -> dict[str, Any]:
    allowances = asked.deps.allowances
    allowances.purse(asked.caller)  # makes what there is none of yet
    return {
        "scope": limits.kind,
        "who": limits.who,
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "max_concurrency": limits.max_concurrency,
        "under_way": allowances.under_way(limits.id),
        "budgets": [fund_view(allowances.funds[id]) for id, _ in limits.budgets],
    }


def fund_view(fund: Fund) -> dict[str, Any]:
    """A budget and what is left of it, in USD."""
    left = fund.left()
    return {
        "id": fund.id,
        "amount_usd": text(fund.amount),
        "spent_usd": text(fund.spent),
        "held_usd": text(fund.held),
        "left_usd": text(max(0, left)),
        "period": fund.budget.period,
        "time_zone": fund.budget.time_zone,
        "models": list(fund.budget.models),
        "on_breach": fund.budget.on_breach,
        "began_at": datetime.fromtimestamp(fund.start, UTC).isoformat().replace("+00:00", "Z"),
        "resets_at": None
        if fund.end >= NEVER
        else datetime.fromtimestamp(fund.end, UTC).isoformat().replace("+00:00", "Z"),
    }
