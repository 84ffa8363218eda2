from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.concurrency import FixedLimit, LearnedLimit
from tests.effort import examples

MANY = 1_000_000


class Learned(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = LearnedLimit(self.clock, MANY)
        self.number = 0

    def answers(self, count: int, load: int, latency: float, whole: bool = True) -> None:
        for _ in range(count):
            self.number += 1
            self.limit.answered(self.number, (load, load), latency, whole)

    def refuse(self, load: int) -> bool:
        self.number += 1
        self.clock.advance(0.1)
        return self.limit.refused(self.number, load, self.number)

    def turns(self, count: int, load: int, fewer: int) -> None:
        """Calls are refused with ``load`` under way, the next of each answered, with ``fewer``."""
        for _ in range(count):
            self.refuse(load)
            self.answers(1, fewer, 0.1)

    def test_it_begins_without(self) -> None:
        self.answers(100, 500, 1.0)
        self.assertEqual((self.limit.value, self.limit.why), (MANY, ""))

    def test_one_refusal_teaches_nothing(self) -> None:
        """At low load or high, of however many that were well."""
        self.answers(16, 50, 0.1)
        self.assertEqual([self.refuse(load) for load in (1, 50, 70)], [False] * 3)
        self.assertEqual(self.limit.value, MANY)

    def test_refusals_of_too_many(self) -> None:
        """Where the next ones, with fewer under way, are answered: as many as those. That is known of each further one,
        whose call need not wait for long."""
        self.answers(16, 20, 0.1)
        self.turns(6, 41, 40)
        self.assertEqual((self.refuse(41), self.limit.value, self.limit.why), (True, 40, "41 at once refused"))
        self.assertTrue(self.limit.refused(2, 36, self.number), "it had begun long before")
        self.assertEqual((self.refuse(1), self.limit.value), (False, 40))

    def test_an_outage_is_no_want_of_places(self) -> None:
        """Nobody is answered; and what was known before still is afterwards."""
        self.turns(6, 9, 8)
        self.refuse(9)
        self.assertEqual([self.refuse(1) for _ in range(40)], [False] * 40)
        self.assertEqual(self.limit.value, 8)

    def test_what_went_well_is_forgotten(self) -> None:
        """In a minute or less, where less goes well now."""
        self.answers(16, 20, 0.1)
        for _ in range(3):
            self.clock.advance(30)
            self.answers(16, 5, 0.1)
        self.assertEqual(self.limit.good, 5)

    def test_a_rate_is_no_want_of_places(self) -> None:
        """Others are answered with as many under way: nothing is learned. And where it was, it is given up."""
        self.answers(16, 20, 0.1)
        self.turns(20, 30, 30)
        self.assertEqual((self.refuse(30), self.limit.value), (False, MANY))
        self.clock.advance(40)
        self.turns(6, 31, 30)
        self.refuse(31)
        self.assertEqual(self.limit.value, 30)
        self.turns(10, 31, 31)
        self.refuse(31)
        self.assertEqual(self.limit.value, MANY)

    def test_a_server_that_queues(self) -> None:
        """It refuses nothing and answers 8 at once: half as much again as it worked on, by eight calls."""
        self.answers(24, 4, 0.5)
        self.answers(8, 8, 0.5)
        self.answers(8, 32, 2.0)
        self.assertEqual((self.limit.value, self.limit.why), (12, "pace 4.0x"))

    def test_a_server_that_is_slower(self) -> None:
        """Calls that begin at low load are as slow: that is its pace from now on, and nobody is kept from it."""
        self.answers(24, 4, 0.1)
        self.answers(3, 4, 1.5)
        self.answers(64, 80, 1.5)
        self.assertEqual(self.limit.value, MANY)
        self.answers(8, 400, 9.0)  # and from that pace on it is judged
        self.assertEqual(self.limit.value, 99)

    def test_streams_and_whole_answers_have_their_own_pace(self) -> None:
        self.answers(24, 4, 0.1, whole=False)
        self.answers(24, 4, 5.0)
        self.answers(24, 30, 5.0)
        self.assertEqual(self.limit.value, MANY)

    def test_one_long_prompt_is_not_load(self) -> None:
        """Times that vary twentyfold, as prompts do, leave the limit alone."""
        random = Random(4)
        for _ in range(2000):
            self.answers(1, random.randint(1, 30), random.lognormvariate(-1, 0.75))
        self.assertGreaterEqual(self.limit.value, 20)

    def test_it_grows_with_time(self) -> None:
        """A tenth a second or one, while it is used and all is well; not with the number of answers."""
        self.answers(24, 4, 0.5)
        self.answers(8, 8, 0.5)
        self.answers(8, 96, 2.0)
        seen = []
        for _ in range(4):
            self.answers(8, 36, 0.5)
            for _ in range(50):
                self.limit.end(36, True)
            seen.append(self.limit.value)
            self.clock.advance(1.01)
        self.assertEqual(seen, [36, 39, 43, 43])  # in the end 36 are not nine tenths of it
        self.limit.end(43, False)
        self.assertEqual(self.limit.value, 43)

    def test_it_grows_more_slowly_where_that_is_refused(self) -> None:
        self.turns(6, 9, 8)
        held = []
        for _ in range(6):
            self.refuse(9)
            self.assertEqual(self.limit.value, 8)
            since = self.clock.seconds()
            while self.limit.value == 8:
                self.clock.advance(0.5)
                self.answers(8, 8, 0.1)
                self.limit.end(8, True)
            held.append(self.clock.seconds() - since)
        self.assertEqual(held, sorted(held))
        self.assertTrue(held[0] < 3.0 < 12.0 < held[-1] < 17.0, held)

    def test_it_was_for_nothing(self) -> None:
        """The limit that its pace taught is given up where calls at low load turn out to be as slow."""
        self.answers(24, 4, 0.1)
        self.answers(8, 8, 0.1)
        self.answers(8, 40, 1.5)
        self.assertLess(self.limit.value, 20)
        self.answers(3, 8, 1.5)
        self.assertEqual(self.limit.value, MANY)

    def test_another_bound(self) -> None:
        """What was learned below it stays."""
        self.limit.allow(50)
        self.assertEqual(self.limit.value, 50)
        self.turns(6, 37, 36)
        self.refuse(37)
        for most, value in ((100, 36), (30, 30)):
            self.limit.allow(most)
            self.assertEqual(self.limit.value, value)

    @settings(max_examples=examples(60), deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("are"), st.integers(1, 300), st.floats(0, 100)), max_size=300))
    def test_always_within_bounds(self, script: list[tuple[str, int, float]]) -> None:
        clock = Clock()
        limit = LearnedLimit(clock, 60)
        for number, (what, load, latency) in enumerate(script):
            clock.advance(latency / 50)
            if what == "a":
                limit.answered(number, (load, load), latency, True)
            elif what == "r":
                limit.refused(number, load, number)
            else:
                limit.end(load, True)
            self.assertTrue(1 <= limit.value <= 60)


class Fixed(SynchronousTestCase):
    def test_fixed(self) -> None:
        limit = FixedLimit(3)
        limit.answered(1, (3, 3), 9.0, True)
        limit.end(3, True)
        self.assertEqual((limit.refused(1, 3, 1), limit.value), (False, 3))
