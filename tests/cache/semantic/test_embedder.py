"""The model that comes with the extra: what is alike, in how many threads, and that it is the one that was measured."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic import embedder
from llmedge.cache.semantic.embedder import MiniLM, unit

_loaded: list[MiniLM] = []


def model() -> MiniLM:
    """Loaded once for all tests: it takes a second."""
    if not _loaded:
        _loaded.append(MiniLM())
    return _loaded[0]


class Vectors(SynchronousTestCase):
    def test_likeness(self) -> None:
        """A question is like one of the same thing, and less like others; that alone says little."""
        embed = model()
        one, same, other = map(
            embed, ("How do I renew my passport?", "What does it take to renew a passport?", "Why is tea hot?")
        )
        self.assertEqual((one.shape, one.dtype), ((384,), np.float32))
        self.assertAlmostEqual(float(one @ one), 1.0, 4)
        self.assertGreater(float(one @ same), 0.8)
        self.assertLess(float(one @ other), 0.3)
        trap = float(embed("Can I eat this plant?") @ embed("Can I not eat this plant?"))
        self.assertGreater(trap, 0.8, "which is why there are guards")

    def test_long_texts(self) -> None:
        """Are read as far as the model was trained; a character that no vocabulary has is no failure."""
        embed = model()
        long = "the fox runs " * 2000
        self.assertAlmostEqual(float(embed(long) @ embed(long + "and sleeps")), 1.0, 4)
        for text in ("", "\x00\ud83d", "語" * 5000):
            self.assertTrue(np.isfinite(embed(text)).all())

    def test_no_more_threads(self) -> None:
        """Than the one that asks: others would take the reactor's core."""
        embed = model()
        before = threading.active_count(), len(list(Path("/proc/self/task").iterdir()))
        embed("How many threads does it take?")
        self.assertEqual((threading.active_count(), len(list(Path("/proc/self/task").iterdir()))), before)

    def test_another_file(self) -> None:
        """Is not taken for the model: what was measured holds for that one only."""
        self.patch(embedder, "SHA256", "0" * 64)
        self.assertRaises(ValueError, MiniLM)
        self.patch(embedder, "_MODEL", "nobody_has_this")
        self.assertRaises(OSError, MiniLM)

    def test_what_is_no_vector(self) -> None:
        bad: list[Any] = [[], [0.0, 0.0], [float("nan"), 1.0], [[1.0], [2.0]]]
        for values in bad:
            self.assertRaises(ValueError, unit, values)
        self.assertEqual(unit([3.0, 4.0]).tolist(), [np.float32(0.6), np.float32(0.8)])
