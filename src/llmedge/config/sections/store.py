"""``[store]``: the database of keys, budgets and the ledger."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.secret_pairs import secret_pair


def _url(value: Any, environ: kinds.Environ) -> Secret | None:
    url: Secret = kinds.secret.from_toml(value, environ)
    if url.reveal() == "off":
        return None
    if not url.reveal().startswith(("sqlite:", "postgresql://", "postgres://")) or url.reveal() == "sqlite:":
        raise ValueError('must be "sqlite:PATH", "postgresql://USER@HOST/DATABASE" or "off"')
    return url


URL = kinds.ValueType('secret: "sqlite:PATH" or "postgresql://…"', _url, kinds.string.schema)


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
        secret_pair,
        (),
        "What the hashes of keys are made with besides the key. SQLite has one made beside it; PostgreSQL needs one.",
        env="LLMEDGE_PEPPER",
    )

    @property
    def path(self) -> str | None:
        """Of SQLite's file; ``None`` where there is none."""
        url = "" if self.url is None else self.url.reveal()
        return url.removeprefix("sqlite:") if url.startswith("sqlite:") else None
