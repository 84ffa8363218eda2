"""Where the pepper of keys' hashes comes from."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from llmedge.config import ConfigError
from llmedge.config.sections.store import Store
from llmedge.identity.secrets import Pepper


def peppers(settings: Store) -> tuple[Pepper, ...]:
    """The configured ones, the new one first; for SQLite without any, the one beside the database, made if need be.

    :raises ConfigError: PostgreSQL without one, or the file cannot be read.
    """
    if settings.pepper:
        return tuple(Pepper.of(each.reveal()) for each in settings.pepper)
    if settings.path is None:
        raise ConfigError(
            [
                "store.pepper is needed with PostgreSQL: without it a stolen table of keys could be tried out. Set "
                "LLMEDGE_PEPPER to a secret of 32 random characters, the same for all replicas (openssl rand -hex 32)"
                "; LLMEDGE_STORE=off does without a store"
            ]
        )
    file = Path(f"{settings.path}.pepper").expanduser().absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            new = file.with_name(f"{file.name}.{os.getpid()}")
            new.touch(mode=0o600)
            new.write_text(secrets.token_hex(32))
            try:
                os.link(new, file)  # whole, or not at all, and never over another process's
            except FileExistsError:
                pass
            new.unlink()
        value = file.read_text().strip()
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from None
    if not value:
        raise ConfigError([f"{file} is empty: it held the pepper of the keys' hashes; bring it back, or remove it"])
    return (Pepper.of(value),)
