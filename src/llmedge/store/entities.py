"""Organizations, teams, projects, users, keys and roles in the database. Each change is written down in the same
transaction: who did it, what was before and after, and a digest that chains it to the change before."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec

from llmedge.entities import Entity, KeySecret
from llmedge.errors import Conflict, NotFound
from llmedge.store.database import Connection, ConstraintError

_COLUMNS = (
    *("kind", "id", "name", "organization", "team", "project", "user_id", "state", "data", "version"),
    *("created_at", "created_by", "updated_at", "revision"),
)
_SECRET = ("digest", "key_id", "pepper_id", "last4", "created_at", "expires_at")
AUDIT = (
    *("n", "at", "actor", "peer", "request_id", "action", "kind", "id", "team", "before", "after", "previous"),
    "digest",
)
MOST_SECRETS = 8
"""Of a key, at a time."""
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.decode


@attrs.frozen
class Actor:
    """Who changes something.

    :ivar name: the caller's id, which nobody else has; ``peer`` its address.
    """

    name: str
    peer: str = ""
    request_id: str = ""


class Change(msgspec.Struct, frozen=True):
    """What is new since a revision."""

    revision: int
    entities: list[Entity]
    secrets: list[KeySecret]


def new_id(kind: str) -> str:
    """An id nobody has: ``key_…``."""
    return f"{kind}_{secrets.token_hex(10)}"


def get(connection: Connection, kind: str, id: str) -> Entity:
    """:raises NotFound: there is none, or it is deleted."""
    found = _select(connection, "kind = ? AND id = ? AND state <> 'deleted'", [kind, id])
    if not found:
        raise NotFound(f"There is no {kind} with the id '{id}'.")
    return found[0]


def named(connection: Connection, kind: str, name: str) -> Entity | None:
    """The one of that name."""
    found = _select(connection, "kind = ? AND name = ? AND state <> 'deleted'", [kind, name])
    return found[0] if found else None


def page(
    connection: Connection, kind: str, after: str = "", most: int = 100, where: str = "", parameters: Sequence[Any] = ()
) -> list[Entity]:
    """Those behind the id ``after``, in the order of their ids.

    :param where: a condition of ours, with its ``parameters``: what the asker may see.
    """
    condition = f"kind = ? AND id > ? AND state <> 'deleted'{f' AND ({where})' if where else ''}"
    return _select(connection, condition, [kind, after, *parameters], f" ORDER BY id LIMIT {int(most)}")


def since(connection: Connection, revision: int) -> Change:
    """What was changed after ``revision``; deleted ones too. 0: all there is."""
    now = int(connection.query("SELECT number FROM revision WHERE name = 'entity'")[0][0])
    if now == revision:
        return Change(now, [], [])
    entities = _select(connection, "revision > ?", [revision])
    keys = [each.id for each in entities if each.kind == "key"]
    return Change(now, entities, list(_secrets(connection, keys if revision else None)))


def _secrets(connection: Connection, keys: Sequence[str] | None) -> Iterable[KeySecret]:
    columns = ", ".join(_SECRET)
    if keys is None:
        rows = connection.query(f"SELECT {columns} FROM key_secret")  # noqa: S608
    else:
        rows = []
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            places = ", ".join("?" * len(some))
            rows += connection.query(f"SELECT {columns} FROM key_secret WHERE key_id IN ({places})", some)  # noqa: S608
    return [KeySecret(*row) for row in rows]


def secrets_of(connection: Connection, key_id: str) -> list[KeySecret]:
    """Those of one key."""
    return list(_secrets(connection, [key_id]))


def create(connection: Connection, actor: Actor, entity: Entity, secret: KeySecret | None = None) -> Entity:
    """Keep a new one.

    :param secret: of a key, without its time.
    :raises Conflict: another one has its name.
    """
    now = connection.now()
    try:
        with connection.transaction():
            made = msgspec.structs.replace(
                entity, created_at=now, updated_at=now, created_by=actor.name, revision=_next(connection), version=1
            )
            _insert(connection, made)
            if secret is not None:
                _add_secret(connection, msgspec.structs.replace(secret, created_at=now))
            _audit(connection, actor, f"{entity.kind}.create", made, None)
    except ConstraintError:
        raise Conflict(f"There is a {entity.kind} with the name '{entity.name}' already.") from None
    return made


def change(
    connection: Connection,
    actor: Actor,
    entity: Entity,
    action: str = "update",
    version: int | None = None,
    add: KeySecret | None = None,
    retire: int | None = None,
) -> Entity:
    """Keep ``entity`` as it is now.

    :param version: what it was when whoever changes it looked; ``None``: whatever it is.
    :param add: one more secret of a key. :param retire: when its other secrets end, in microseconds since 1970.
    :raises NotFound: there is none. :raises Conflict: it was changed meanwhile, another one has its name, or it has too
        many secrets.
    """
    try:
        with connection.transaction():
            revision = _next(connection)  # first: what is read before others have done is not what they leave
            before = get(connection, entity.kind, entity.id)
            if version is not None and before.version != version:
                raise Conflict(f"This {entity.kind} was changed meanwhile: it is version {before.version} now.")
            after = msgspec.structs.replace(
                entity,
                version=before.version + 1,
                created_at=before.created_at,
                created_by=before.created_by,
                updated_at=connection.now(),
                revision=revision,
            )
            connection.execute("DELETE FROM entity WHERE kind = ? AND id = ?", [entity.kind, entity.id])
            _insert(connection, after)
            if add is not None:
                _make_room(connection, entity.id, after.updated_at)
            if retire is not None:
                connection.execute(
                    "UPDATE key_secret SET expires_at = ? WHERE key_id = ? AND (expires_at IS NULL OR expires_at > ?)",
                    [retire, entity.id, retire],
                )
            if add is not None:
                _add_secret(connection, msgspec.structs.replace(add, created_at=after.updated_at))
            if after.state == "deleted":
                connection.execute("DELETE FROM key_secret WHERE key_id = ?", [entity.id])
            _audit(connection, actor, f"{entity.kind}.{action}", after, before)
    except ConstraintError:
        raise Conflict(f"There is a {entity.kind} with the name '{entity.name}' already.") from None
    return after


def _insert(connection: Connection, entity: Entity) -> None:
    values = [getattr(entity, "user" if name == "user_id" else name) for name in _COLUMNS]
    values[_COLUMNS.index("data")] = _encode(entity.data).decode()
    connection.execute(
        f"INSERT INTO entity ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        values,
    )


def _make_room(connection: Connection, key_id: str, now: int) -> None:
    """:raises Conflict: there is none."""
    connection.execute("DELETE FROM key_secret WHERE key_id = ? AND expires_at <= ?", [key_id, now])
    if connection.query("SELECT COUNT(*) FROM key_secret WHERE key_id = ?", [key_id])[0][0] >= MOST_SECRETS:
        raise Conflict(f"This key has {MOST_SECRETS} secrets that are good for a while: give the next no grace period.")


def _add_secret(connection: Connection, secret: KeySecret) -> None:
    connection.execute(
        f"INSERT INTO key_secret ({', '.join(_SECRET)}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
        [getattr(secret, name) for name in _SECRET],
    )


def _select(connection: Connection, condition: str, parameters: Sequence[Any], tail: str = "") -> list[Entity]:
    rows = connection.query(f"SELECT {', '.join(_COLUMNS)} FROM entity WHERE {condition}{tail}", parameters)  # noqa: S608
    place = _COLUMNS.index("data")
    return [Entity(*[*row[:place], _decode(row[place]), *row[place + 1 :]]) for row in rows]


def _next(connection: Connection) -> int:
    """Of the changes, one after another: whoever makes one waits for whoever makes one."""
    connection.notify()
    connection.execute("UPDATE revision SET number = number + 1 WHERE name = 'entity'")
    return int(connection.query("SELECT number FROM revision WHERE name = 'entity'")[0][0])


def _audit(connection: Connection, actor: Actor, action: str, after: Entity, before: Entity | None) -> None:
    write_down(
        connection,
        actor,
        action,
        after.kind,
        after.id,
        after.team if after.kind != "team" else after.id,
        None if before is None else _shown(before),
        _shown(after),
    )


def _shown(entity: Entity) -> dict[str, Any]:
    whole = msgspec.structs.asdict(entity)
    return {name: whole[name] for name in ("name", "organization", "team", "project", "user", "state", "data")}


def write_down(
    connection: Connection, actor: Actor, action: str, kind: str, id: str, team: str, before: Any, after: Any
) -> None:
    """One more line of the audit, in the transaction that is open. Holds no secret: nobody is to hand it one."""
    connection.execute("UPDATE revision SET number = number WHERE name = 'entity'")  # one line after another
    found = connection.query("SELECT n, digest FROM audit ORDER BY n DESC LIMIT 1")
    n, previous = (int(found[0][0]) + 1, found[0][1]) if found else (1, "")
    texts = [_encode(each).decode() for each in (before, after)]
    line = [n, connection.now(), actor.name, actor.peer, actor.request_id, action, kind, id, team, *texts, previous]
    connection.execute(
        f"INSERT INTO audit ({', '.join(AUDIT)}) VALUES ({', '.join('?' * len(AUDIT))})",  # noqa: S608
        [*line, link(line)],
    )


def link(line: Sequence[Any]) -> str:
    """The digest of a line of the audit, which the next one holds: SHA-256 of its columns as JSON."""
    return hashlib.sha256(_encode([str(each) for each in line])).hexdigest()


def broken_links(connection: Connection) -> list[int]:
    """The numbers of lines that were changed, or before which some are missing."""
    broken, expected, number = [], "", 0
    for row in connection.query(f"SELECT {', '.join(AUDIT)} FROM audit ORDER BY n"):  # noqa: S608
        *line, digest = row
        if line[-1] != expected or digest != link(line) or line[0] != number + 1:
            broken.append(int(line[0]))
        expected, number = digest, line[0]
    return broken
