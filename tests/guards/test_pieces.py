"""Texts in pieces, and back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.pieces import Pieces, cut
from tests.effort import examples

TEXTS = st.lists(st.text(alphabet="ab \n", max_size=60), max_size=8)


class Cutting(SynchronousTestCase):
    def test_behind_white_space(self) -> None:
        """Unless the piece got small."""
        self.assertEqual(list(cut("one two three", 9)), ["one two ", "three"])
        self.assertEqual(list(cut("a bcdefghijkl", 8)), ["a bcdefg", "hijkl"])
        self.assertEqual(list(cut("line one\nline two", 10)), ["line one\n", "line two"])
        self.assertEqual(list(cut("", 3)), [])

    @settings(max_examples=examples(200), deadline=None)
    @given(TEXTS, st.integers(1, 20), st.integers(1, 4), st.integers(0, 2))
    def test_all_of_them(self, texts: list[str], most: int, each: int, gap: int) -> None:
        """Nothing is lost or twice, no batch is too large, none is empty, and the texts come back."""
        pieces = Pieces(texts, most, each, gap)
        for batch in pieces.batches:
            self.assertTrue(batch)
            self.assertLessEqual(len(batch), each)
            self.assertLessEqual(sum(map(len, batch)) + gap * (len(batch) - 1), most)
        flat = [piece for batch in pieces.batches for piece in batch]
        self.assertNotIn("", flat)
        self.assertEqual(pieces.whole(flat), texts)
        self.assertEqual(pieces.whole(piece.upper() for piece in flat), [text.upper() for text in texts])

    def test_one_too_few(self) -> None:
        pieces = Pieces(["one two", "three"], 4)
        for said in (["x"], ["x"] * 9):
            self.assertRaises(ValueError, pieces.whole, said)
