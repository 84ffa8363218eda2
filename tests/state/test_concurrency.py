from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.concurrency import AimdLimit, FixedLimit, Outcome


def rounds(limit: AimdLimit, count: int, outcome: Outcome = Outcome.OK, latency: float | None = 0.2) -> None:
    """``count`` times: as many calls as the limit lets, all begun together, then ended one by one."""
    for _ in range(count):
        marks = [limit.begin() for _ in range(limit.value)]
        for mark in marks:
            limit.end(mark, len(marks), outcome, latency)


class Learned(SynchronousTestCase):
    def test_slow_start_doubles(self) -> None:
        limit = AimdLimit(initial=8)
        rounds(limit, 3)
        self.assertEqual(limit.value, 64)

    def test_one_decrease_for_a_round(self) -> None:
        """A hundred calls refused together are one sign, not a hundred."""
        limit = AimdLimit(initial=100)
        rounds(limit, 1, Outcome.OVERLOADED)
        self.assertEqual(limit.value, 70)
        rounds(limit, 1, Outcome.OVERLOADED)
        self.assertEqual(limit.value, 49)

    def test_then_one_more_a_round(self) -> None:
        limit = AimdLimit(initial=100)
        rounds(limit, 1, Outcome.OVERLOADED)
        rounds(limit, 10)
        self.assertIn(limit.value, (79, 80))

    def test_an_idle_deployment_teaches_nothing(self) -> None:
        limit = AimdLimit(initial=10)
        for _ in range(1000):
            limit.end(limit.begin(), 1, Outcome.OK, 0.2)
        self.assertEqual(limit.value, 10)

    def test_what_says_nothing_changes_nothing(self) -> None:
        limit = AimdLimit(initial=10)
        rounds(limit, 50, Outcome.IGNORED)
        self.assertEqual(limit.value, 10)

    def test_a_server_that_queues(self) -> None:
        """It refuses nothing but answers ten times later under load: the limit comes down, not below eight."""
        limit = AimdLimit(initial=40)
        limit._slow_start = False
        rounds(limit, 5)
        rounds(limit, 1, latency=2.0)
        self.assertLess(limit.value, 40)
        rounds(limit, 100, latency=20.0)
        self.assertGreaterEqual(limit.value, 8)

    def test_one_long_prompt_is_not_load(self) -> None:
        """Times that vary hundredfold, as prompts do, leave the limit alone."""
        random = Random(4)
        limit = AimdLimit(initial=50, maximum=50)
        for _ in range(200):
            marks = [limit.begin() for _ in range(limit.value)]
            for mark in marks:
                limit.end(mark, len(marks), Outcome.OK, random.lognormvariate(-1, 1))
        self.assertGreaterEqual(limit.value, 35)

    def test_it_finds_the_capacity(self) -> None:
        """A vendor that takes 30 at once and refuses the rest: after the search 20 to 31 run, from above and below."""
        for initial in 4, 500:
            limit = AimdLimit(initial=initial)
            seen = []
            for _ in range(120):
                marks = [limit.begin() for _ in range(limit.value)]
                for place, mark in enumerate(marks):
                    limit.end(mark, len(marks), Outcome.OK if place < 30 else Outcome.OVERLOADED, 0.2)
                seen.append(limit.value)
            self.assertTrue(all(20 <= value <= 31 for value in seen[40:]), seen)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(Outcome), st.integers(1, 300), st.floats(0, 100)), max_size=300))
    def test_always_within_bounds(self, script: list[tuple[Outcome, int, float]]) -> None:
        limit = AimdLimit(initial=50, minimum=2, maximum=60)
        for outcome, in_flight, latency in script:
            limit.end(limit.begin(), in_flight, outcome, latency)
            self.assertTrue(2 <= limit.value <= 60)


class Fixed(SynchronousTestCase):
    def test_fixed(self) -> None:
        limit = FixedLimit(3)
        limit.end(limit.begin(), 3, Outcome.OVERLOADED, 9.0)
        self.assertEqual(limit.value, 3)
