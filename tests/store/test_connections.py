"""What the two databases promise alike."""

from __future__ import annotations

import re
import sqlite3
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.secret import Secret
from llmedge.config.sections.store import Store
from llmedge.store.connect import connector
from llmedge.store.database import ConstraintError, DatabaseError
from llmedge.store.migrations import migrate, migrations
from llmedge.store.rollups import FIGURES, add
from llmedge.store.rows import COLUMNS, Row
from llmedge.store.spend import Question, spend
from llmedge.store.sqlite import SqliteConnection
from tests import postgresql
from tests.store.databases import OnDatabase, on_both, row

OCTOBER = int(datetime(2026, 10, 31, 23, 59, tzinfo=UTC).timestamp())


class Connections(OnDatabase):
    def test_rows_are_kept_once(self) -> None:
        """However often they come; the months are apart, the latest first."""
        connection = self.migrated()
        rows = [row(OCTOBER), row(OCTOBER + 120), row(OCTOBER + 121, cost=None)]
        done: list[int] = []
        for _ in range(2):
            connection.add(rows, lambda: done.append(1))
        self.assertEqual(done, [1, 1])
        self.assertEqual(self.all_rows(connection, 0, 2**52), rows[1:] + rows[:1] if self.kind == "Sqlite" else rows)
        self.assertEqual(self.all_rows(connection, (OCTOBER + 119) * 1_000_000, 2**52), rows[1:])

    def all_rows(self, connection: object, start: int, end: int) -> list[Row]:
        return [
            Row(*values)
            for table in connection.months(start, end)  # type: ignore[attr-defined]
            for values in connection.query(  # type: ignore[attr-defined]
                f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE at >= ? AND at < ? ORDER BY at", [start, end]
            )
        ]

    def test_of_the_release_before(self) -> None:
        """Its rows and sums are there, with nothing spared; it and this one write beside each other."""
        where = self.where()
        old, new = self.connect(where), self.connect(where)
        migrate(old, migrations()[:2])
        added = ("cache", "saved", "spared_input", "spared_output")
        columns = [name for name in COLUMNS if name not in added]
        figures = [name for name in FIGURES if name not in (*added, "hits")]
        if self.kind == "Sqlite":
            text = (files("llmedge.store") / "sql/month.sql").read_text()
            text = re.sub(r"\n    cache .*\n.*spared_output.*,\n", "\n", text)
            self.assertNotIn("spared", text)
            with patch.object(Path, "read_text", lambda *_: text), patch("llmedge.store.sqlite._ADDED", {}):
                old._attach(202610)  # type: ignore[attr-defined]
        else:
            old.prepare(OCTOBER * 1_000_000, 1)
        (first, *_) = old.months(0, 2**52)

        def write(at: int) -> None:
            values = [getattr(row(at), name) for name in columns]
            old.execute(f"INSERT INTO {first} ({', '.join(columns)}) VALUES ({', '.join('?' * len(values))})", values)
            names = ("day", "key_id", "team", "project", "organization", "user_id", "model", "provider", *figures)
            place = [20261031, "id-team-a", "red", "search", "acme", "anna", "gpt-4o", "openai"]
            sums = [1, 0, 1000, 0, 0, 200, 0, 4_500_000_000, 0, 0]
            old.execute(
                f"INSERT INTO rollup_day ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT (day,"
                " key_id, team, project, organization, user_id, model, provider) DO UPDATE SET calls = rollup_day.calls"
                " + 1",
                [*place, *sums],
            )

        write(OCTOBER)
        self.assertEqual(len(migrate(new)), len(migrations()) - 2)
        self.assertEqual(self.all_rows(new, 0, 2**52), [row(OCTOBER)])
        write(OCTOBER + 1)
        hit = msgspec.structs.replace(row(OCTOBER + 2), cache="HIT", saved=7, spared_input=5)
        new.add([hit], lambda: add(new, [hit]))
        self.assertEqual(self.all_rows(new, 0, 2**52), [row(OCTOBER), row(OCTOBER + 1), hit])
        day = OCTOBER // 86400 * 86400 * 1_000_000
        (sums,) = spend(new, Question(day, day + 86400 * 1_000_000))
        self.assertEqual((sums["calls"], sums["hits"], sums["saved"], sums["spared_input"]), (3, 1, 7, 5))

    def test_what_is_not_whole_is_not_there(self) -> None:
        connection = self.migrated()

        def fails() -> None:
            connection.execute("INSERT INTO lease VALUES (?, ?, ?)", ["a", "b", 1])
            raise KeyError

        self.assertRaises(KeyError, connection.add, [row(OCTOBER)], fails)
        self.assertEqual(connection.query("SELECT * FROM lease"), [])
        connection.add([row(OCTOBER)], lambda: None)
        self.assertEqual(len(self.all_rows(connection, 0, 2**52)), 1)

    def test_old_months_go(self) -> None:
        connection = self.migrated()
        connection.add([row(OCTOBER), row(OCTOBER + 120)], lambda: None)
        self.assertEqual(connection.forget((OCTOBER + 30) * 1_000_000), 0)
        self.assertEqual(connection.forget((OCTOBER + 120) * 1_000_000), 1)
        self.assertEqual([each.at for each in self.all_rows(connection, 0, 2**52)], [(OCTOBER + 120) * 1_000_000])
        connection.add([row(OCTOBER)], lambda: None)  # a late one
        self.assertEqual(len(self.all_rows(connection, 0, 2**52)), 2)

    def test_many_months(self) -> None:
        """More than SQLite has files open."""
        connection = self.migrated()
        moments = [datetime(2025 + month // 12, month % 12 + 1, 3, tzinfo=UTC).timestamp() for month in range(20)]
        connection.add([row(moment) for moment in moments], lambda: None)
        self.assertEqual(len(self.all_rows(connection, 0, 2**52)), 20)

    def test_problems_have_two_kinds(self) -> None:
        """What is refused, and what cannot be asked."""
        connection = self.migrated()
        connection.execute("INSERT INTO lease VALUES (?, ?, ?)", ["a", "b", 1])
        self.assertRaises(ConstraintError, connection.execute, "INSERT INTO lease VALUES (?, ?, ?)", ["a", "b", 1])
        self.assertRaises(DatabaseError, connection.query, "SELECT * FROM nowhere")

    def test_what_it_cannot_keep_is_refused(self) -> None:
        """Not taken for a database that is away."""
        connection = self.migrated()
        for values in (["a", "b", 2**63], ["\ud800", "b", 1]):
            self.assertRaises(ConstraintError, connection.execute, "INSERT INTO lease VALUES (?, ?, ?)", values)

    def test_its_clock(self) -> None:
        connection = self.migrated()
        self.assertApproximates(connection.now(), time.time() * 1_000_000, 60_000_000)  # type: ignore[attr-defined]

    def test_texts_are_taken_as_they_are(self) -> None:
        connection = self.migrated()
        for name in ("50% of '?'", 'Zoë "x"', "%s ?"):
            connection.execute("INSERT INTO lease VALUES (?, ?, ?)", [name, "b", 1])
            self.assertEqual(connection.query("SELECT name FROM lease WHERE name = ?", [name]), [(name,)])


class Months(OnDatabase, SynchronousTestCase):
    """PostgreSQL's partitions."""

    kind = "Postgresql"
    skip = postgresql.missing() or None

    def test_readers_wait_for_none_of_it(self) -> None:
        """Whoever reads the ledger for long does not hold up those that write it, new month or not, nor is what it
        reads taken away."""
        where = self.where()
        connection, reader = self.connect(where), self.connect(where)
        migrate(connection)
        connection.add([row(OCTOBER)], lambda: None)
        with reader.transaction():
            reader.query("SELECT count(*) FROM ledger")
            connection.prepare((OCTOBER + 120) * 1_000_000, 2)
            connection.add([row(OCTOBER + 120)], lambda: None)
            self.assertEqual(connection.forget((OCTOBER + 120) * 1_000_000), 0)
        self.assertEqual(connection.forget((OCTOBER + 120) * 1_000_000), 1)
        self.assertEqual(connection.query("SELECT count(*) FROM ledger"), [(1,)])

    def test_a_year_ends(self) -> None:
        connection = self.migrated()
        connection.prepare((OCTOBER + 40 * 86_400) * 1_000_000, 1)
        tables = {name for (name,) in connection.query("SELECT tablename FROM pg_tables")}
        self.assertLess({"ledger_202612", "ledger_202701"}, tables)


class Urls(SynchronousTestCase):
    """What cannot be a database's is refused before it is tried."""

    def problem(self, url: str) -> str:
        return str(self.assertRaises(ConfigError, connector, Store(url=Secret(url))))

    def test_no_message_repeats_it(self) -> None:
        """Whatever libpq would say of it."""
        for url in ("bob:s3cret@[::1/x", "bob:s3cr%zzet@h/x", "bob:s3 cret@h/x", "bob:p@h/x?s3cret=1", "h:s3cret/x"):
            message = self.problem(f"postgresql://{url}")
            self.assertIn("store.url", message)
            self.assertNotIn("s3", message)

    def test_an_old_sqlite(self) -> None:
        self.patch(sqlite3, "sqlite_version_info", (3, 20, 0))
        self.assertIn("3.24", self.problem("sqlite:x.db"))

    def test_files_that_are_no_database(self) -> None:
        """Each is named, with what is wrong."""
        text = Path(self.mktemp())
        text.write_text("something else, long enough to be looked at" * 100)
        for path, words in (
            (text.absolute(), "file is not a database"),
            (text.absolute().parent, "unable to open"),
            (Path("/sys/x.db"), "Permission denied"),
        ):
            error = self.assertRaises(DatabaseError, connector(Store(url=Secret(f"sqlite:{path}"))))
            self.assertIn(words, str(error))
            self.assertIn(str(path), str(error))


ConnectionsSqlite, ConnectionsPostgresql = on_both(Connections)
del Connections


class MonthFiles(SynchronousTestCase):
    """Files of months, in SQLite."""

    def test_two_at_once(self) -> None:
        """Whoever comes second to a month of the release before finds what the first has added, and can go on."""
        path = Path(self.mktemp()) / "llmedge.db"
        first, second = SqliteConnection(path), SqliteConnection(path)
        for connection in (first, second):
            self.addCleanup(connection.close)
        migrate(first)
        first.add([row(OCTOBER)], lambda: None)
        first._detach("m202610")
        for column in ("cache", "saved", "spared_input", "spared_output"):
            with sqlite3.connect(path.with_name("llmedge-2026-10.db")) as file:
                file.execute(f"ALTER TABLE ledger DROP COLUMN {column}")
            file.close()
        asked = second.query

        def query(sql: str, parameters: Any = ()) -> Any:
            found = asked(sql, parameters)
            if "table_info" in sql and "m202610" not in first._attached:
                first.add([row(OCTOBER + 1)], lambda: None)
            return found

        self.patch(second, "query", query)
        second.add([row(OCTOBER + 2)], lambda: None)
        (month,) = second.months(0, 2**52)
        self.assertEqual(second.query(f"SELECT COUNT(*) FROM {month}"), [(3,)])

    def test_one_that_cannot_be_used(self) -> None:
        """Is tried again the next time."""
        connection = SqliteConnection(Path(self.mktemp()) / "llmedge.db")
        self.addCleanup(connection.close)
        migrate(connection)
        with patch.object(SqliteConnection, "query", side_effect=DatabaseError("it is locked")):
            self.assertRaises(DatabaseError, connection.add, [row(OCTOBER)], lambda: None)
        connection.add([row(OCTOBER)], lambda: None)
