"""``[auth]``: who may ask."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret, resolve, secret_of
from llmedge.config.sections.jwt import Jwt
from llmedge.config.sections.scopes import Scope
from llmedge.config.sections.spiffe import Spiffe


def _key(value: Any, environ: kinds.Environ) -> Secret:
    if not isinstance(value, str):
        raise ValueError('must be a text: the key itself, "sha256:HEX", "env:NAME" or "file:/path"')

    def read() -> str:
        key = resolve(value, environ)
        if re.fullmatch(r"sha256:(?![0-9a-fA-F]{64}$).*", key):
            raise ValueError('must have 64 hexadecimal digits after "sha256:"')
        return key

    return secret_of(value, read)


KEY = kinds.ValueType(kinds.secret.name, _key, kinds.secret.schema)
"""A secret, or ``sha256:HEX`` of it."""


def _keys(value: Any, environ: kinds.Environ) -> tuple[Secret, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 2:
        raise ValueError("must be one key, or a list of two while it is changed")
    return tuple(_key(each, environ) for each in values)


KEYS = kinds.ValueType(
    f"{kinds.secret.name}, or a list of two while it is changed",
    _keys,
    {"anyOf": [kinds.string.schema, {"type": "array", "items": kinds.string.schema, "minItems": 1, "maxItems": 2}]},
)


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError("must be a moment such as 2026-12-31T18:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


MOMENT = kinds.simple(
    "moment such as 2026-12-31T18:00:00Z; UTC where it does not say", _moment, {"type": "string", "format": "date-time"}
)


@attrs.frozen
class KeySettings(Scope):
    """What any key may say of itself."""

    expires: datetime | None = option(MOMENT, None, "When it ceases to be one; default: never.")
    roles: tuple[str, ...] = option(kinds.strings, ("caller",), "What it may do besides asking for models.")


@attrs.frozen
class Key(KeySettings):
    """One API key."""

    name: str = option(kinds.string, "", "What logs and metrics show for this key.")
    key: tuple[Secret, ...] = option(
        KEYS, (), 'The key, or "sha256:HEX" of it, or a reference; a list of two while it is changed.'
    )
    certificate: str = option(
        kinds.string, "", "A verified client certificate with this common or alternative name is this key as well."
    )
    team: str = option(kinds.string, "", "Whose it is, for the books.")
    project: str = option(kinds.string, "", "What it is for, for the books.")
    user: str = option(kinds.string, "", "Who has it, for the books.")

    def digests(self) -> list[bytes]:
        """SHA-256 of each key, 32 bytes."""
        return [_digest(key.reveal()) for key in self.key]


def _digest(value: str) -> bytes:
    if value.startswith("sha256:"):
        return bytes.fromhex(value.removeprefix("sha256:"))
    return hashlib.sha256(value.encode()).digest()


@attrs.frozen
class Auth:
    """Who may ask."""

    enabled: bool = option(kinds.boolean, True, "Ask callers for a key.", env="AUTH_ENABLED")
    health_check: bool = option(kinds.boolean, False, "Ask for a key on /health as well.", env="AUTH_HEALTH_CHECK")
    metrics: bool = option(kinds.boolean, False, "Ask for a key on /metrics as well.", env="AUTH_METRICS")
    keys: tuple[Key, ...] = attrs.field(default=(), metadata={"items": Key, "env": "API_KEYS"})
    jwt: tuple[Jwt, ...] = attrs.field(default=(), metadata={"items": Jwt})
    spiffe: tuple[Spiffe, ...] = attrs.field(default=(), metadata={"items": Spiffe})
