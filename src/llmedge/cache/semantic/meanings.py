"""All questions that were answered, by partition. Used by one thread (:mod:`.worker`); bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs

from llmedge.cache.semantic.eligible import unfit
from llmedge.cache.semantic.embedder import Embedder, Vector, unit
from llmedge.cache.semantic.guards import Analysis, analyse, apart, differing, strictly_same
from llmedge.cache.semantic.index import Asked, Index

COMPARED = 128
"""Questions that the guards look at for one, the nearest: a millisecond. Many may be of one form, and ask for other
things."""
PARTITION = 2000
"""Bytes that a partition takes besides its questions, about."""


@attrs.frozen(eq=False)
class Understood:
    """A question as it was read; ``vector`` is there where somebody has made it."""

    text: str
    analysis: Analysis
    vector: Vector | None = None


@attrs.frozen(eq=False)
class Found:
    """A question that may say the same. ``likeness``: the cosine of both; ``strict``: it says it in the same words."""

    asked: Asked
    likeness: float
    strict: bool


class Meanings:
    """:param make: makes the bundled model; ``None``: vectors come from elsewhere.

    :param max_entries: questions of a partition. ``least``: likeness under which nothing is looked at.
    :ivar entries: all questions; ``bytes``: that they take, about. ``partitions``: how many there are.
    """

    def __init__(self, make: Callable[[], Embedder] | None, max_entries: int, max_bytes: int, least: float) -> None:
        self._make = make
        self._embedder: Embedder | None = None
        self._max_entries, self._max_bytes, self._least = max_entries, max_bytes, least
        self._partitions: OrderedDict[bytes, Index] = OrderedDict()
        self.entries = self.bytes = 0

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    def read(self, text: str) -> Understood | None:
        """A question as the guards see it; ``None``: it is left alone."""
        if unfit(text):
            return None
        analysis = analyse(text)
        return None if analysis is None else Understood(text, analysis)

    def embedded(self, understood: Understood, values: Any = None) -> Understood:
        """The same, with its vector: of ``values``, which somebody else made, or by the bundled model.

        :raises OSError: it cannot be loaded. :raises ValueError: what was made is no vector.
        """
        if understood.vector is not None:
            return understood
        if values is not None:
            return attrs.evolve(understood, vector=unit(values))
        if self._embedder is None:
            assert self._make is not None, "somebody makes vectors"
            self._embedder = self._make()
        return attrs.evolve(understood, vector=self._embedder(understood.text))

    def has(self, partition: bytes) -> bool:
        """Whether anything was asked there: else nothing has to be compared."""
        return partition in self._partitions

    def find(self, partition: bytes, before: bytes, understood: Understood) -> Found | None:
        """The question there that differs least from it, and in nothing that the guards know: one in the same words
        goes before all, then those that have fewest other words, then the nearest."""
        index = self._partitions.get(partition)
        if index is None or understood.vector is None:
            return None
        self._partitions.move_to_end(partition)
        vector, analysis = understood.vector, understood.analysis
        for likeness, asked in index.same_words(analysis, vector, before, self._least, COMPARED):
            if not differing(asked.analysis, analysis) and strictly_same(asked.analysis, analysis):
                return Found(asked, likeness, True)
        found, least = None, 0
        for likeness, asked in index.nearest(vector, before, self._least, COMPARED):
            if differing(asked.analysis, analysis):
                continue
            if strictly_same(asked.analysis, analysis):
                return Found(asked, likeness, True)
            words = apart(asked.analysis, analysis)
            if found is None or words < least:
                found, least = Found(asked, likeness, False), words
        return found

    def add(self, partition: bytes, before: bytes, key: bytes, understood: Understood) -> None:
        """Remember a question whose answer is kept under ``key``. Those that nobody asked for longest make room."""
        assert understood.vector is not None
        index = self._partitions.get(partition)
        if index is None:
            index = self._partitions[partition] = Index(self._max_entries)
            self.bytes += PARTITION
        self._partitions.move_to_end(partition)
        size, count = index.size, len(index)
        index.add(Asked(key, before, understood.text, understood.analysis), understood.vector)
        self._count(index, size, count)
        while self.bytes > self._max_bytes and len(self._partitions) > 1:
            _, gone = self._partitions.popitem(last=False)
            self.bytes -= gone.size + PARTITION
            self.entries -= len(gone)
        while self.bytes > self._max_bytes and len(index) > 1:
            size, count = index.size, len(index)
            index.remove(index.eldest())
            self._count(index, size, count)

    def forget(self, partition: bytes, key: bytes) -> None:
        """The answer of a question is not there any more, or was wrong."""
        if (index := self._partitions.get(partition)) is not None:
            size, count = index.size, len(index)
            index.remove(key)
            self._count(index, size, count)

    def _count(self, index: Index, size: int, count: int) -> None:
        self.bytes += index.size - size
        self.entries += len(index) - count
