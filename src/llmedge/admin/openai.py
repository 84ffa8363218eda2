"""OpenAI's own usage and costs API (platform.openai.com/docs/api-reference/usage), for scripts that ask it: over our
ledger, whatever the vendor. Projects are our teams' projects."""

from __future__ import annotations

from typing import Any

from llmedge.admin.asked import Asked, Handlers
from llmedge.admin.money import tell
from llmedge.errors import ValidationError
from llmedge.money import USD
from llmedge.store.rows import day_of
from llmedge.store.spend import DAY, Question, Spend

_HOUR = DAY // 24
_LATEST = 2**32
"""Seconds since 1970: in 2106."""
_GROUPS = {"project_id": "project", "user_id": "user", "api_key_id": "key", "model": "model"}
_LINE_ITEM = "line_item"
_MOST = {"1d": 31, "1h": 168}
"""Buckets of an answer, as there."""


def handlers() -> Handlers:
    return {"openai_usage": usage, "openai_costs": costs}


async def usage(asked: Asked) -> None:
    """``GET /v1/organization/usage/completions``."""
    width = asked.query("bucket_width", "1d")
    if width not in _MOST:
        raise ValidationError("The parameter 'bucket_width' knows 1d and 1h.", param="bucket_width")
    await _buckets(asked, width, _GROUPS, _usage_of, "organization.usage.completions.result")


async def costs(asked: Asked) -> None:
    """``GET /v1/organization/costs``."""
    groups = {"project_id": "project", _LINE_ITEM: "model", "api_key_id": "key"}
    await _buckets(asked, "1d", groups, _cost_of, "organization.costs.result")


async def _buckets(asked: Asked, width: str, groups_by: dict[str, str], show: Any, object: str) -> None:
    size = DAY if width == "1d" else _HOUR
    begin = asked.number("start_time", 0, _LATEST) * 1_000_000 // size * size
    if not begin:
        raise ValidationError("The parameter 'start_time' is required: seconds since 1970.", param="start_time")
    now = round(asked.deps.clock.seconds() * 1_000_000)
    end = min(asked.number("end_time", now // 1_000_000 + 1, _LATEST) * 1_000_000, (now // size + 1) * size)
    longest = 180 if object.startswith("organization.costs") else _MOST[width]
    most = asked.number("limit", 7 if width == "1d" else 24, longest)
    if page := asked.query("page"):
        if not page.isdigit() or len(page) > 17:
            raise ValidationError("The parameter 'page' must be the 'next_page' of an answer.", param="page")
        begin = int(page) // size * size
    last = min(begin + most * size, -(-end // size) * size)
    chosen = [name for name in asked.several("group_by") if name]
    if unknown := [name for name in chosen if name not in groups_by]:
        known = ", ".join(groups_by)
        raise ValidationError(f"The parameter 'group_by' knows {known}, not '{unknown[0]}'.", param="group_by")
    where = {groups_by[name]: asked.several(f"{name}s") for name in groups_by if asked.several(f"{name}s")}
    period = "day" if width == "1d" else "hour"
    by = (period, *(groups_by[name] for name in chosen))
    question = Question(begin, max(begin, last), by, where, within=asked.reach.where())

    def shape(groups: list[Spend]) -> dict[str, Any]:
        found: dict[int, list[dict[str, Any]]] = {}
        for group in groups if last > begin else ():
            of = {name: group[groups_by[name]] for name in chosen}
            found.setdefault(group[period], []).append(show(group, object, of))
        return {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": start // 1_000_000,
                    "end_time": (start + size) // 1_000_000,
                    "results": found.get(_place(start, period), []),
                }
                for start in range(begin, last, size)
            ],
            "has_more": last < end,
            "next_page": str(last) if last < end else None,
        }

    await tell(asked, question, shape)


def _place(start: int, period: str) -> int:
    return day_of(start) if period == "day" else start // _HOUR


def _usage_of(group: Spend, object: str, of: dict[str, str]) -> dict[str, Any]:
    return {
        "object": object,
        "input_tokens": group["input"],
        "output_tokens": group["output"],
        "input_cached_tokens": group["cached"],
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": group["calls"],
        "project_id": of.get("project_id"),
        "user_id": of.get("user_id"),
        "api_key_id": of.get("api_key_id"),
        "model": of.get("model"),
        "batch": None,
    }


def _cost_of(group: Spend, object: str, of: dict[str, str]) -> dict[str, Any]:
    return {
        "object": object,
        "amount": {"value": group["cost"] / USD, "currency": "usd"},
        "line_item": of.get(_LINE_ITEM),
        "project_id": of.get("project_id"),
        "api_key_id": of.get("api_key_id"),
    }
