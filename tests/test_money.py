"""Sums of money are whole numbers, and read as what they are."""

from decimal import Decimal

from twisted.trial.unittest import SynchronousTestCase

from llmedge.money import USD, nearest, picos, text


class Money(SynchronousTestCase):
    def test_text(self) -> None:
        """As ``Decimal`` has it, without an exponent and without zeros behind."""
        for pico in (0, 1, 999_999, 300_000, 10**12, 1_500_000_000_000, 123_456_789_012_345, 10**20 + 1, -2_500_000):
            shown = text(pico)
            self.assertEqual(Decimal(shown), Decimal(pico) / USD)
            self.assertNotIn("E", shown)
            self.assertFalse("." in shown and shown.endswith("0"), shown)

    def test_nearest(self) -> None:
        """Halves go up, of a price as of a sum."""
        for usd, expected in (("1", 10**12), ("0.0000000000014", 1), ("0.0000000000015", 2), ("2.5e-6", 2_500_000)):
            self.assertEqual(picos(Decimal(usd)), expected, usd)
        self.assertEqual([nearest(each, 10**6) for each in (0, 499_999, 500_000, 1_499_999)], [0, 0, 1, 1])
