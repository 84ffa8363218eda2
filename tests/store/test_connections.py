"""What the two databases promise alike."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from llmedge.store.database import ConstraintError, DatabaseError
from llmedge.store.rows import COLUMNS, Row
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

    def test_its_clock(self) -> None:
        connection = self.migrated()
        self.assertApproximates(connection.now(), time.time() * 1_000_000, 60_000_000)  # type: ignore[attr-defined]

    def test_texts_are_taken_as_they_are(self) -> None:
        connection = self.migrated()
        for name in ("50% of '?'", 'Zoë "x"', "%s ?"):
            connection.execute("INSERT INTO lease VALUES (?, ?, ?)", [name, "b", 1])
            self.assertEqual(connection.query("SELECT name FROM lease WHERE name = ?", [name]), [(name,)])


ConnectionsSqlite, ConnectionsPostgresql = on_both(Connections)
del Connections
