"""Tables for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cli.tables import plain, table


class Tables(SynchronousTestCase):
    def test_columns(self) -> None:
        """As wide as they have to be; numbers to the right; what is not there is a dash."""
        shown = table(("name", "calls", "models"), [["a", 7, ["x", "y"]], ["longer", 1200, None]])
        self.assertEqual(shown.splitlines(), ["NAME    CALLS  MODELS", "a           7  x, y", "longer   1200  -"])

    def test_nothing_steers_the_terminal(self) -> None:
        """A caller chooses the names of models, a vendor its errors."""
        self.assertEqual(plain("a\x1b[2J\x9b\r\u202eb\nc"), "a\ufffd[2J\ufffd\ufffd\ufffdb\nc")

    def test_nothing(self) -> None:
        self.assertEqual(table(("name",), []), "NAME\n")
