"""Wrong keys are counted for each address, and answered ever more slowly."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import TooManyWrongKeys
from llmedge.state import wrong_keys
from llmedge.state.wrong_keys import ADDRESSES, AT_ONCE, WAITING, WrongKeys


class Guessing(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.keys = WrongKeys(self.clock)
        self.said: list[tuple[str, int]] = []
        self.patch(
            wrong_keys.log, "warn", lambda text, **fields: self.said.append((fields["address"], fields["count"]))
        )

    def waits(self, count: int, address: str = "192.0.2.1") -> list[float]:
        return [round(self.keys.count(address), 3) for _ in range(count)]

    def test_ever_more_slowly(self) -> None:
        """The first have their answers at once, each of the others a tenth of a second after the one before, up to a
        second; then there is none."""
        self.assertEqual(self.waits(AT_ONCE), [0.0] * AT_ONCE)
        self.assertEqual(self.waits(10), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
        for _ in range(100):
            error = self.assertRaises(TooManyWrongKeys, self.keys.count, "192.0.2.1")
            self.assertAlmostEqual(error.retry_after or 0, 1.1)
        self.assertEqual((error.status, error.should_retry), (429, False))
        self.clock.advance(0.5)
        self.assertEqual(self.waits(5), [0.6, 0.7, 0.8, 0.9, 1.0], "what was refused took nobody's turn")
        self.clock.advance(60)
        self.assertEqual(self.waits(AT_ONCE), [0.0] * AT_ONCE)

    def test_each_address_has_its_own(self) -> None:
        self.waits(AT_ONCE)
        self.assertEqual(self.waits(1, "192.0.2.2"), [0.0])
        self.assertEqual(self.waits(1, "local"), [0.0])
        self.assertEqual(self.waits(1), [0.1])

    def test_networks(self) -> None:
        """Whoever has one address of IPv6 has all of its network; IPv4 by way of IPv6 is IPv4."""
        self.waits(AT_ONCE, "2001:db8::1")
        self.assertEqual(self.waits(1, "2001:db8::ffff:1"), [0.1])
        self.assertEqual(self.waits(1, "2001:db8:0:1::1"), [0.0])
        self.waits(AT_ONCE, "::ffff:192.0.2.9")
        self.assertEqual(self.waits(1, "192.0.2.9"), [0.1])
        self.assertEqual(self.waits(1, "fe80::1%eth0"), [0.0])
        self.assertEqual(self.waits(1, "no:address"), [0.0])

    def test_not_too_many_wait(self) -> None:
        """All addresses together; places come back, also of those who left."""
        waiting = [Deferred.fromCoroutine(self.keys.wait(1)) for _ in range(WAITING)]
        self.waits(AT_ONCE)
        self.assertRaises(TooManyWrongKeys, self.keys.count, "192.0.2.1")
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.assertEqual(self.waits(1), [0.1])
        self.clock.advance(1)
        self.successResultOf(waiting[1])
        self.assertEqual(self.keys._waiting, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_said_once_a_minute(self) -> None:
        """With how many there were since; each address for itself."""
        for _ in range(100):
            self.waits(1)
            self.clock.advance(0.5)
        self.waits(1, "192.0.2.2")
        self.assertEqual(self.said, [("192.0.2.1", 1), ("192.0.2.2", 1)])
        self.clock.advance(10)
        self.waits(2)
        self.assertEqual(self.said[2:], [("192.0.2.1", 100)])

    def test_bounded(self) -> None:
        for number in range(ADDRESSES + 10):
            self.waits(1, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        self.assertEqual(len(self.keys._addresses), ADDRESSES)
