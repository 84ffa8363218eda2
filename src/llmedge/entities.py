"""Those who are known to the store: organizations, their teams, projects and people, and the keys of all of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["organization", "team", "project", "user", "key", "role", "plan"]
KINDS: tuple[Kind, ...] = ("organization", "team", "project", "user", "key", "role")
"""All but ``plan``: limits that keys are given when they are made, as LiteLLM's budgets are."""


class Entity(msgspec.Struct, frozen=True, gc=False):
    """One of them.

    :ivar name: unique among those of its kind that are not deleted.
    :ivar organization: id of the one it belongs to, ``""`` for none; ``team``, ``project`` and ``user`` likewise.
    :ivar state: ``active``, ``disabled`` or ``deleted``; who is deleted keeps its name for the books.
    :ivar data: its settings, in the words of the configuration.
    :ivar version: counts its changes; ``revision`` those of all.
    :ivar created_at: microseconds since 1970; ``updated_at`` too.
    """

    kind: Kind
    id: str
    name: str
    organization: str = ""
    team: str = ""
    project: str = ""
    user: str = ""
    state: str = "active"
    data: dict[str, Any] = {}
    version: int = 1
    created_at: int = 0
    created_by: str = ""
    updated_at: int = 0
    revision: int = 0


class KeySecret(msgspec.Struct, frozen=True, gc=False):
    """What a key is known by. It may have several, while one is changed.

    :ivar digest: HMAC-SHA256 of the key with the pepper ``pepper_id``, in hexadecimal.
    :ivar last4: characters of the key, to tell it by.
    :ivar expires_at: microseconds since 1970 from which on it is none; ``None`` for never.
    """

    digest: str
    key_id: str
    pepper_id: str
    last4: str
    created_at: int
    expires_at: int | None = None


replace = msgspec.structs.replace
