"""Long texts in windows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.windows import OVERLAP, WINDOW, windows
from tests.effort import examples


class Windows(SynchronousTestCase):
    @settings(max_examples=examples(50), deadline=None)
    @given(st.integers(0, 5 * WINDOW))
    def test_all_of_it(self, length: int) -> None:
        """Whatever is no longer than windows overlap by is whole in one of them."""
        text = "".join(chr(0x4E00 + n % 5000) for n in range(length))
        found = list(windows(text))
        self.assertEqual(found[0][0], 0)
        self.assertEqual(found[-1][0] + len(found[-1][1]), length)
        for (before, _), (after, _) in pairwise(found):
            self.assertEqual(before + WINDOW - OVERLAP, after)
        self.assertTrue(all(window == text[at : at + WINDOW] for at, window in found))
