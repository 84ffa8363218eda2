"""``[webhook]``: who is told what happens."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret

PREFIX = "whsec_"
"""Before a secret in base64 (github.com/standard-webhooks/standard-webhooks, "Symmetric")."""


def _secret(value: Any, environ: kinds.Environ) -> Secret:
    secret: Secret = kinds.secret.from_toml(value, environ)
    try:
        long_enough = len(key_of(secret)) >= 16
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64 behind {PREFIX}") from None
    if not long_enough:
        raise ValueError("must have 16 bytes at least")
    return secret


def key_of(secret: Secret) -> bytes:
    """What is signed with.

    :raises ValueError: it is not base64 where it says so.
    """
    text = secret.reveal()
    if text.startswith(PREFIX):
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    return text.encode()


SECRET = kinds.ValueType(kinds.secret.name, _secret, kinds.string.schema)


@attrs.frozen
class Webhook:
    """Who is told what happens, such as a budget that is nearly spent: one URL, in requests that are signed."""

    url: str = option(kinds.url, "", "Where events are posted to; default: nobody is told.")
    secret: Secret | None = option(
        SECRET, None, f"What they are signed with, as Standard Webhooks has it; in base64 with {PREFIX} before it."
    )
