"""One of all that share a database does it."""

from __future__ import annotations

from llmedge.store import leases
from tests.store.databases import OnDatabase, on_both


class Leases(OnDatabase):
    def test_one_at_a_time(self) -> None:
        connection = self.migrated()
        self.assertTrue(leases.take(connection, "sweep", "a", 100))
        self.assertFalse(leases.take(connection, "sweep", "b", 100))
        self.assertTrue(leases.take(connection, "sweep", "a", 100))
        self.assertTrue(leases.take(connection, "other", "b", 100))
        leases.give_back(connection, "sweep", "b")
        self.assertFalse(leases.take(connection, "sweep", "b", 100))
        leases.give_back(connection, "sweep", "a")
        self.assertTrue(leases.take(connection, "sweep", "b", -1))
        self.assertTrue(leases.take(connection, "sweep", "a", 100))


LeasesSqlite, LeasesPostgresql = on_both(Leases)
del Leases
