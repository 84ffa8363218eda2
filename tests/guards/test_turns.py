"""Long texts in windows, and turns of the reactor between them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.turns import OVERLAP, WINDOW, in_turns, windows
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


class Turns(SynchronousTestCase):
    def go_through(self, clock: Clock, seen: list[int], texts: list[str]) -> Deferred[None]:
        async def work() -> None:
            async for number, _, _ in in_turns(clock, 2, texts):
                seen.append(number)

        return Deferred.fromCoroutine(work())

    def test_between(self) -> None:
        """Others have their turn after every two windows; short texts wait for nobody."""
        clock, seen = Clock(), []
        self.successResultOf(self.go_through(clock, seen, ["a", "b"]))
        seen.clear()
        working: Any = self.go_through(clock, seen, ["x" * (3 * WINDOW), "y"])
        counts = [len(seen)]
        while not working.called:
            (turn,) = clock.getDelayedCalls()
            go_on = turn.func
            turn.cancel()
            go_on(None)
            counts.append(len(seen))
        self.assertEqual((counts, seen), ([2, 4, 5], [0, 0, 0, 0, 1]))

    def test_given_up(self) -> None:
        clock = Clock()
        working = self.go_through(clock, [], ["x" * (9 * WINDOW)])
        working.cancel()
        self.failureResultOf(working)
        self.assertEqual(clock.getDelayedCalls(), [])
