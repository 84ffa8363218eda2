from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.budget import Budget, backoff


class Extra(SynchronousTestCase):
    def test_the_floor_needs_no_traffic(self) -> None:
        clock = Clock()
        budget = Budget(clock, ratio=0.2, floor=0.5, span=10)
        self.assertEqual([budget.withdraw() for _ in range(6)], [True] * 5 + [False])
        clock.advance(10)
        self.assertEqual(budget.balance, 5)

    def test_a_share_of_traffic(self) -> None:
        """Without a floor, every fifth call may be repeated, and only while it is recent."""
        clock = Clock()
        budget = Budget(clock, ratio=0.2, floor=0)
        self.assertFalse(budget.withdraw())
        for _ in range(100):
            budget.deposit()
        self.assertEqual(sum(budget.withdraw() for _ in range(100)), 20)
        for _ in range(100):
            budget.deposit()
        clock.advance(10)
        self.assertFalse(budget.withdraw())

    def test_what_was_worth_it_is_free(self) -> None:
        """A retry that succeeds costs nothing."""
        budget = Budget(Clock(), ratio=0.5, floor=0)
        for _ in range(4):
            budget.deposit()
        for _ in range(100):
            self.assertTrue(budget.withdraw())
            budget.give_back()
        self.assertEqual(budget.balance, 2.0)
        budget.give_back()  # of nothing
        self.assertEqual(budget.balance, 2.0)

    @settings(max_examples=60, deadline=None)
    @given(st.floats(0.01, 1.0), st.floats(0, 2), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20)), max_size=60))
    def test_an_outage_is_not_multiplied(self, ratio: float, floor: float, script: list[tuple[float, int]]) -> None:
        """Every call fails and is retried as often as allowed: the extra calls keep to the promise at all times."""
        clock = Clock()
        budget = Budget(clock, ratio, floor, span=10)
        deposits: list[float] = []
        withdrawals: list[float] = []
        for pause, calls in script:
            clock.advance(pause)
            for _ in range(calls):
                budget.deposit()
                deposits.append(clock.seconds())
                while budget.withdraw():
                    withdrawals.append(clock.seconds())
            # Whole slices expire: what lies within the youngest nine tenths is counted for certain.
            recent = sum(at > clock.seconds() - 9 for at in withdrawals)
            allowed = ratio * sum(at > clock.seconds() - 20 for at in deposits) + floor * 10
            self.assertLessEqual(recent, allowed + 1e-6)
        self.assertLessEqual(len(withdrawals), ratio * len(deposits) + floor * 10 * (1 + clock.seconds() / 9) + 1e-6)


class Backoff(SynchronousTestCase):
    def test_full_jitter(self) -> None:
        """Anything from nothing to the doubled base, on average half of it, never over the cap, at any attempt."""
        random = Random(1)
        for attempt, most in (0, 0.5), (1, 1.0), (2, 2.0), (9, 8.0), (100_000, 8.0):
            waits = [backoff(attempt, 0.5, 8.0, random) for _ in range(2000)]
            self.assertLess(max(waits), most)
            self.assertGreater(max(waits), most * 0.98)
            self.assertLess(min(waits), most * 0.02)
            self.assertApproximates(sum(waits) / 2000, most / 2, most * 0.03)
