"""Questions of one partition with their vectors: all of them are compared, which takes less than a millisecond for ten
thousand. Bounded in questions and bytes; used by one thread (:mod:`.worker`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from llmedge.cache.semantic.embedder import Vector  # first: it says how many threads numpy may have
from llmedge.cache.semantic.guards import Analysis, words_of

AROUND = 4096
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
    """The questions of one partition, the oldest of which make room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._asked: list[Asked] = []
        self._places: dict[bytes, int] = {}
        self._by_words: dict[frozenset[str], set[bytes]] = {}
        self._next = 0  # which one is replaced, once it is full
        self._texts = 0

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return self._vectors.nbytes + self._texts

    def add(self, asked: Asked, vector: Vector) -> None:
        """Remember a question; one that is there already is replaced.

        :raises ValueError: its vector is of another size than the others: another model made it.
        """
        if self._asked and vector.shape[0] != self._vectors.shape[1]:
            raise ValueError("vectors of two sizes cannot be compared")
        place = self._places.get(asked.key)
        if place is None and len(self._asked) >= self._most:
            place, self._next = self._next % len(self._asked), self._next + 1
        if place is None:
            place = len(self._asked)
            self._asked.append(asked)
            self._grow(place + 1, vector.shape[0])
        else:
            self._lose(self._asked[place])
            self._asked[place] = asked
        self._places[asked.key] = place
        self._by_words.setdefault(words_of(asked.analysis), set()).add(asked.key)
        self._vectors[place] = vector
        self._texts += _size(asked)

    def remove(self, key: bytes) -> None:
        """Forget a question, if it is there."""
        place = self._places.get(key)
        if place is None:
            return
        self._lose(self._asked[place])
        last = self._asked.pop()
        if place < len(self._asked):
            self._asked[place] = last
            self._vectors[place] = self._vectors[len(self._asked)]
            self._places[last.key] = place

    def eldest(self) -> bytes:
        """The key of the question that makes room next."""
        return self._asked[self._next % len(self._asked)].key

    def same_words(
        self, analysis: Analysis, vector: Vector, before: bytes, least: float, most: int
    ) -> Iterator[tuple[float, Asked]]:
        """Questions after the same conversation that are about the same words, as :meth:`nearest` gives them."""
        if not self._asked or vector.shape[0] != self._vectors.shape[1]:
            return
        for key in islice(self._by_words.get(words_of(analysis), ()), most):
            place = self._places[key]
            likeness = float(self._vectors[place] @ vector)
            if likeness >= least and self._asked[place].before == before:
                yield min(1.0, likeness), self._asked[place]

    def nearest(self, vector: Vector, before: bytes, least: float, most: int) -> Iterator[tuple[float, Asked]]:
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

    def _lose(self, asked: Asked) -> None:
        del self._places[asked.key]
        words = words_of(asked.analysis)
        keys = self._by_words[words]
        keys.discard(asked.key)
        if not keys:
            del self._by_words[words]
        self._texts -= _size(asked)

    def _grow(self, count: int, size: int) -> None:
        have = len(self._vectors)
        if count > have:
            grown = np.empty((min(self._most, max(_FEW, 2 * have)), size), np.float32)
            grown[:have] = self._vectors if have else 0
            self._vectors = grown


def _size(asked: Asked) -> int:
    return AROUND + 4 * len(asked.text)
