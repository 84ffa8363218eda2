"""Budgets as they are written: each is known by what it is for, not by its place in the list."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.load import read_table
from llmedge.config.sections.budgets import Budget, handles
from llmedge.config.sections.scopes import Scope
from tests.effort import examples

BUDGETS = st.lists(
    st.builds(
        Budget,
        amount=st.integers(0, 100).map(Decimal),
        period=st.sampled_from(["day", "month", "total", "30d"]),
        models=st.sampled_from([("*",), ("gpt-*",), ("gpt-*", "o1"), ("o1", "gpt-*")]),
        on_breach=st.sampled_from(["block", "warn"]),
    ),
    max_size=8,
)


def read(text: str) -> Any:
    return read_table(Scope, tomllib.loads(text)).budgets


class Handles(SynchronousTestCase):
    @given(BUDGETS, st.integers(0, 7), st.integers(0, 100))
    @settings(max_examples=examples(200), deadline=None)
    def test_stay_whatever_becomes_of_others(self, budgets: list[Budget], place: int, amount: int) -> None:
        """One is taken out, or is put elsewhere, or has another amount: of all that differ in more than their amount
        each keeps its own."""
        budgets = list({each.handle: each for each in budgets}.values())
        before = {each: handle for handle, each in handles(budgets).items()}
        if not budgets:
            return
        gone = budgets.pop(place % len(budgets))
        for changed in (budgets, budgets[::-1], [attrs.evolve(gone, amount=Decimal(amount)), *budgets]):
            after = {each: handle for handle, each in handles(changed).items()}
            for each in budgets:
                self.assertEqual(after[each], before[each])
            self.assertEqual(len(after), len(changed))

    def test_as_people_read_them(self) -> None:
        budgets = read(
            'budgets = [{amount = 1}, {amount = 2}, {period = "7d", models = ["x"]}, {name = "trial", period = "day"},'
            ' {amount = 3, on_breach = "warn"}, {name = "trial"}]'
        )
        self.assertEqual(list(handles(budgets)), ["month", "month.2", "7d-2fe4f815", "trial", "month-warn", "trial.2"])

    def test_names(self) -> None:
        for name in ("a/b", "", "x" * 65, "-a"):
            with self.assertRaises(ConfigError):
                read(f'budgets = [{{name = "{name}"}}]')
