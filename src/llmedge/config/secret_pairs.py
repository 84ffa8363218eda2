"""A secret that all processes have to have alike: two of them while it is changed."""

from __future__ import annotations

from typing import Any

from llmedge.config import kinds
from llmedge.config.secret import Secret

SHORTEST = 16
"""Characters it has at least."""


def _secrets(value: Any, environ: kinds.Environ) -> tuple[Secret, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 2:
        raise ValueError("must be one secret, or two while it is changed: the new one first")
    secrets = tuple(kinds.secret.from_toml(each, environ) for each in values)
    if any(len(secret.reveal()) < SHORTEST for secret in secrets):
        raise ValueError(f"must have {SHORTEST} characters at least")
    return secrets


_LIST = {"type": "array", "items": kinds.string.schema, "minItems": 1, "maxItems": 2}

secret_pair = kinds.ValueType(
    "secret, or a list of two while it is changed: the new one first",
    _secrets,
    {"anyOf": [kinds.string.schema, _LIST]},
)
