"""``[auth]``: who may ask."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret, resolve, secret_of


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


@attrs.frozen
class Key:
    """One API key."""

    name: str = option(kinds.string, "", "What logs and metrics show for this key.")
    key: Secret | None = option(KEY, None, 'The key, or "sha256:HEX" of it, or a reference.')
    certificate: str = option(
        kinds.string, "", "A verified client certificate with this common or alternative name is this key as well."
    )
    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models it may ask for.")
    rpm: int | None = option(kinds.integer(1), None, "Requests a minute; default: only the global limit.")
    burst: int | None = option(kinds.integer(1), None, "Requests at once; default: rate_limit.burst.")

    def digest(self) -> bytes:
        """SHA-256 of the key, 32 bytes."""
        assert self.key is not None
        value = self.key.reveal()
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
