from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.window import SlidingSum

STEPS = st.lists(st.tuples(st.floats(0, 4), st.integers(-5, 20)), min_size=1, max_size=80)


class Window(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(STEPS)
    def test_counts_the_last_seconds(self, steps: list[tuple[float, int]]) -> None:
        """All of the last nine tenths of the span, nothing older than the span, for any script."""
        window = SlidingSum(10.0)
        now, added = 0.0, []
        for pause, amount in steps:
            now += pause
            window.add(now, abs(amount))
            added.append((now, abs(amount)))
            total = window.total(now)
            self.assertGreaterEqual(total, sum(amount for at, amount in added if now - at <= 9.0 - 1e-6))
            self.assertLessEqual(total, sum(amount for at, amount in added if now - at <= 10.0 + 1e-6))

    def test_a_clock_set_back_forgets(self) -> None:
        window = SlidingSum(10.0)
        window.add(100.0, 5)
        self.assertEqual(window.total(50.0), 0)
        window.add(50.0, 1)
        self.assertEqual(window.total(51.0), 1)
