"""Which database a URL means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llmedge.config import ConfigError
from llmedge.config.sections.store import Store
from llmedge.store.database import Connection


def connector(settings: Store) -> Callable[[], Connection]:
    """What makes a connection to it.

    :raises ConfigError: what that needs is not installed, or the URL cannot be read.
    """
    if settings.path is not None:
        from llmedge.store.sqlite import SqliteConnection, sqlite_problem

        if problem := sqlite_problem():
            raise ConfigError([f"store.url (LLMEDGE_STORE) {problem}"])
        path = Path(settings.path).expanduser().absolute()
        return lambda: SqliteConnection(path)
    try:
        from llmedge.store.postgresql import PostgresqlConnection, problem_of
    except ImportError:
        raise ConfigError(
            [
                "store.url (LLMEDGE_STORE, else DATABASE_URL) names PostgreSQL, which needs another package: pip "
                "install 'llmedge[postgresql]'; LLMEDGE_STORE=off does without a store"
            ]
        ) from None
    assert settings.url is not None
    url = settings.url.reveal()
    if problem := problem_of(url):
        raise ConfigError([f"store.url (LLMEDGE_STORE, else DATABASE_URL) {problem}"])
    return lambda: PostgresqlConnection(url)
