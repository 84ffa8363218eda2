"""What one process knows of a budget: nothing counts twice, nothing is forgotten."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.budgets import Budget
from llmedge.model import Limits
from llmedge.money import USD
from llmedge.state import funds
from llmedge.state.funds import Fund
from tests.effort import examples


def fund(clock: Clock | None = None, **terms: object) -> Fund:
    return Fund("f", Limits("key:f", "The key 'f'"), Budget(Decimal(1), **terms), clock or Clock())  # type: ignore[arg-type]


class Spent(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=60), st.integers(0, 60), st.integers(0, 9))
    @settings(max_examples=examples(200), deadline=None)
    def test_of_the_database_and_of_this_process(
        self, calls: list[tuple[int, bool]], kept: int, of_others: int
    ) -> None:
        """At any moment: what others have spent, and each call of this process once, in the database or not yet."""
        one, kept = fund(), min(kept, len(calls))
        for number, (cost, looks) in enumerate(calls, 1):
            one.settle(0, cost, 0.0, number)
            if looks and number > kept:
                one.learn(of_others + sum(cost for cost, _ in calls[:kept]), kept)
        one.learn(of_others + sum(cost for cost, _ in calls[:kept]), kept)
        self.assertEqual(one.spent, of_others + sum(cost for cost, _ in calls))

    def test_in_bounded_memory(self) -> None:
        """While the database is away; then too much counts for a moment, never too little."""
        one = fund()
        for number in range(1, 2 * funds.RECENT):
            one.settle(0, 1, 0.0, number)
        self.assertEqual((len(one.recent), one.spent), (funds.RECENT, 2 * funds.RECENT - 1))
        one.learn(2 * funds.RECENT - 1, 2 * funds.RECENT - 1)
        self.assertEqual((len(one.recent), one.spent), (0, 2 * funds.RECENT - 1))

    def test_of_the_period_before(self) -> None:
        """A call that began then is not this period's, wherever it ends."""
        clock = Clock()
        one = fund(clock, period="day")
        one.settle(0, 5, 0.0, 1)
        clock.advance(86_400)
        one.settle(0, 7, 86_399.0, 2)
        one.roll()  # as who asks the database does first
        one.learn(0, 0)
        self.assertEqual(one.spent, 0)


class Soft(SynchronousTestCase):
    def test_each_share_once_a_period(self) -> None:
        """Whoever spends it, this process or others."""
        clock = Clock()
        one = fund(clock, period="day", soft=(0.5, 0.8))
        told = [one.settle(0, USD // 10 * 4, 0.0), one.learn(USD // 10 * 6, 0), one.settle(0, USD // 10 * 3, 0.0)]
        self.assertEqual([*told, one.settle(0, 1, 0.0)], [[], [0.5], [0.8], []])
        clock.advance(86_400)
        self.assertEqual(one.settle(0, USD, 86_400.0), [0.5, 0.8])
