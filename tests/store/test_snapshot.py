"""What a process knows of keys while the database is away."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from llmedge.identity.secrets import Pepper
from llmedge.store.snapshot import Snapshot, read, write
from tests.identity.test_directory import NEW, OLD, key, secret


class Snapshots(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.whole = Snapshot(7, [key(data={"rpm": 3})], [secret()])

    def test_there_and_back(self) -> None:
        """With either pepper; for nobody else to read."""
        write(self.path, self.whole, OLD)
        self.assertEqual(read(self.path, (NEW, OLD), Snapshot), self.whole)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_what_somebody_else_wrote_is_not_believed(self) -> None:
        """One byte is enough; nor what was written with another pepper, or half of it."""
        write(self.path, self.whole, NEW)
        data = self.path.read_bytes()
        self.assertIsNone(read(self.path, (Pepper.of("another of 16 characters"),), Snapshot))
        for place in range(0, len(data), 7):
            self.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            self.assertIsNone(read(self.path, (NEW,), Snapshot), place)
        self.path.write_bytes(data[:-5])
        self.assertIsNone(read(self.path, (NEW,), Snapshot))

    def test_nothing(self) -> None:
        self.assertIsNone(read(self.path, (NEW,), Snapshot))
