from collections.abc import Callable
from math import inf
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.learned_rate import CHANCE, LearnedRate


class Rates(SynchronousTestCase):
    """Calls that come at a rate to a vendor that refuses some of them; who waits does so in a line."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.rate = LearnedRate(self.clock)
        self.number = self.accepted = self.refused = self.waiting = 0

    def pass_time(self, seconds: float, rate: float, refuses: Callable[[], bool]) -> None:
        random = Random(5)
        next_at = self.clock.seconds()
        end = next_at + seconds
        while self.clock.seconds() < end:
            self.clock.advance(0.005)
            while next_at <= self.clock.seconds():
                next_at += random.expovariate(rate)
                self.waiting += 1
            while self.waiting and not self.rate.delay():
                self.rate.began()
                self.waiting -= 1
                self.number += 1
                if refuses():
                    self.refused += 1
                    self.rate.refused(self.number, self.number, self.accepted)
                else:
                    self.accepted += 1

    def bucket(self, limit: float, burst: float) -> Callable[[], bool]:
        state = [burst, self.clock.seconds()]

        def refuses() -> bool:
            now = self.clock.seconds()
            state[:] = [min(burst, state[0] + (now - state[1]) * limit), now]
            if state[0] < 1.0:
                return True
            state[0] -= 1.0
            return False

        return refuses

    def test_idle(self) -> None:
        self.rate.began()
        self.assertEqual((self.rate.value, self.rate.delay()), (inf, 0.0))

    def test_one_refusal_is_none(self) -> None:
        self.pass_time(5.0, 20.0, lambda: False)
        self.assertFalse(self.rate.refused(self.number, self.number, self.accepted))
        self.assertEqual(self.rate.value, inf)

    def test_a_limit(self) -> None:
        """Far more come than are allowed: nearly as many as are allowed begin, and few are refused."""
        for limit in (5.0, 30.0):
            self.setUp()
            refuses = self.bucket(limit, 4.0)
            self.pass_time(10.0, 3 * limit, refuses)
            accepted, refused = self.accepted, self.refused
            self.pass_time(30.0, 3 * limit, refuses)
            self.assertGreater(self.accepted - accepted, 0.8 * 30.0 * limit)
            self.assertLess(self.refused - refused, 0.2 * (self.accepted - accepted))

    def test_a_limit_that_is_not_reached(self) -> None:
        """Fewer come than are allowed: hardly any is refused, and nobody waits for long."""
        self.pass_time(60.0, 8.0, self.bucket(10.0, 4.0))
        self.assertLess(self.refused, 0.08 * self.accepted)
        self.assertLess(self.waiting, 8)

    def test_chance(self) -> None:
        """A part is refused, however fast they begin: that is found out, and no rate is learned for a while."""
        for share in (0.1, 0.3, 0.5):
            self.setUp()
            random = Random(2)
            self.pass_time(20.0, 20.0, lambda share=share, random=random: random.random() < share)
            self.assertEqual(self.rate.value, inf, share)
            self.pass_time(CHANCE / 3, 20.0, lambda share=share, random=random: random.random() < share)
            self.assertEqual((self.rate.value, self.waiting), (inf, 0))

    def test_a_few_are_asked_again(self) -> None:
        random = Random(2)
        self.pass_time(60.0, 100.0, lambda: random.random() < 0.02)
        self.assertLess(self.waiting, 10)

    def test_it_ends(self) -> None:
        """Where it no longer binds; and for a while it is known where it was."""
        refuses = self.bucket(10.0, 4.0)
        self.pass_time(5.0, 15.0, refuses)
        self.assertLess(self.rate.value, 15.0)
        self.waiting = 0
        self.clock.advance(6.0)
        self.rate.delay()
        self.assertEqual(self.rate.value, inf)
        self.number += 1
        self.assertTrue(self.rate.refused(self.number, self.number, self.accepted))
        self.assertLess(self.rate.value, 15.0)

    def test_a_pause(self) -> None:
        """What was accepted before counts for nothing after it."""
        refuses = self.bucket(10.0, 4.0)
        self.pass_time(1.0, 12.0, refuses)
        self.rate.paused(self.clock.seconds(), told=False)
        self.number += 1
        self.assertFalse(self.rate.refused(self.number, self.number, self.accepted))

    def test_nobody_begins_in_a_pause(self) -> None:
        """That is no sign that a rate no longer binds."""
        self.pass_time(5.0, 15.0, self.bucket(10.0, 4.0))
        self.rate.paused(self.clock.seconds() + 2.0, told=True)
        self.clock.advance(2.01)
        self.rate.delay()
        self.assertLess(self.rate.value, inf)
        self.clock.advance(1.01)
        self.rate.delay()
        self.assertEqual(self.rate.value, inf)

    def test_what_it_says_itself(self) -> None:
        self.rate.keep_to(10.0)
        self.assertAlmostEqual(self.rate.delay(), 0.1)
        self.clock.advance(0.1)
        self.rate.began()
        self.assertAlmostEqual(self.rate.delay(), 0.1)
