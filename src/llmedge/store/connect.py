"""Which database a URL means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llmedge.config import ConfigError
from llmedge.config.sections.store import Store
from llmedge.store.database import Connection


def connector(settings: Store) -> Callable[[], Connection]:
    """What makes a connection to it.

    :raises ConfigError: what that needs is not installed.
    """
    if settings.path is not None:
        from llmedge.store.sqlite import SqliteConnection

        path = Path(settings.path).expanduser().absolute()
        return lambda: SqliteConnection(path)
    try:
        from llmedge.store.postgresql import PostgresqlConnection
    except ImportError:
        raise ConfigError(
            ["store.url names PostgreSQL, which needs another package: pip install 'llmedge[postgresql]'"]
        ) from None
    assert settings.url is not None
    url = settings.url.reveal()
    return lambda: PostgresqlConnection(url)
