"""The admin API that scripts written for LiteLLM know (docs.litellm.ai/docs/proxy/virtual_keys): its paths and field
names over our own keys, teams, users and budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmedge.admin import collections
from llmedge.admin.asked import Asked, Handlers, iso
from llmedge.admin.litellm_words import of_all_models, seconds, settings
from llmedge.entities import Entity, Kind, replace
from llmedge.errors import NotFound, PermissionDenied, ValidationError
from llmedge.money import USD
from llmedge.store import entities
from llmedge.store.spend import Question, spend

_MOST = 100
"""Of a page, as there."""
_MOST_DELETED = 100


def handlers() -> Handlers:
    return {
        "litellm_key_generate": generate,
        "litellm_key_info": key_info,
        "litellm_key_update": key_update,
        "litellm_key_delete": key_delete,
        "litellm_key_block": key_block,
        "litellm_key_unblock": key_unblock,
        "litellm_key_regenerate": regenerate,
        "litellm_key_list": key_list,
        "litellm_team_new": team_new,
        "litellm_team_info": team_info,
        "litellm_team_update": team_update,
        "litellm_team_delete": team_delete,
        "litellm_team_list": team_list,
        "litellm_user_new": user_new,
        "litellm_user_info": user_info,
        "litellm_user_update": user_update,
        "litellm_user_delete": user_delete,
        "litellm_user_list": user_list,
    }


def _shown(entity: Entity, spent: int | None) -> dict[str, Any]:
    """Ours in their words; money as a number, as theirs is."""
    data = entity.data
    return {
        "models": data.get("models", []),
        **of_all_models(data.get("budgets", ())),
        "rpm_limit": data.get("rpm"),
        "tpm_limit": data.get("tpm"),
        "max_parallel_requests": data.get("max_concurrency"),
        "metadata": data.get("metadata", {}),
        "guardrails": data.get("guardrails", []),
        "blocked": entity.state == "disabled",
        "spend": None if spent is None else spent / USD,
        "created_at": iso(entity.created_at),
        "updated_at": iso(entity.updated_at),
    }


def _key(entity: Entity, spent: int | None, last4: str = "") -> dict[str, Any]:
    return {
        "token": entity.id,
        "token_id": entity.id,
        "key_name": f"sk-...{last4}",
        "key_alias": entity.name,
        "team_id": entity.team or None,
        "user_id": entity.user or None,
        "expires": entity.data.get("expires"),
        "tags": entity.data.get("tags", []),
        **_shown(entity, spent),
    }


def _said(asked: Asked, body: Mapping[str, Any], **more: Any) -> Callable[[Entity], dict[str, Any]]:
    """What ``body`` says of one that is there, with ``more``; what it does not say of its budgets stays."""
    now = asked.deps.clock.seconds()
    return lambda before: settings(body, now, before.data.get("budgets", ())) | more


async def _spent_of(asked: Asked, entity: Entity) -> int | None:
    """The same of one."""
    return (await _spent(asked, entity.kind, [entity.id])).get(entity.id, 0)


async def _spent(asked: Asked, kind: Kind, ids: list[str]) -> Mapping[str, int | None]:
    """Picos since the beginning, by id; nothing for whoever may not see that."""
    try:
        within = asked.wanting("spend:read").reach.where()
    except PermissionDenied:
        return dict.fromkeys(ids)
    if not ids:
        return {}
    now = round(asked.deps.clock.seconds() * 1_000_000)
    question = Question(0, now + 86_400_000_000, (kind,), {kind: ids}, within=within)
    await asked.deps.store.ledger.caught_up(1.0)
    groups = await asked.deps.store.database.run(lambda connection: spend(connection, question))
    return {str(group[kind]): int(group["cost"]) for group in groups}


def meant_key(asked: Asked, given: Any) -> str:
    """The id of the key that is meant: by its secret, its id, or its alias.

    :raises NotFound: there is none within reach.
    """
    text = str(given or "")
    directory, reach = asked.deps.store.directory, asked.reach
    known = directory.find(text.encode(errors="replace"))
    found = known[0] if known is not None else directory.named("key", text)
    if found is None or found.state == "deleted" or not reach.covers(found.team, found.project):
        raise NotFound("There is no such key.")
    return found.id


async def _keys_of(asked: Asked, place: str, id: str) -> list[dict[str, Any]]:
    """What the caller may see of the keys of a team or a user."""
    try:
        reach = asked.wanting("keys:read").reach
    except PermissionDenied:
        return []
    keys = asked.deps.store.directory.all("key")
    seen = [each for each in keys if getattr(each, place) == id and reach.covers(each.team, each.project)]
    spent = await _spent(asked, "key", [each.id for each in seen])
    return [_key(each, spent.get(each.id, 0)) for each in seen]


# Keys


async def generate(asked: Asked) -> None:
    body = asked.body()
    if body.get("key"):
        raise ValidationError("The field 'key' is not taken: keys are made here.", param="key")
    plan = await _plan(asked, body)
    ours = plan | settings(body, asked.deps.clock.seconds(), plan.get("budgets", ()))
    ours["name"] = body.get("key_alias") or entities.new_id("key")
    ours |= await _places(asked, body)
    made, secret = await collections.make(asked, "key", ours)
    asked.answer({"key": secret, **_key(made, 0, secret[-4:])})


async def _plan(asked: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
    """The limits that ``budget_id`` names."""
    if not body.get("budget_id"):
        return {}
    plan, _ = await collections.find(asked.wanting("budgets:read"), "plan", str(body["budget_id"]))
    return dict(plan.data)


async def _places(asked: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a key is said to belong to."""
    places = {ours: body[theirs] for theirs, ours in (("team_id", "team"), ("project_id", "project")) if theirs in body}
    if "user_id" in body:
        places["user"] = await _user(asked, str(body["user_id"])) if body["user_id"] else None
    return places


async def _user(asked: Asked, id: str) -> str:
    """The user of that id, made if there is none, as LiteLLM does."""
    if asked.deps.store.directory.named("user", id) is None:
        await collections.make(asked.wanting("teams:write"), "user", {"name": id}, id)
    return id


async def key_info(asked: Asked) -> None:
    """Without ``key`` the caller's own."""
    given = asked.query("key")
    id = meant_key(asked, given) if given else asked.caller.account.key_id
    entity, known = await collections.find(asked, "key", id)
    last4 = max(known, key=lambda each: each.created_at).last4 if known else ""
    asked.answer({"key": id, "info": _key(entity, await _spent_of(asked, entity), last4)})


async def key_update(asked: Asked) -> None:
    body = asked.body()
    more = await _places(asked, body)
    more |= {"name": body["key_alias"]} if body.get("key_alias") else {}
    plan = await _plan(asked, body)
    said = _said(asked, body, **more)
    ours = (lambda before: plan | said(replace(before, data=before.data | plan))) if plan else said
    entity = await collections.alter(asked, "key", meant_key(asked, body.get("key")), ours)
    asked.answer({"key": entity.id, **_key(entity, await _spent_of(asked, entity))})


async def key_delete(asked: Asked) -> None:
    body = asked.body()
    await _delete(
        asked, "key", [meant_key(asked, each) for name in ("keys", "key_aliases") for each in _list(body, name)]
    )


async def _delete(asked: Asked, kind: Kind, ids: list[str]) -> None:
    for id in ids:
        await collections.remove(asked, kind, id)
    asked.answer({f"deleted_{kind}s": ids})


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list):
        raise ValidationError(f"The field '{name}' must be a list.", param=name)
    if len(found) > _MOST_DELETED:
        raise ValidationError(f"Delete {_MOST_DELETED} at a time at most.", param=name)
    return found


async def key_block(asked: Asked) -> None:
    await _block(asked, True)


async def key_unblock(asked: Asked) -> None:
    await _block(asked, False)


async def _block(asked: Asked, blocked: bool) -> None:
    state = {"state": "disabled" if blocked else "active"}
    entity = await collections.alter(asked, "key", meant_key(asked, asked.body().get("key")), state)
    asked.answer(_key(entity, await _spent_of(asked, entity)))


async def regenerate(asked: Asked, key: str = "") -> None:
    body = asked.body()
    id = meant_key(asked, key or body.get("key"))
    grace = seconds(str(body["grace_period"])) if body.get("grace_period") else 0
    entity, secret = await collections.renew(asked, id, grace)
    asked.answer({"key": secret, **_key(entity, await _spent_of(asked, entity), secret[-4:])})


async def key_list(asked: Asked) -> None:
    """A page, as theirs are: by number."""
    page, size = asked.number("page", 1, 10**6), asked.number("size", 10, _MOST)
    found = [
        each
        for each in sorted(asked.deps.store.directory.all("key"), key=lambda each: each.id)
        if asked.reach.covers(each.team, each.project)
        and asked.query("team_id") in ("", each.team)
        and asked.query("user_id") in ("", each.user)
        and asked.query("key_alias") in ("", each.name)
    ]
    shown = found[(page - 1) * size : page * size]
    whole = asked.query("return_full_object").lower() == "true"
    spent = await _spent(asked, "key", [each.id for each in shown]) if whole else {}
    asked.answer(
        {
            "keys": [_key(each, spent.get(each.id, 0)) if whole else each.id for each in shown],
            "total_count": len(found),
            "current_page": page,
            "total_pages": -(-len(found) // size),
        }
    )


# Teams and users


async def team_new(asked: Asked) -> None:
    body = asked.body()
    id = str(body.get("team_id") or entities.new_id("team"))
    ours = settings(body, asked.deps.clock.seconds()) | _organization(body) | {"name": body.get("team_alias") or id}
    made, _ = await collections.make(asked, "team", ours, id)
    asked.answer(_team(made, 0))


def _organization(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"organization": body["organization_id"]} if "organization_id" in body else {}


def _team(entity: Entity, spent: int | None) -> dict[str, Any]:
    shown = _shown(entity, spent)
    return {"team_id": entity.id, "team_alias": entity.name, "organization_id": entity.organization or None, **shown}


async def team_info(asked: Asked) -> None:
    entity, _ = await collections.find(asked, "team", asked.query("team_id"))
    asked.answer(
        {
            "team_id": entity.id,
            "team_info": _team(entity, await _spent_of(asked, entity)),
            "keys": await _keys_of(asked, "team", entity.id),
            "team_memberships": [],
        }
    )


async def team_update(asked: Asked) -> None:
    body = asked.body()
    more = _organization(body) | ({"name": body["team_alias"]} if body.get("team_alias") else {})
    entity = await collections.alter(asked, "team", str(body.get("team_id")), _said(asked, body, **more))
    asked.answer({"team_id": entity.id, "data": _team(entity, await _spent_of(asked, entity))})


async def team_delete(asked: Asked) -> None:
    """Its keys are refused from then on."""
    await _delete(asked, "team", [str(each) for each in _list(asked.body(), "team_ids")])


async def team_list(asked: Asked) -> None:
    found = [each for each in asked.deps.store.directory.all("team") if asked.reach.covers(each.id)]
    spent = await _spent(asked, "team", [each.id for each in found])
    asked.answer([_team(each, spent.get(each.id, 0)) for each in found])


async def user_new(asked: Asked) -> None:
    body = asked.body()
    ours = settings(body, asked.deps.clock.seconds())
    id = str(body.get("user_id") or entities.new_id("user"))
    ours["name"] = body.get("user_alias") or id
    if body.get("user_email"):
        ours["metadata"] = {**ours.get("metadata", {}), "user_email": body["user_email"]}
    with_key = asked.wanting("keys:write") if body.get("auto_create_key", True) else None
    made, _ = await collections.make(asked, "user", ours, id)
    shown = _user_view(made, 0)
    if with_key is not None:
        key = {"name": entities.new_id("key"), "user": made.id, "team": body.get("team_id")}
        _, shown["key"] = await collections.make(with_key, "key", key)
    asked.answer(shown)


def _user_view(entity: Entity, spent: int | None) -> dict[str, Any]:
    email = entity.data.get("metadata", {}).get("user_email")
    return {"user_id": entity.id, "user_alias": entity.name, "user_email": email, **_shown(entity, spent)}


async def user_info(asked: Asked) -> None:
    entity, _ = await collections.find(asked, "user", asked.query("user_id"))
    asked.answer(
        {
            "user_id": entity.id,
            "user_info": _user_view(entity, await _spent_of(asked, entity)),
            "keys": await _keys_of(asked, "user", entity.id),
            "teams": [],
        }
    )


async def user_update(asked: Asked) -> None:
    body = asked.body()
    more = {"name": body["user_alias"]} if body.get("user_alias") else {}
    entity = await collections.alter(asked, "user", str(body.get("user_id")), _said(asked, body, **more))
    asked.answer({"user_id": entity.id, "data": _user_view(entity, await _spent_of(asked, entity))})


async def user_delete(asked: Asked) -> None:
    """So are theirs."""
    await _delete(asked, "user", [str(each) for each in _list(asked.body(), "user_ids")])


async def user_list(asked: Asked) -> None:
    page, size = asked.number("page", 1, 10**6), asked.number("page_size", 25, _MOST)
    found = sorted(asked.deps.store.directory.all("user") if asked.reach.everywhere else [], key=lambda each: each.id)
    shown = found[(page - 1) * size : page * size]
    spent = await _spent(asked, "user", [each.id for each in shown])
    asked.answer(
        {
            "users": [_user_view(each, spent.get(each.id, 0)) for each in shown],
            "total": len(found),
            "page": page,
            "page_size": size,
            "total_pages": -(-len(found) // size),
        }
    )
