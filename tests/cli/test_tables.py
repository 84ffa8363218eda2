"""Tables for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cli.tables import table


class Tables(SynchronousTestCase):
    def test_columns(self) -> None:
        """As wide as they have to be; numbers to the right; what is not there is a dash."""
        shown = table(("name", "calls", "models"), [["a", 7, ["x", "y"]], ["longer", 1200, None]])
        self.assertEqual(shown.splitlines(), ["NAME    CALLS  MODELS", "a           7  x, y", "longer   1200  -"])

    def test_nothing(self) -> None:
        self.assertEqual(table(("name",), []), "NAME\n")
