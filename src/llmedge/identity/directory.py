"""All that the store knows of keys and what they belong to, in memory: a call never waits for a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import attrs

from llmedge.config.load import read_table
from llmedge.config.sections.auth import KeySettings
from llmedge.config.sections.scopes import Scope
from llmedge.entities import Entity, KeySecret
from llmedge.errors import StoreUnavailable
from llmedge.identity.configured import limits_of
from llmedge.identity.places import Place
from llmedge.identity.refusals import KeyDisabled, KeyExpired
from llmedge.identity.roles import PERMISSIONS, grants_of, scopes_of
from llmedge.identity.secrets import Pepper, is_ours
from llmedge.model import Account, Caller, Clock, Limits

_ABOVE = ("project", "user", "team", "organization")
"""What a key may belong to, the nearest first."""


class Directory:
    """:param peppers: the new one first.

    :ivar loaded: it was read once, from the database or a snapshot.
    :ivar revision: of the last change that is in it.
    :ivar changed: called after each change.
    """

    def __init__(self, clock: Clock, peppers: Iterable[Pepper]) -> None:
        self._clock = clock
        self.peppers = tuple(peppers)
        self.loaded = False
        self.revision = 0
        self.changed: list[Callable[[], None]] = []
        self._entities: dict[tuple[str, str], Entity] = {}
        self._ids: dict[tuple[str, str], str] = {}
        """By name, of those that are not deleted."""
        self._secrets: dict[str, KeySecret] = {}
        self._of_key: dict[str, list[str]] = {}
        self._callers: dict[str, Caller] = {}
        self._knows_any: bool | None = None

    def knows_any(self) -> bool:
        """Whether anybody could show a key of it that may ask for models.

        :raises StoreUnavailable: it was not read yet.
        """
        if not self.loaded:
            raise StoreUnavailable
        if self._knows_any is None:
            self._knows_any = any(
                each.kind == "key" and each.state != "deleted" and "inference" in self._scopes(each)
                for each in self._entities.values()
            )
        return self._knows_any

    def _scopes(self, key: Entity) -> frozenset[str]:
        settings = read_table(KeySettings, key.data)
        return scopes_of(grants_of(settings.roles, Account(key.id, key.team), self.permissions))

    def entity(self, kind: str, id: str) -> Entity | None:
        """The one with that id, also if it is disabled or deleted."""
        return self._entities.get((kind, id))

    def all(self, kind: str) -> list[Entity]:
        """Those that are not deleted."""
        return [each for each in self._entities.values() if each.kind == kind and each.state != "deleted"]

    def everything(self) -> list[Entity]:
        """Deleted ones too."""
        return list(self._entities.values())

    def secrets(self) -> list[KeySecret]:
        """What all keys are known by."""
        return list(self._secrets.values())

    def apply(self, revision: int, entities: Iterable[Entity], secrets: Iterable[KeySecret]) -> None:
        """Take in what has changed: each key with all of its secrets."""
        for entity in entities:
            before = self._entities.get((entity.kind, entity.id))
            self._entities[entity.kind, entity.id] = entity
            if before is not None and self._ids.get((before.kind, before.name)) == before.id:
                del self._ids[before.kind, before.name]
            if entity.state != "deleted":
                self._ids[entity.kind, entity.name] = entity.id
            if entity.kind == "key":
                for digest in self._of_key.pop(entity.id, ()):
                    self._secrets.pop(digest, None)
        for secret in secrets:
            self._secrets[secret.digest] = secret
            self._of_key.setdefault(secret.key_id, []).append(secret.digest)
        self._callers.clear()
        self._knows_any = None
        self.revision, self.loaded = revision, True
        for each in self.changed:
            each()

    def find(self, presented: bytes) -> tuple[Entity, KeySecret] | None:
        """Whose key that is, and by which of its secrets. Found by its HMAC, which whoever guesses cannot compute: how
        long that takes tells nothing."""
        if not is_ours(presented):
            return None
        for pepper in self.peppers:
            if (secret := self._secrets.get(pepper.digest(presented))) is not None:
                entity = self._entities.get(("key", secret.key_id))
                return None if entity is None else (entity, secret)
        return None

    def caller(self, entity: Entity, secret: KeySecret) -> tuple[Caller, bool]:
        """Who asks with that key, and whether that holds until the next change.

        :raises KeyExpired: it has. :raises KeyDisabled: it is, or what it belongs to is.
        """
        caller = self._callers.get(entity.id)
        settings = read_table(KeySettings, entity.data) if caller is None or "expires" in entity.data else None
        now = self._clock.seconds()
        ends = [secret.expires_at / 1_000_000] if secret.expires_at is not None else []
        if settings is not None and settings.expires is not None:
            ends.append(settings.expires.timestamp())
        if ends and now >= min(ends):
            moment = datetime.fromtimestamp(min(ends), UTC)
            raise KeyExpired(f"This API key expired on {moment:%Y-%m-%d}.")
        if entity.state != "active":
            raise KeyDisabled("This API key is disabled.")
        if caller is None:
            assert settings is not None
            caller = self._callers[entity.id] = self._make(entity, settings)
        return caller, not ends

    def _make(self, entity: Entity, settings: KeySettings) -> Caller:
        account = Account(entity.id, entity.team, entity.project, entity.organization, entity.user, settings.tags)
        place = self.place(account)
        grants = grants_of(settings.roles, place.account, self.permissions)
        return Caller(
            entity.name,
            settings.models,
            (*limits_of(settings, f"key:{entity.id}", f"The key '{entity.name}'"), *place.limits),
            account=place.account,
            models_above=place.models,
            roles=settings.roles,
            scopes=scopes_of(grants),
            grants=grants,
            guardrails=(*settings.guardrails, *place.guardrails),
        )

    def place(self, account: Account) -> Place:
        """Where ``account`` belongs, by ids or names; what is not known here stays as it is, and limits nothing.

        :raises PermissionDenied: one of those is disabled or deleted. :raises StoreUnavailable: it was not read yet.
        """
        if not self.loaded:
            raise StoreUnavailable
        limits: list[Limits] = []
        models: list[tuple[str, ...]] = []
        guardrails: list[str] = []
        known: set[str] = set()
        places = {kind: getattr(account, kind) for kind in _ABOVE}
        for kind in _ABOVE:
            above = self._entities.get((kind, places[kind])) or self.named(kind, places[kind])
            if above is None:
                continue
            if above.state != "active":  # without its limits and budgets, the key would have none
                raise KeyDisabled(f"The {kind} of this API key is {above.state}.")
            places[kind] = above.id
            known.add(kind)
            scope = read_table(Scope, above.data)
            limits += limits_of(scope, f"{kind}:{above.id}", f"The {kind} '{above.name}'")
            if scope.models != ("*",):
                models.append(scope.models)
            guardrails += scope.guardrails
            if kind == "project":
                places["team"] = places["team"] or above.team
            if kind in ("project", "team"):
                places["organization"] = places["organization"] or above.organization
        whose = attrs.evolve(account, **places)
        return Place(whose, tuple(limits), tuple(models), tuple(guardrails), frozenset(known))

    def named(self, kind: str, word: str) -> Entity | None:
        """The one with that id, else that name, if it is not deleted."""
        found = self._entities.get((kind, word)) or self._entities.get((kind, self._ids.get((kind, word), "")))
        return None if found is None or found.state == "deleted" else found

    def permissions(self, role: str) -> frozenset[str] | None:
        """Of a role that somebody made."""
        found = self.named("role", role)
        if found is None or found.state != "active":
            return None
        return frozenset(found.data.get("permissions", ())) & frozenset(PERMISSIONS)
