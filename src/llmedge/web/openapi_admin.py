"""The admin API's part of the OpenAPI document: parameters, bodies and answers, by the names of its handlers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import msgspec

from llmedge.config.option import table_schema
from llmedge.config.sections.auth import KeySettings
from llmedge.config.sections.scopes import Scope
from llmedge.operations import Endpoint

_JSON, _CSV, _LINES = "application/json", "text/csv", "application/x-ndjson"
_MOMENT = {"type": "string", "examples": ["2026-01-31", "2026-01-31T12:00:00Z"]}
_FLAG = {"type": "string", "enum": ["1"]}
_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_SECONDS = {"type": "integer", "minimum": 1}
_PLACES: Mapping[str, tuple[str, ...]] = {
    "organizations": (),
    "teams": ("organization",),
    "projects": ("team",),
    "users": ("organization",),
    "keys": ("team", "project", "user"),
}
_SPEND = ("key", "team", "project", "organization", "user", "model", "provider")
_CALLS = (*_SPEND, "outcome", "operation", "end_user", "request_id")
QUERIES: Mapping[str, Mapping[str, Any]] = {
    "audit": {
        **dict.fromkeys(("actor", "action", "kind", "id", "team"), _TEXT),
        "format": {"enum": ["json", "ndjson"], "default": "json"},
        "verify": _FLAG,
    },
    "spend": {"from": _MOMENT, "to": _MOMENT, "by": _TEXT, **dict.fromkeys(_SPEND, _TEXT)},
    "list_calls": {"from": _MOMENT, "to": _MOMENT, **dict.fromkeys(_CALLS, _TEXT)},
    "export": {
        "from": _MOMENT,
        "to": _MOMENT,
        "format": {"enum": ["csv", "ndjson", "focus"], "default": "csv"},
        **dict.fromkeys(_CALLS, _TEXT),
    },
    "litellm_key_info": {"key": _TEXT},
    "litellm_key_list": {
        **dict.fromkeys(("page", "size"), _SECONDS),
        **dict.fromkeys(("team_id", "user_id", "key_alias", "return_full_object"), _TEXT),
    },
    "litellm_team_info": {"team_id": _TEXT},
    "litellm_user_info": {"user_id": _TEXT},
    "litellm_user_list": dict.fromkeys(("page", "page_size"), _SECONDS),
    "litellm_spend_logs": dict.fromkeys(
        ("request_id", "user_id", "api_key", "start_date", "end_date", "summarize"), _TEXT
    ),
    "litellm_spend_report": {
        "start_date": _TEXT,
        "end_date": _TEXT,
        "group_by": {"enum": ["team", "api_key", "internal_user_id"]},
    },
    "openai_usage": {
        **dict.fromkeys(("start_time", "end_time", "limit"), _SECONDS),
        "bucket_width": {"enum": ["1d", "1h"]},
        "page": _TEXT,
        **dict.fromkeys(("group_by", "project_ids", "user_ids", "api_key_ids", "models"), _TEXTS),
    },
    "openai_costs": {
        **dict.fromkeys(("start_time", "end_time", "limit"), _SECONDS),
        "page": _TEXT,
        **dict.fromkeys(("group_by", "project_ids", "api_key_ids"), _TEXTS),
    },
}
"""What stands behind the ``?``; lists that go on have ``limit`` and ``after`` too."""
_PAGED = ("list_", "audit")
_LONGEST = {"list_budgets": 200}
"""Of a page, where that is not a thousand."""
_NUMBER, _WHOLE = {"type": ["number", "null"]}, {"type": ["integer", "null"]}
_OBJECT, _TRUTH = {"type": "object"}, {"type": "boolean"}
_AMOUNT = {"type": ["number", "string"], "description": "USD."}
_LITELLM = {
    **dict.fromkeys(("key", "key_alias", "team_id", "team_alias", "user_id", "user_alias", "user_email"), _TEXT),
    **dict.fromkeys(("duration", "budget_duration", "budget_id", "grace_period"), _TEXT),
    **dict.fromkeys(("organization_id", "project_id"), _TEXT),
    **dict.fromkeys(("max_budget", "soft_budget"), _NUMBER),
    **dict.fromkeys(("rpm_limit", "tpm_limit", "max_parallel_requests"), _WHOLE),
    **dict.fromkeys(("models", "tags", "keys", "key_aliases", "budgets"), _TEXTS),
    **dict.fromkeys(("metadata", "model_max_budget"), _OBJECT),
    **dict.fromkeys(("blocked", "auto_create_key"), _TRUTH),
}


@cache
def schemas() -> dict[str, Any]:
    """Of what is kept, by name."""
    found: dict[str, Any] = {"Scope": table_schema(Scope), "KeySettings": table_schema(KeySettings)}
    found["Role"] = {"type": "object", "properties": {"permissions": _TEXTS, "metadata": {"type": "object"}}}
    return cast(dict[str, Any], msgspec.json.decode(msgspec.json.encode(found)))


def described(endpoint: Endpoint) -> dict[str, Any]:
    """What is said of a row besides what is said of all: ``parameters`` besides those of its path, and the rest."""
    name = endpoint.handler
    parameters = [{"name": each, "in": "query", "schema": schema} for each, schema in _query(name).items()]
    verb, _, kind = name.partition("_")
    versioned = (verb in ("change", "delete") and (kind in _PLACES or kind == "roles")) or name == "rotate_key"
    if versioned:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "description": "The ETag of the answer that is changed; 409 if somebody changed it meanwhile.",
                "schema": {"type": "string", "examples": ['"3"']},
            }
        )
    shown: dict[str, Any] = {"parameters": parameters, "responses": _responses(name, verb, kind)}
    if endpoint.permission:
        shown["description"] = f"Needs the permission `{endpoint.permission}`."
        shown["x-llmedge-permission"] = endpoint.permission
    if endpoint.body != "none":
        shown["requestBody"] = _body(name, verb, kind)
    return shown


def _query(name: str) -> dict[str, Any]:
    query = dict(QUERIES.get(name, {}))
    if name.startswith(_PAGED):
        longest = _LONGEST.get(name, 1000)
        query["limit"] = {"type": "integer", "minimum": 1, "maximum": longest, "default": 100}
        query["after"] = {"type": "string", "description": "The `next` of the answer before."}
    return query


def _responses(name: str, verb: str, kind: str) -> dict[str, Any]:
    types = {"export": (_CSV, _LINES), "audit": (_JSON, _LINES)}.get(name, (_JSON,))
    answer: dict[str, Any] = {"description": "The answer.", "content": {each: {} for each in types}}
    if (verb in ("create", "get", "change") and kind != "call") or name == "rotate_key":
        answer["headers"] = {"ETag": {"description": "Its version.", "schema": {"type": "string"}}}
    return {"201" if verb == "create" else "200": answer}


def _body(name: str, verb: str, kind: str) -> dict[str, Any]:
    if name == "check":
        toml = {"schema": {"type": "string", "description": "A configuration file."}}
        return {"required": True, "content": {"application/toml": toml, "text/plain": toml}}
    schema: dict[str, Any]
    if name == "raise_budget":
        schema = {
            "type": "object",
            "required": ["amount", "until"],
            "properties": {"amount": _AMOUNT, "until": _MOMENT},
        }
    elif name == "rotate_key":
        seconds = {"type": "number", "minimum": 0, "maximum": 2_592_000, "default": 86_400}
        schema = {"type": "object", "properties": {"grace_period": seconds}}
    elif kind in _PLACES or kind == "roles":
        schema = _kept(kind, new=verb == "create")
    elif name.startswith("litellm_"):
        schema = {"type": "object", "properties": _LITELLM}
    else:
        schema = {"type": "object"}
    return {"required": "required" in schema, "content": {_JSON: {"schema": schema}}}


def _kept(kind: str, new: bool) -> dict[str, Any]:
    settings = {"keys": "KeySettings", "roles": "Role"}.get(kind, "Scope")
    of_all = {"name": _TEXT, "state": {"enum": ["active", "disabled"]}}
    places = {place: {"type": ["string", "null"], "description": "By name or id."} for place in _PLACES.get(kind, ())}
    properties = {**table_names(settings), **of_all, **places}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": ["name"]} if new else {"description": "`null` takes a setting away."}),
    }


def table_names(settings: str) -> dict[str, Any]:
    """The settings of a component, each by reference."""
    return {
        name: {"$ref": f"#/components/schemas/{settings}/properties/{name}"}
        for name in schemas()[settings]["properties"]
    }
