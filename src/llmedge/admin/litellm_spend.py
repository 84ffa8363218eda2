"""What scripts written for LiteLLM ask of spend and budgets (docs.litellm.ai/docs/proxy/cost_tracking): their paths and
field names over our ledger. Money is a number there, not a text."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from llmedge.admin import collections
from llmedge.admin.asked import LONGEST_PAGE, Asked, Handlers, iso
from llmedge.admin.litellm import meant_key
from llmedge.admin.litellm_words import of_all_models, settings
from llmedge.admin.money import tell
from llmedge.entities import Entity
from llmedge.errors import ValidationError
from llmedge.money import USD
from llmedge.store import calls, entities
from llmedge.store.database import Connection
from llmedge.store.rows import Row
from llmedge.store.spend import DAY, Question, Spend

_GROUPS = {"team": "team", "api_key": "key", "internal_user_id": "user"}


def handlers() -> Handlers:
    return {
        "litellm_budget_new": budget_new,
        "litellm_budget_info": budget_info,
        "litellm_spend_logs": spend_logs,
        "litellm_spend_report": spend_report,
    }


async def budget_new(asked: Asked) -> None:
    """Limits that keys are given by ``budget_id`` when they are made."""
    body = asked.body()
    ours = settings(body, asked.deps.clock.seconds())
    id = str(body.get("budget_id") or entities.new_id("plan"))
    made, _ = await collections.make(asked, "plan", ours | {"name": id}, id)
    asked.answer(_budget(made))


def _budget(entity: Entity) -> dict[str, Any]:
    data = entity.data
    return {
        "budget_id": entity.id,
        **of_all_models(data.get("budgets", ())),
        "rpm_limit": data.get("rpm"),
        "tpm_limit": data.get("tpm"),
        "max_parallel_requests": data.get("max_concurrency"),
        "created_at": iso(entity.created_at),
    }


async def budget_info(asked: Asked) -> None:
    ids = asked.body().get("budgets")
    if not isinstance(ids, list) or not ids:
        raise ValidationError("The field 'budgets' must be a list of ids.", param="budgets")
    asked.answer([_budget((await collections.find(asked, "plan", str(id)))[0]) for id in ids])


def _days(asked: Asked) -> tuple[int, int]:
    """``start_date`` and ``end_date``, which is in it; by default the last 30 days."""
    now = round(asked.deps.clock.seconds() * 1_000_000)
    last = asked.moment("end_date", now // DAY * DAY)
    return asked.moment("start_date", last - 29 * DAY), last // DAY * DAY + DAY


async def spend_logs(asked: Asked) -> None:
    """Calls, or with both dates the sums of each day (``summarize=false``: calls)."""
    start, end = _days(asked)
    where = {"request_id": [asked.query("request_id")], "user": [asked.query("user_id")]}
    if given := asked.query("api_key"):
        where["key"] = [meant_key(asked, given)]
    where = {name: values for name, values in where.items() if values[0]}
    dated = asked.query("start_date") and asked.query("end_date")
    if dated and asked.query("summarize", "true").lower() != "false":
        keys = {name: values for name, values in where.items() if name != "request_id"}
        question = Question(start, end, ("day", "key", "user", "model"), keys, within=asked.reach.where())
        await tell(asked, question, _by_day)
        return
    await asked.deps.store.ledger.caught_up(1.0)
    within = asked.reach.where()

    def logs(connection: Connection) -> bytes:
        rows = calls.latest(connection, where, within, start if dated else 0, (end, ""), LONGEST_PAGE)
        return msgspec.json.encode([_log(row) for row in rows])

    await asked.answer_whole(await asked.deps.store.database.run(logs))


def _by_day(groups: list[Spend]) -> list[dict[str, Any]]:
    days: dict[int, dict[str, Any]] = {}
    for group in groups:
        day = days.setdefault(group["day"], {"startTime": _date(group["day"]), "spend": 0, "models": {}, "users": {}})
        cost = group["cost"]
        day["spend"] += cost
        for table, name in ((day["models"], group["model"]), (day["users"], group["user"]), (day, group["key"])):
            table[name] = table.get(name, 0) + cost
    return [_in_usd(day) for _, day in sorted(days.items())]


def _in_usd(of: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _in_usd(value) if isinstance(value, dict) else value / USD if isinstance(value, int) else value
        for name, value in of.items()
    }


def _date(day: int) -> str:
    return f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"


def _log(row: Row) -> dict[str, Any]:
    return {
        "request_id": row.request_id,
        "call_type": row.operation,
        "api_key": row.key_id,
        "spend": (row.cost or 0) / USD,
        "total_tokens": row.input + row.output,
        "prompt_tokens": row.input,
        "completion_tokens": row.output,
        "startTime": iso(row.at),
        "endTime": iso(row.at + row.duration),
        "completionStartTime": None if row.first_event is None else iso(row.at + row.first_event),
        "model": row.target or row.model,
        "model_group": row.model,
        "custom_llm_provider": row.provider,
        "user": row.user_id,
        "team_id": row.team or None,
        "end_user": row.end_user or None,
        "request_tags": row.tags,
        "status": "success" if row.outcome == "ok" else "failure",
        "metadata": {"user_api_key_alias": row.key},
    }


async def spend_report(asked: Asked) -> None:
    """By day and team; or by key or user, with the models of each."""
    group_by = asked.query("group_by", "team")
    if group_by not in _GROUPS:
        raise ValidationError(f"The parameter 'group_by' knows {', '.join(_GROUPS)}.", param="group_by")
    start, end = _days(asked)
    of = _GROUPS[group_by]
    by = ("day", "team", "key", "model") if of == "team" else (of, "model")
    shape = partial(_teams, asked) if of == "team" else partial(_details, of=of, shown_as=group_by)
    await tell(asked, Question(start, end, by, within=asked.reach.where()), shape)


def _teams(asked: Asked, groups: list[Spend]) -> list[dict[str, Any]]:
    days: dict[int, dict[str, list[Spend]]] = {}
    for group in groups:
        days.setdefault(group["day"], {}).setdefault(group["team"], []).append(group)
    return [
        {"group_by_day": _date(day), "teams": [_team(asked, id, of) for id, of in teams.items()]}
        for day, teams in sorted(days.items())
    ]


def _team(asked: Asked, id: str, groups: list[Spend]) -> dict[str, Any]:
    entity = asked.deps.store.directory.entity("team", id)
    return {
        "team_name": id if entity is None else entity.name,
        "total_spend": sum(group["cost"] for group in groups) / USD,
        "metadata": [
            {
                "model": group["model"],
                "spend": group["cost"] / USD,
                "total_tokens": group["input"] + group["output"],
                "api_key": group["key"],
            }
            for group in groups
        ],
    }


def _details(groups: list[Spend], of: str, shown_as: str) -> list[dict[str, Any]]:
    found: dict[str, list[Spend]] = {}
    for group in groups:
        found.setdefault(group[of], []).append(group)
    return [
        {shown_as: name, **_sum(each), "model_details": [_model(group) for group in each]}
        for name, each in found.items()
    ]


def _sum(groups: list[Spend]) -> dict[str, Any]:
    return {
        "total_cost": sum(group["cost"] for group in groups) / USD,
        "total_input_tokens": sum(group["input"] for group in groups),
        "total_output_tokens": sum(group["output"] for group in groups),
    }


def _model(group: Spend) -> dict[str, Any]:
    return {"model": group["model"], **_sum([group])}
