"""What LiteLLM's admin API says of keys, teams, users and budgets (docs.litellm.ai/docs/proxy/virtual_keys), in our
words.

What it says that would hold somebody to something, and is not known here, is refused: nobody is to believe in a limit
that there is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from llmedge.errors import ValidationError

_ALIASES = {"rpm_limit": "rpm", "tpm_limit": "tpm", "max_parallel_requests": "max_concurrency"}
_EVERY_MODEL = ("all-team-models", "all-proxy-models")
_EVERYTHING = ("default", "llm_api")
"""Values of ``key_type`` with which a key may do what ours may."""
_NOT_HELD = frozenset(
    {
        *("allowed_routes", "allowed_passthrough_routes", "allowed_cache_controls", "allowed_vector_store_indexes"),
        *("permissions", "object_permission", "enforced_params", "aliases", "config", "policies", "prompts"),
        *("model_rpm_limit", "model_tpm_limit", "budget_limits", "auto_rotate", "access_group_ids"),
        *("team_member_budget", "team_member_rpm_limit", "team_member_tpm_limit", "team_member_key_duration"),
        *("allowed_models", "model_aliases"),
    }
)
"""Fields by which somebody may less than without, and that nothing here holds them to."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PERIODS = {"1mo": "month", "24h": "1d", "1w": "7d", "daily": "day", "weekly": "week", "monthly": "month"}

Budgets = Iterable[Mapping[str, Any]]
"""As entities have them."""


def settings(body: Mapping[str, Any], now: float, budgets: Budgets = ()) -> dict[str, Any]:
    """What is said of a key, a team or a user, in our words.

    :param budgets: those there are: what is not said of them stays.
    :raises ValidationError: it cannot be said.
    """
    for name in sorted(_NOT_HELD & set(body)):
        if body[name]:
            raise ValidationError(
                f"The field '{name}' is not taken: nothing here would hold anybody to it. Leave it out.", param=name
            )
    if (kind := body.get("key_type")) and kind not in _EVERYTHING:
        raise ValidationError(
            "The field 'key_type' is not taken: give the key roles, at /admin/v1/keys.", param="key_type"
        )
    try:
        return _settings(body, now, budgets)
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise ValidationError("A field of the body is not of the form that it has.") from None


def _settings(body: Mapping[str, Any], now: float, budgets: Budgets) -> dict[str, Any]:
    ours: dict[str, Any] = {_ALIASES[name]: body[name] for name in _ALIASES if name in body}
    if "models" in body:
        models = [each for each in body["models"] or () if each not in _EVERY_MODEL]
        ours["models"] = models or None
    if "metadata" in body:
        metadata = body["metadata"] or {}
        plain = {name: each for name, each in metadata.items() if isinstance(each, str | int | float | bool)}
        others = {name: msgspec.json.encode(each).decode() for name, each in metadata.items() if name not in plain}
        ours["metadata"] = plain | others
    for name in ("tags", "guardrails"):
        if name in body:
            ours[name] = body[name]
    if body.get("duration"):
        moment = datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds(str(body["duration"])))
        ours["expires"] = moment.isoformat().replace("+00:00", "Z")
    if "blocked" in body and body["blocked"] is not None:
        ours["state"] = "disabled" if body["blocked"] else "active"
    if {"max_budget", "model_max_budget", "budget_duration", "soft_budget"} & set(body):
        ours["budgets"] = _budgets(body, budgets)
    return ours


def _budgets(body: Mapping[str, Any], there: Budgets) -> list[dict[str, Any]] | None:
    """Those there are from now on: that of all models, those of one, and what LiteLLM has no word for."""
    before = [dict(each) for each in there]
    of_all = next(filter(_is_of_all, before), None)
    others = [each for each in before if each is not of_all]
    if "max_budget" in body:
        amount = body["max_budget"]
        of_all = None if amount is None else {**(of_all or {"period": "total"}), "amount": amount}
    if of_all is not None:
        if "budget_duration" in body:
            of_all["period"] = _period(body["budget_duration"])
        if "soft_budget" in body:
            of_all["soft"] = _soft(body["soft_budget"], of_all["amount"])
    elif body.get("soft_budget") is not None:
        raise ValidationError("The field 'soft_budget' needs a 'max_budget' that it is a part of.", param="soft_budget")
    if "model_max_budget" in body:
        others = [each for each in others if not _is_of_one(each)]
        others += [_of_model(model, each) for model, each in (body["model_max_budget"] or {}).items()]
    return [*filter(None, [of_all]), *others] or None


def _is_of_all(budget: Mapping[str, Any]) -> bool:
    """Whether it is for all models: what LiteLLM calls the budget."""
    return list(budget.get("models") or ["*"]) == ["*"]


def of_all_models(budgets: Budgets) -> dict[str, Any]:
    """``max_budget`` and ``budget_duration`` of the first that is for all models."""
    found = next(filter(_is_of_all, budgets), None)
    if found is None:
        return {"max_budget": None, "budget_duration": None}
    period = found.get("period", "month")
    return {"max_budget": float(found["amount"]), "budget_duration": None if period == "total" else period}


def _is_of_one(budget: Mapping[str, Any]) -> bool:
    return len(budget.get("models") or ()) == 1 and not _is_of_all(budget)


def _soft(soft: Any, amount: Any) -> list[float]:
    return [float(soft) / float(amount)] if soft is not None and 0 < float(soft) < float(amount) else []


def _of_model(model: str, said: Any) -> dict[str, Any]:
    limit = said if isinstance(said, Mapping) else {"budget_limit": said}
    for name in ("rpm_limit", "tpm_limit"):
        if limit.get(name):
            raise ValidationError(f"A model's budget has no '{name}' here: leave it out.", param="model_max_budget")
    amount = limit.get("budget_limit", limit.get("max_budget"))
    return {
        "amount": amount,
        "period": _period(limit.get("time_period", limit.get("budget_duration"))),
        "models": [model],
    }


def _period(duration: Any) -> str:
    if duration is None:
        return "total"
    text = _PERIODS.get(str(duration), str(duration))
    if text not in ("day", "week", "month") and not re.fullmatch(r"[1-9]\d{0,3}d", text):
        raise ValidationError(
            "The field 'budget_duration' must be days or '1mo', such as '30d'.", param="budget_duration"
        )
    return text


def seconds(text: str) -> int:
    """A time such as ``30d``.

    :raises ValidationError: it is none.
    """
    if text == "1mo":
        return 30 * 86400
    if (match := re.fullmatch(r"(\d{1,9})([smhdw])", text)) is None:
        raise ValidationError("The field 'duration' must be such as '30d', '12h' or '90s'.", param="duration")
    return int(match[1]) * _SECONDS[match[2]]
