from math import inf
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.pacing import Pacer
from tests.effort import examples


class Pacing(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.pacer = Pacer(self.clock, Random(1))
        self.number = 0

    def refuse(self, between: int = 0) -> None:
        """The next call is refused, after so many that were not."""
        self.number += between + 1
        self.pacer.refused(self.number, self.number)

    def begin(self) -> float:
        """Seconds that the next one waits."""
        if wait := self.pacer.delay():
            return wait
        self.pacer.began()
        return 0.0

    def test_idle(self) -> None:
        self.assertEqual((self.pacer.slow, self.pacer.delay(), self.pacer.paused()), (False, 0.0, 0.0))

    def test_one_refusal_is_no_pause(self) -> None:
        for _ in range(5):
            self.refuse(between=3)
        self.assertEqual(self.pacer.paused(), 0.0)

    def test_refusals_in_a_row(self) -> None:
        """Five pause, and then each one for twice as long, for who has nobody else two seconds at most; an accepted
        call begins anew."""
        for _ in range(4):
            self.refuse()
        for most in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0):
            self.refuse()
            self.assertTrue(0.75 * most <= self.pacer.paused() <= most, (most, self.pacer.paused()))
            self.assertAlmostEqual(self.pacer.paused(last=True), min(2.0, self.pacer.paused()))
            self.assertIn("in a row", self.pacer.why)
            self.refuse()  # of those under way: one sign, not many
            self.assertLessEqual(self.pacer.paused(), most)
            self.clock.advance(most)
        self.refuse(between=1)
        self.assertEqual(self.pacer.paused(), 0.0)
        for _ in range(40):
            self.refuse()
        self.assertTrue(0.0 < self.pacer.paused() <= 0.5)

    def test_chance_is_no_row(self) -> None:
        """Where every second call is refused, six in a row are nothing unusual."""
        random = Random(3)
        for _ in range(500):
            self.refuse(between=0 if random.random() < 0.5 else 1)
            self.clock.advance(0.02)
            self.assertEqual(self.pacer.paused(), 0.0)

    def test_it_need_not_learn(self) -> None:
        self.pacer.learns = False
        for _ in range(20):
            self.refuse()
            self.clock.advance(0.5)
        self.assertFalse(self.pacer.slow)

    def test_no_pause_where_it_is_full(self) -> None:
        for number in range(1, 9):
            self.pacer.refused(number, number, full=True)
        self.assertEqual(self.pacer.paused(), 0.0)

    def test_as_long_as_it_says(self) -> None:
        """For all, and a shorter one takes nothing away."""
        self.pacer.pause(60.0, "Retry-After")
        self.pacer.pause(5.0, "Retry-After")
        self.assertEqual((self.pacer.paused(), self.pacer.paused(last=True)), (60.0, 60.0))
        self.clock.advance(59.9)
        self.assertAlmostEqual(self.pacer.delay(), 0.1)
        self.clock.advance(0.1)
        self.assertEqual((self.pacer.paused(), self.begin()), (0.0, 0.0))

    def test_it_is_tried_each_minute(self) -> None:
        """By one who has nobody else to ask, however long the pause; another refusal begins another minute."""
        self.pacer.pause(86400.0, "Retry-After")
        for _ in range(3):
            self.assertEqual((self.pacer.paused() > 3000.0, self.pacer.paused(last=True)), (True, 60.0))
            self.clock.advance(59.0)
            self.assertAlmostEqual(self.pacer.delay(), 1.0)
            self.clock.advance(1.0)
            self.assertEqual(self.begin(), 0.0)
            self.assertTrue(self.begin(), "one")
            self.pacer.pause(86400.0, "Retry-After")
        self.clock.advance(60.0)
        self.assertEqual(self.begin(), 0.0)
        self.pacer.answered(began=self.clock.seconds())
        self.assertEqual((self.pacer.paused(), self.begin()), (0.0, 0.0))

    def test_what_ends_no_pause(self) -> None:
        """An answer to a call that had begun before, and one in a pause that nobody asked for."""
        self.pacer.pause(30.0, "Retry-After")
        self.pacer.answered(began=self.clock.seconds() - 1.0)
        self.assertEqual(self.pacer.paused(), 30.0)
        learned = Pacer(self.clock, Random(1))
        learned.pause(8.0, "5 refusals in a row", 2.0)
        self.clock.advance(2.0)
        learned.answered(began=self.clock.seconds())
        self.assertAlmostEqual(learned.paused(), 6.0)

    def test_a_pause_is_cleared(self) -> None:
        """Who waits is let in by and by."""
        woken: list[bool] = []
        self.pacer.wake = lambda: woken.append(True)
        self.pacer.clear()
        self.assertEqual((woken, self.pacer.slow), ([], False))
        self.pacer.pause(86400.0, "Retry-After")
        self.pacer.clear()
        self.assertEqual((woken, self.pacer.paused(), self.begin()), ([True], 0.0, 0.0))
        self.assertTrue(self.begin(), "the ramp")

    def test_a_mad_retry_after_is_bounded(self) -> None:
        self.pacer.pause(1e12, "Retry-After")
        self.assertEqual(self.pacer.paused(), 3600.0)

    def test_a_clock_set_back_opens_the_way(self) -> None:
        """A jump of the wall clock must not pause a deployment for its length."""
        self.pacer.pause(10.0, "Retry-After")
        self.clock.rightNow -= 600
        self.assertEqual((self.pacer.paused(), self.begin()), (0.0, 0.0))

    def test_the_ramp(self) -> None:
        """One, two, four; an answer that begins is good for two; where nobody is held up it ends."""
        self.pacer.ramp()
        self.assertEqual(self.begin(), 0.0)
        self.assertAlmostEqual(self.begin(), 0.1)
        woken: list[bool] = []
        self.pacer.wake = lambda: woken.append(True)
        self.pacer.answered()
        self.assertEqual((woken, [self.begin(), self.begin()]), ([True], [0.0, 0.0]))
        self.assertTrue(self.begin())
        self.clock.advance(0.1)
        self.assertEqual([self.begin() for _ in range(2)], [0.0] * 2)
        self.assertTrue(self.begin())
        self.clock.advance(1.0)
        self.begin()
        self.clock.advance(1.0)
        self.begin()
        self.assertFalse(self.pacer.slow)

    def test_a_step_is_longer_than_a_refusal(self) -> None:
        """Or a hundred would be let in before the first of them is refused."""
        for took, step in ((0.01, 0.1), (0.4, 0.6), (30.0, 1.0)):
            pacer = Pacer(self.clock, Random(1))
            for number in range(5):
                pacer.refused(number, number, seconds=took)
            self.assertTrue(pacer.is_returning)
            self.clock.advance(pacer.delay())
            self.assertEqual(pacer.delay(), 0.0)
            pacer.began()
            self.assertAlmostEqual(pacer.delay(), step)

    def test_no_rate_is_learned_in_a_ramp(self) -> None:
        """How many are accepted while few may begin is none."""
        self.pacer.ramp()
        for _ in range(20):
            self.clock.advance(0.1)
            self.begin()
            self.refuse()
        self.assertEqual(self.pacer.rate, inf)

    def test_as_many_as_it_takes(self) -> None:
        """A refusal in a ramp is for want of places, where others are under way; an end lets the next one in."""
        self.assertFalse(self.pacer.is_full(self.clock.seconds(), True))
        self.pacer.ramp()
        self.begin()
        self.assertTrue(self.pacer.is_full(self.clock.seconds(), True))
        self.assertAlmostEqual(self.begin(), 0.2)
        self.pacer.freed(2)
        self.assertEqual(self.begin(), 0.0)
        self.assertAlmostEqual(self.begin(), 0.2)

    def test_places_that_come_free(self) -> None:
        """In a pause that one was told who may have been one too many, who has nobody else tries when another ends; if
        it is told to wait as well, nobody does."""
        self.pacer.pause(5.0, "Retry-After", number=9)
        self.assertAlmostEqual(self.begin(), 5.0)
        self.pacer.freed(10)
        self.assertEqual((self.begin(), self.pacer.paused()), (0.0, 5.0))
        self.pacer.answered(self.clock.seconds() + 0.1)
        self.assertEqual(self.pacer.paused(), 0.0)
        self.pacer.pause(5.0, "Retry-After", number=11)
        self.pacer.freed(12)
        self.pacer.pause(5.0, "Retry-After", number=12)
        self.pacer.freed(13)
        self.assertAlmostEqual(self.begin(), 5.0)

    def test_alone_it_is_no_want_of_places(self) -> None:
        self.pacer.pause(5.0, "Retry-After")
        self.pacer.freed(10)
        self.assertAlmostEqual(self.begin(), 5.0)

    def test_a_rate(self) -> None:
        """Calls are let begin as :class:`LearnedRate` says, of refusals that say when to come back as well."""
        for told in (False, True):
            self.pacer = Pacer(self.clock, Random(1))
            for _ in range(4):
                for _ in range(5):
                    self.number += 1
                    self.clock.advance(0.1)
                if told:
                    self.number += 1
                    self.pacer.told(self.number, self.number)
                else:
                    self.refuse()
            self.assertTrue(7.0 < self.pacer.rate < 10.0, self.pacer.rate)
            self.assertEqual(self.begin(), 0.0)
            self.assertAlmostEqual(self.begin(), 1.0 / self.pacer.rate)

    def test_what_it_says_itself(self) -> None:
        """Ten a second come back: the next one comes a tenth of a second later. One in twenty seconds: a pause."""
        self.pacer.keep_to(10.0)
        self.assertAlmostEqual(self.begin(), 0.1)
        self.clock.advance(0.1)
        self.assertEqual(self.begin(), 0.0)
        self.assertTrue(0.09 < self.begin() <= 0.1001)
        self.pacer.keep_to(0.05)
        self.assertAlmostEqual(self.pacer.paused(), 20.0)
        self.assertEqual((self.pacer.told_to_wait(30.0) > 0.0, self.pacer.told_to_wait(2.0)), (True, 0.0))

    @settings(max_examples=examples(100), deadline=None)
    @given(
        st.integers(0, 2**32),
        st.lists(st.tuples(st.sampled_from("prab"), st.floats(0, 3)), max_size=60),
    )
    def test_nobody_waits_for_ever(self, seed: int, script: list[tuple[str, float]]) -> None:
        """Whatever happens, who has nobody else may begin within the longest pause that was asked for."""
        pacer = Pacer(self.clock, Random(seed))
        for number, (what, seconds) in enumerate(script):
            self.clock.advance(seconds / 2)
            if what == "p":
                pacer.pause(seconds, "because")
            elif what == "r":
                pacer.refused(number, number)
            elif what == "a":
                pacer.answered()
            elif not pacer.delay():
                pacer.began()
            self.assertLessEqual(pacer.paused(last=True), 3.0)
            self.assertLessEqual(pacer.delay(), 3.2)
