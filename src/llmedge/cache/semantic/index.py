"""Questions of one partition with their vectors: all of them are compared, which takes less than a millisecond for ten
thousand. Bounded in questions and bytes; used by one thread (:mod:`.worker`)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from llmedge.cache.semantic.embedder import Vector
from llmedge.cache.semantic.guards import Analysis

AROUND = 2048
"""Bytes that a question takes besides its vector and its text, about: what the guards know of it."""
_FEW = 16


@attrs.frozen(eq=False, slots=True)
class Asked:
    """A question that was answered.

    :ivar key: what its answer is kept under. ``before``: a digest of what was said before it, which has to be the same.
    """

    key: bytes
    before: bytes
    text: str
    analysis: Analysis


class Index:
    """The questions of one partition, the oldest of which make room.

    :ivar bytes: that it takes, about.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._asked: list[Asked] = []
        self._next = 0  # which one is replaced, once it is full
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, asked: Asked, vector: Vector) -> None:
        """Remember a question; one that is there already is replaced.

        :raises ValueError: its vector is of another size than the others: another model made it.
        """
        if self._asked and vector.shape[0] != self._vectors.shape[1]:
            raise ValueError("vectors of two sizes cannot be compared")
        place = next((place for place, each in enumerate(self._asked) if each.key == asked.key), None)
        if place is None and len(self._asked) >= self._most:
            place, self._next = self._next % len(self._asked), self._next + 1
        if place is None:
            place = len(self._asked)
            self._asked.append(asked)
            self._grow(place + 1, vector.shape[0])
        else:
            self.bytes -= self._size(self._asked[place])
            self._asked[place] = asked
        self._vectors[place] = vector
        self.bytes += self._size(asked)

    def remove(self, key: bytes) -> None:
        """Forget a question, if it is there."""
        for place, each in enumerate(self._asked):
            if each.key == key:
                self.bytes -= self._size(each)
                last = self._asked.pop()
                if last is not each:
                    self._asked[place] = last
                    self._vectors[place] = self._vectors[len(self._asked)]
                return

    def nearest(self, vector: Vector, before: bytes, least: float, most: int = 8) -> Iterator[tuple[float, Asked]]:
        """Questions after the same conversation that are alike, and how much (a cosine of ``least`` to 1), the nearest
        first, ``most`` of them."""
        count = len(self._asked)
        if not count or vector.shape[0] != self._vectors.shape[1]:
            return
        alike = self._vectors[:count] @ vector
        found = np.flatnonzero(alike >= least)
        for place in found[np.argsort(-alike[found])]:
            asked = self._asked[place]
            if asked.before == before:
                yield min(1.0, float(alike[place])), asked
                most -= 1
                if not most:
                    return

    def _grow(self, count: int, size: int) -> None:
        have = len(self._vectors)
        if count > have:
            grown = np.empty((min(self._most, max(_FEW, 2 * have)), size), np.float32)
            grown[:have] = self._vectors if have else 0
            self._vectors = grown

    def _size(self, asked: Asked) -> int:
        return AROUND + 4 * self._vectors.shape[1] + 4 * len(asked.text)
