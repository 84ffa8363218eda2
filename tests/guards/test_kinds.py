"""Words of services, as kinds."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.kinds import MOST, counted, kind_of


class Kinds(SynchronousTestCase):
    def test_words(self) -> None:
        for word, kind in (
            ("hate/threatening", "HATE_THREATENING"),
            ("US_SOCIAL_SECURITY_NUMBER", "US_SOCIAL_SECURITY_NUMBER"),
            ("SelfHarm", "SELFHARM"),
            ("  ", "OTHER"),
            ("ß\n\r\x00", "SS"),
            ("x" * 100, "X" * 32),
        ):
            self.assertEqual(kind_of(word), kind)

    def test_not_without_end(self) -> None:
        """Labels of a service's invention are not: those beyond the first few are left out."""
        found = counted([f"kind {number}" for number in range(100)] + ["kind 0"])
        self.assertEqual((len(found), found["KIND_0"]), (MOST, 2))
