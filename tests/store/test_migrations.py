"""A database is brought up to the release, once, by one at a time."""

from __future__ import annotations

import re
import threading

from llmedge.store.database import DatabaseError
from llmedge.store.migrations import Migration, migrate, migrations
from tests.store.databases import OnDatabase, on_both

TABLES = {"rollup_day", "rollup_hour_key", "rollup_hour_model", "spool_position", "lease", "schema_version"}


class Migrations(OnDatabase):
    def test_once(self) -> None:
        """The second time there is nothing to do."""
        connection = self.connect(self.where())
        first = migrate(connection)
        self.assertEqual(len(first), len(migrations()))
        self.assertEqual(migrate(connection), [])
        for table in TABLES:
            connection.query(f"SELECT * FROM {table}")

    def test_by_one_at_a_time(self) -> None:
        """Several processes may start at once."""
        where = self.where()
        said: list[list[str]] = []
        connections = [self.connect(where) for _ in range(4)]
        threads = [threading.Thread(target=lambda each=each: said.append(migrate(each))) for each in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(map(len, said)), [0, 0, 0, len(migrations())])

    def test_whole_or_not_at_all(self) -> None:
        connection = self.connect(self.where())
        bad = Migration(1, "bad", "-- both:\nCREATE TABLE one (a text);\nCREATE TABLE one (a text);\n", "d")
        self.assertRaises(DatabaseError, migrate, connection, [bad])
        good = bad._replace(text="-- both:\nCREATE TABLE one (a text);\n")
        self.assertEqual(len(migrate(connection, [good])), 1)

    def test_another_text_is_refused(self) -> None:
        connection = self.migrated()
        changed = [each._replace(digest="0" * 64) for each in migrations()]
        error = self.assertRaises(DatabaseError, migrate, connection, changed)
        self.assertIn("was done from another file", str(error))

    def test_a_newer_database_is_taken_as_it_is(self) -> None:
        """An older release goes on, and says so."""
        connection = self.migrated()
        newer = Migration(9999, "later", "-- both:\nCREATE TABLE later (a text);\n", "d")
        migrate(connection, [*migrations(), newer])
        self.assertEqual(
            migrate(connection),
            ["the database is of a newer release (it has migration 9999); this one goes on with it"],
        )

    def test_the_release_before_goes_on(self) -> None:
        """What there is is added to; nothing that an older release uses is taken away, renamed or asked for anew. (What
        no release uses any more may go: then this test says which release that was.)"""
        for migration in migrations():
            for statement in (each for kind in ("sqlite", "postgresql") for each in migration.statements(kind)):
                words = " ".join(statement.split()).upper()
                new = words.startswith(("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ", "INSERT INTO "))
                added = re.match(r"ALTER TABLE \w+ ADD COLUMN ", words) and (
                    "NOT NULL" not in words or " DEFAULT " in words
                )
                self.assertTrue(new or added, f"{migration.name}: {statement}")

    def test_each_has_its_own_parts(self) -> None:
        text = "-- both:\nA;\n-- sqlite:\nB;\n-- postgresql:\nC; -- why\n-- both:\nD\n"
        migration = Migration(1, "x", text, "")
        self.assertEqual(migration.statements("sqlite"), ["A", "B", "D"])
        self.assertEqual(migration.statements("postgresql"), ["A", "C", "D"])


MigrationsSqlite, MigrationsPostgresql = on_both(Migrations)
del Migrations
