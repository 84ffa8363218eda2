"""Organizations, teams, projects, users, roles and keys: list, make, look at, change, delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec

from llmedge.admin.asked import LONGEST_PAGE, PAGE, Asked, Handler, Handlers, iso
from llmedge.admin.rights import PLACES, allowed, check_roles, known_permissions, reaches
from llmedge.config import ConfigError
from llmedge.config.load import read_table
from llmedge.config.sections.auth import KeySettings
from llmedge.config.sections.scopes import Scope
from llmedge.config.settings import NAME
from llmedge.entities import KINDS, Entity, KeySecret, Kind
from llmedge.errors import NotFound, ValidationError
from llmedge.identity import secrets
from llmedge.identity.roles import PERMISSIONS, ROLES
from llmedge.store import entities
from llmedge.store.database import Connection

GRACE = 86_400.0
"""Seconds that the old secret of a key is good for when it gets a new one, where nobody says."""
_LARGEST = 65_536
"""Bytes of the settings of one; calls are held against them."""
_MOST_BUDGETS = 20
_LONGEST_GRACE = 30 * 86_400.0


def handlers() -> Handlers:
    """For all of them."""
    made: dict[str, Handler] = {"rotate_key": rotate}
    for kind in KINDS:
        for verb, handler in (
            ("list", listed),
            ("create", create),
            ("get", get),
            ("change", change),
            ("delete", delete),
        ):
            made[f"{verb}_{kind}s"] = partial(handler, kind=kind)
    return made


def view(entity: Entity, secrets: list[KeySecret] | None = None) -> dict[str, Any]:
    """As the API shows it."""
    shown: dict[str, Any] = {"id": entity.id, "object": entity.kind, "name": entity.name, "state": entity.state}
    shown |= {place: getattr(entity, place) or None for place in PLACES[entity.kind]}
    shown |= entity.data
    shown |= {"created_at": iso(entity.created_at), "created_by": entity.created_by}
    shown |= {"updated_at": iso(entity.updated_at), "version": entity.version}
    if secrets is not None:
        shown["secrets"] = [
            {
                "last4": each.last4,
                "created_at": iso(each.created_at),
                "expires_at": iso(each.expires_at),
                "pepper": each.pepper_id,
            }
            for each in sorted(secrets, key=lambda each: -each.created_at)
        ]
    return shown


async def listed(asked: Asked, kind: Kind) -> None:
    most = asked.number("limit", PAGE, LONGEST_PAGE)
    where, parameters = _visible(asked, kind)
    after = asked.query("after")
    found = await asked.deps.store.database.run(
        lambda connection: entities.page(connection, kind, after, most + 1, where, parameters)
    )
    asked.answer(
        {
            "object": "list",
            "data": [view(each) for each in found[:most]],
            "next": found[most - 1].id if len(found) > most else None,
        }
    )


def _visible(asked: Asked, kind: Kind) -> tuple[str, list[str]]:
    """What of that kind is within reach, as a condition."""
    if asked.reach.everywhere:
        return "", []
    if kind == "team":
        return asked.reach.where(team="id", project="")
    if kind == "project":
        return asked.reach.where(project="id")
    return asked.reach.where() if kind == "key" else ("1 = 0", [])


def _found(asked: Asked, connection: Connection, kind: str, id: str) -> Entity:
    """:raises NotFound: there is none within reach; what is beyond it does not show."""
    entity = entities.get(connection, kind, id)
    if not reaches(asked.reach, entity):
        raise NotFound(f"There is no {kind} with the id '{id}'.")
    return entity


async def find(asked: Asked, kind: Kind, key: str) -> tuple[Entity, list[KeySecret]]:
    """:raises NotFound: there is none within reach."""

    def look(connection: Connection) -> tuple[Entity, list[KeySecret]]:
        entity = _found(asked, connection, kind, key)
        return entity, entities.secrets_of(connection, entity.id) if kind == "key" else []

    return await asked.deps.store.database.run(look)


async def make(asked: Asked, kind: Kind, body: dict[str, Any], id: str = "") -> tuple[Entity, str]:
    """A new one, and of a key its secret, which nobody can tell again.

    :raises EdgeError: as everything here, where it is refused.
    """
    if id and not re.fullmatch(NAME, id):
        raise ValidationError("An id must be short: letters, digits, '-', '_' and '.'.", param=f"{kind}_id")
    entity = _meant(kind, body, Entity(kind, id or entities.new_id(kind), ""))
    secret = secrets.new() if kind == "key" else ""
    known = _known(asked, secret, entity.id) if secret else None

    def keep(connection: Connection) -> Entity:
        return entities.create(connection, asked.actor, allowed(asked, connection, entity, None), known)

    made = await asked.deps.store.database.run(keep)
    await asked.deps.store.refresh()
    return made, secret


Body = dict[str, Any] | Callable[[Entity], dict[str, Any]]
"""What is said of an entity, or is to be said of it as it is."""


async def alter(asked: Asked, kind: Kind, key: str, body: Body, version: int | None = None) -> Entity:
    """What ``body`` makes of it."""

    def keep(connection: Connection) -> Entity:
        before = _found(asked, connection, kind, key)
        said = body(before) if callable(body) else body
        after = allowed(asked, connection, _meant(kind, said, before), before)
        return entities.change(connection, asked.actor, after, version=before.version if version is None else version)

    made = await asked.deps.store.database.run(keep)
    await asked.deps.store.refresh()
    return made


async def remove(asked: Asked, kind: Kind, key: str, version: int | None = None) -> None:
    """It is gone; its rows keep its name."""

    def keep(connection: Connection) -> Entity:
        gone = msgspec.structs.replace(_found(asked, connection, kind, key), state="deleted")
        return entities.change(connection, asked.actor, gone, "delete", version)

    await asked.deps.store.database.run(keep)
    await asked.deps.store.refresh()


async def renew(asked: Asked, key: str, grace: Any, version: int | None = None) -> tuple[Entity, str]:
    """A new secret for a key; the old ones are good for ``grace`` seconds more."""
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace <= _LONGEST_GRACE:
        raise ValidationError(
            f"The field 'grace_period' must be seconds from 0 to {_LONGEST_GRACE:.0f}.", param="grace_period"
        )
    secret = secrets.new()
    known = _known(asked, secret, key)

    def keep(connection: Connection) -> Entity:
        entity = _found(asked, connection, "key", key)
        check_roles(asked, connection, entity)  # whoever has its secret may do what it may
        retire = connection.now() + round(grace * 1_000_000)
        return entities.change(connection, asked.actor, entity, "rotate", version, known, retire)

    made = await asked.deps.store.database.run(keep)
    await asked.deps.store.refresh()
    return made, secret


async def get(asked: Asked, kind: Kind, key: str) -> None:
    entity, known = await find(asked, kind, key)
    asked.answer(view(entity, known if kind == "key" else None), version=entity.version)


async def create(asked: Asked, kind: Kind) -> None:
    made, secret = await make(asked, kind, asked.body())
    asked.answer(view(made) | ({"key": secret} if secret else {}), 201, made.version)


async def change(asked: Asked, kind: Kind, key: str) -> None:
    made = await alter(asked, kind, key, asked.body(), asked.version)
    asked.answer(view(made), version=made.version)


async def delete(asked: Asked, kind: Kind, key: str) -> None:
    await remove(asked, kind, key, asked.version)
    asked.answer({"id": key, "object": kind, "deleted": True})


async def rotate(asked: Asked, key: str) -> None:
    made, secret = await renew(asked, key, asked.body().get("grace_period", GRACE), asked.version)
    asked.answer(view(made) | {"key": secret}, version=made.version)


def _known(asked: Asked, secret: str, key_id: str) -> KeySecret:
    pepper = asked.deps.store.directory.peppers[0]
    return KeySecret(pepper.digest(secret.encode()), key_id, pepper.id, secret[-4:], 0)


def _meant(kind: Kind, body: dict[str, Any], before: Entity) -> Entity:
    """What ``body`` makes of ``before``; ``null`` takes a setting away.

    :raises ValidationError: with everything that is wrong.
    """
    fields = dict(body)
    name = fields.pop("name", before.name)
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ValidationError("The field 'name' must be short: letters, digits, '-', '_' and '.'.", param="name")
    state = fields.pop("state", before.state)
    if state not in ("active", "disabled"):
        raise ValidationError("The field 'state' must be 'active' or 'disabled'.", param="state")
    places: dict[str, str] = {}
    for place in PLACES[kind]:
        value = fields.pop(place, getattr(before, place))
        if value is not None and not isinstance(value, str):
            raise ValidationError(f"The field '{place}' must be a text: an id, or a name.", param=place)
        places[place] = value or ""
    data = {field: value for field, value in {**before.data, **fields}.items() if value is not None}
    if len(msgspec.json.encode(data)) > _LARGEST:
        raise ValidationError(f"The settings of a {kind} are {_LARGEST} bytes at most.")
    if isinstance(budgets := data.get("budgets"), list) and len(budgets) > _MOST_BUDGETS:
        raise ValidationError(f"There are {_MOST_BUDGETS} budgets at most.", param="budgets")
    if kind == "role":
        _check_role(name, data)
    else:
        try:
            read_table(cast("type[Any]", KeySettings if kind == "key" else Scope), data)
        except ConfigError as error:
            raise ValidationError("; ".join(error.problems), details=list(error.problems)) from None
    return msgspec.structs.replace(before, name=name, state=state, data=data, **places)


def _check_role(name: str, data: dict[str, Any]) -> None:
    permissions = data.get("permissions")
    if name in ROLES:
        raise ValidationError(f"The role '{name}' is always there.", param="name")
    if set(data) - {"permissions", "metadata"}:
        raise ValidationError("A role has 'permissions' and 'metadata'.")
    if not known_permissions(permissions):
        raise ValidationError(
            f"The field 'permissions' must be a list of some of {', '.join(PERMISSIONS)}.", param="permissions"
        )
