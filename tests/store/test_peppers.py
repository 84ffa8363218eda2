"""Where the pepper comes from."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.secret import Secret
from llmedge.config.sections.store import Store
from llmedge.store.peppers import peppers


class Peppers(SynchronousTestCase):
    def test_sqlite_makes_one(self) -> None:
        """Once, for nobody else to read."""
        path = Path(self.mktemp()) / "new" / "llmedge.db"
        settings = Store(url=Secret(f"sqlite:{path}"))
        (first,), (again,) = peppers(settings), peppers(settings)
        self.assertEqual(first, again)
        file = path.with_name("llmedge.db.pepper")
        self.assertEqual((file.stat().st_mode & 0o777, len(file.read_text())), (0o600, 64))
        self.assertEqual([each.name for each in file.parent.iterdir()], [file.name])

    def test_postgresql_needs_one(self) -> None:
        error = self.assertRaises(ConfigError, peppers, Store(url=Secret("postgresql://h/d")))
        self.assertIn("LLMEDGE_PEPPER", str(error))

    def test_two_while_it_is_changed(self) -> None:
        new, old = peppers(Store(pepper=(Secret("n" * 32), Secret("o" * 32))))
        self.assertNotEqual(new.id, old.id)

    def test_an_empty_file_is_no_pepper(self) -> None:
        path = Path(self.mktemp())
        Path(f"{path}.pepper").write_text("")
        error = self.assertRaises(ConfigError, peppers, Store(url=Secret(f"sqlite:{path}")))
        self.assertIn("is empty", str(error))
