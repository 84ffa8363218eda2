"""``GET /v1/key``: what the caller's own key may, what is left of it, and when it begins anew. From memory."""

from __future__ import annotations

from collections.abc import Iterable
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
    caller, allowances = asked.caller, asked.deps.allowances
    purse = allowances.purse(caller)  # makes what there is none of yet
    await known(asked, () if purse is None else purse.funds)
    asked.answer(
        {
            "object": "key",
            "id": caller.account.key_id,
            "name": caller.name,
            "team": caller.account.team or None,
            "project": caller.account.project or None,
            "models": list(caller.models),
            "models_above": [list(each) for each in caller.models_above],
            "expires": _expires(asked),
            "roles": list(caller.roles),
            "limits": [_limits(asked, each) for each in caller.limits],
        }
    )


def _limits(asked: Asked, limits: Limits) -> dict[str, Any]:
    allowances = asked.deps.allowances
    return {
        "scope": limits.kind,
        "who": limits.who,
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "max_concurrency": limits.max_concurrency,
        "under_way": allowances.under_way(limits.id),
        "budgets": [fund_view(allowances.funds[id]) for id, _ in limits.budgets],
    }


async def known(asked: Asked, funds: Iterable[Fund]) -> None:
    """Wait, for two seconds at most, until what was spent of ``funds`` before this process began is known."""
    unknown = [each for each in funds if not each.known]
    if unknown and asked.deps.books is not None:
        await asked.deps.books.know(unknown, 2.0)


def _expires(asked: Asked) -> Any:
    """When the caller's key ceases to be one, as it was said; ``None``: never, or its issuer says."""
    id, books = asked.caller.account.key_id, asked.deps.books
    for key in asked.deps.keys:
        if id == f"file:{key.name}" and key.expires is not None:
            return key.expires.isoformat().replace("+00:00", "Z")
    entity = None if books is None else books.directory.entity("key", id)
    return None if entity is None else entity.data.get("expires")


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
