"""Numbered SQL files of the package, each done once, in order, by one process at a time.

A file has parts, begun by ``-- both:``, ``-- sqlite:`` or ``-- postgresql:``; one that was published is not changed any
more. A migration never breaks the release before it: it adds, and what is not used is taken away one release later.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from importlib.resources import files
from typing import NamedTuple

from llmedge.config import Settings
from llmedge.store.connect import connector
from llmedge.store.database import Connection, DatabaseError

AHEAD = 2
"""Months for whose rows there is a place before they begin."""
_DAY = 86_400_000_000
_IS_THERE = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'",
    "postgresql": "SELECT 1 WHERE to_regclass('schema_version') IS NOT NULL",
}


class Migration(NamedTuple):
    """One file. ``digest`` is SHA-256 of its text, in hexadecimal."""

    version: int
    name: str
    text: str
    digest: str

    def statements(self, kind: str) -> list[str]:
        """What it has a database of that kind do."""
        parts = re.split(r"^-- (both|sqlite|postgresql):$", self.text, flags=re.MULTILINE)[1:]
        chosen = "".join(text for of, text in zip(parts[::2], parts[1::2], strict=True) if of in ("both", kind))
        return [each.strip() for each in re.sub(r"--.*", "", chosen).split(";") if each.strip()]


def migrations() -> list[Migration]:
    """All of this release, in order."""
    found = []
    for file in sorted((files("llmedge.store") / "sql").iterdir(), key=lambda file: file.name):
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            text = file.read_text()
            found.append(Migration(int(match[1]), match[2], text, hashlib.sha256(text.encode()).hexdigest()))
    return found


def migrate(connection: Connection, all_of: list[Migration] | None = None) -> list[str]:
    """Bring the database up to this release; what was done, or is to be known, a line each.

    :raises DatabaseError: a migration that was done is not the one that this release has.
    """
    said = []
    ours = migrations() if all_of is None else all_of
    with connection.migrating():
        if not connection.query(_IS_THERE[connection.kind]):  # who may not create anything need not, then
            connection.execute(
                "CREATE TABLE schema_version"
                " (version integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at bigint NOT NULL)"
            )
        done = {row[0]: row for row in connection.query("SELECT version, name, digest FROM schema_version")}
        for migration in ours:
            if (before := done.pop(migration.version, None)) is None:
                for statement in migration.statements(connection.kind):
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO schema_version VALUES (?, ?, ?, ?)",
                    [migration.version, migration.name, migration.digest, connection.now()],
                )
                said.append(f"migration {migration.version:04} ({migration.name}) is done")
            elif before[2] != migration.digest:
                raise DatabaseError(
                    f"migration {migration.version:04} ({before[1]}) was done from another file than this release has; "
                    "use the release that made this database, or a new database"
                )
    if done:
        said.append(f"the database is of a newer release (it has migration {max(done):04}); this one goes on with it")
    return said


def keep_months(connection: Connection, retention: int) -> int:
    """Make the places for rows of the months to come, and drop months that ended more than ``retention`` days ago (0:
    none); how many."""
    now = connection.now()
    connection.prepare(now, AHEAD)
    return connection.forget(now - retention * _DAY) if retention else 0


def migrate_alone(settings: Settings) -> list[str]:
    """The same on a connection of its own, for whoever would rather have it done before a release is started, or as a
    role that may what the gateway's may not: that sees to the months, too.

    :raises ConfigError: a package is missing, or the URL cannot be read.
    """
    with closing(connector(settings.store)()) as connection:
        done = migrate(connection)
        if connection.kind == "postgresql":  # files of SQLite are its one process's
            keep_months(connection, settings.ledger.retention)
        return done
