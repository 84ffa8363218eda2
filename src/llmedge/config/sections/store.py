"""``[store]``: the database of keys, budgets and the ledger."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret


def _url(value: Any, environ: kinds.Environ) -> Secret | None:
    url: Secret = kinds.secret.from_toml(value, environ)
    if url.reveal() == "off":
        return None
    if not url.reveal().startswith(("sqlite:", "postgresql://", "postgres://")) or url.reveal() == "sqlite:":
        raise ValueError('must be "sqlite:PATH", "postgresql://USER@HOST/DATABASE" or "off"')
    return url


URL = kinds.ValueType('secret: "sqlite:PATH" or "postgresql://…"', _url, kinds.string.schema)


def _peppers(value: Any, environ: kinds.Environ) -> tuple[Secret, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 2:
        raise ValueError("must be one secret, or two while it is changed: the new one first")
    peppers = tuple(kinds.secret.from_toml(each, environ) for each in values)
    if any(len(pepper.reveal()) < 16 for pepper in peppers):
        raise ValueError("must have 16 characters at least")
    return peppers


PEPPERS = kinds.ValueType(
    "secret, or a list of two while it is changed: the new one first",
    _peppers,
    {"anyOf": [kinds.string.schema, {"type": "array", "items": kinds.string.schema, "minItems": 1, "maxItems": 2}]},
)


@attrs.frozen
class Store:
    """The database of keys, budgets and the ledger. Without one nothing is kept, and the keys are those of the file."""

    url: Secret | None = option(
        URL,
        None,
        '"sqlite:PATH", "postgresql://…" (the extra postgresql), "off"; default: DATABASE_URL that names PostgreSQL.',
        env="LLMEDGE_STORE",
    )
    pepper: tuple[Secret, ...] = option(
        PEPPERS,
        (),
        "What the hashes of keys are made with besides the key. SQLite has one made beside it; PostgreSQL needs one.",
        env="LLMEDGE_PEPPER",
    )

    @property
    def path(self) -> str | None:
        """Of SQLite's file; ``None`` where there is none."""
        url = "" if self.url is None else self.url.reveal()
        return url.removeprefix("sqlite:") if url.startswith("sqlite:") else None
