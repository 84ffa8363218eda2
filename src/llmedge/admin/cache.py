"""The cache, as the admin API has it: how it stands, and what is purged."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.admin.asked import Asked, Handlers
from llmedge.cache.generations import name_of
from llmedge.errors import NotFound, PermissionDenied, ValidationError
from llmedge.store import entities


class _Purge(msgspec.Struct, forbid_unknown_fields=True):
    """:ivar key: a key's name or id, in the place of ``scope``. ``all``: everything, said by itself."""

    scope: str = ""
    model: str = ""
    namespace: str = ""
    key: str = ""
    all: bool = False


def handlers() -> Handlers:
    return {"cache_stats": stats, "cache_purge": purge}


def _state(asked: Asked) -> Any:
    """:raises NotFound: there is none. :raises PermissionDenied: the caller's role is bound to a team."""
    if not asked.reach.everywhere:
        raise PermissionDenied("The cache is the gateway's, and the role of this key is bound to a team or a project.")
    if (state := asked.deps.cache()) is None:
        raise NotFound("Nothing is cached here: [cache] enabled is false.")
    return state


async def stats(asked: Asked) -> None:
    """``GET /admin/v1/cache``: how it stands, in this process."""
    asked.answer({"object": "cache", **_state(asked).standing()})


async def purge(asked: Asked) -> None:
    """``POST /admin/v1/cache/purge``: answers of a scope, a model, a namespace, or of all that are given together.

    :raises ValidationError: nothing is.
    """
    state = _state(asked)
    try:
        wanted = msgspec.json.decode(asked.text(), type=_Purge)
    except msgspec.DecodeError as error:
        raise ValidationError(f"Send an object with scope, model, namespace, key or all: {error}.") from None
    if wanted.key and wanted.scope:
        raise ValidationError("Give 'scope' or 'key', not both.", param="key")
    scope = _scope(asked, wanted.key) if wanted.key else wanted.scope
    name = name_of(scope, wanted.model, wanted.namespace)
    if (name == name_of()) != wanted.all:
        raise ValidationError('Say what: scope, model, namespace, key, or {"all": true} by itself.')
    known = await state.generations.bump(name)
    if (store := asked.deps.books) is not None:
        await store.database.run(lambda connection: _write_down(connection, asked.actor, name))
    asked.answer({"object": "cache.purge", "purged": name, "everywhere": known})


def _scope(asked: Asked, key: str) -> str:
    """Of the answers of one key. A key of the file has its name as its id, behind ``file:``.

    :raises NotFound: nobody has it.
    """
    if (store := asked.deps.books) is not None:
        for entity in store.directory.all("key"):
            if key in (entity.id, entity.name):
                return f"key:{entity.id}"
    if ":" in key or key == "anonymous":  # the id of a caller that is no key of ours
        return f"key:{key}"
    if all(each.name != key for each in asked.deps.keys):
        raise NotFound(f"There is no key '{key}': give the name or the id of one, of the store or the file.")
    return f"key:file:{key}"


def _write_down(connection: Any, actor: entities.Actor, name: str) -> None:
    with connection.transaction():
        entities.write_down(connection, actor, "cache.purge", "cache", name, "", None, {})
