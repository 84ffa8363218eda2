"""What is near, in one partition and in all of them, within bounds."""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.embedder import unit
from llmedge.cache.semantic.guards import analyse
from llmedge.cache.semantic.index import Asked, Index
from llmedge.cache.semantic.meanings import Meanings
from tests.pipeline.meaning import bag


def asked(text: str, before: bytes = b"") -> Asked:
    analysis = analyse(text)
    assert analysis is not None
    return Asked(text.encode(), before, text, analysis)


def found(index: Index, text: str, before: bytes = b"", least: float = 0.0) -> list[str]:
    return [each.text for _, each in index.nearest(bag(text), before, least, 8)]


class Indexes(SynchronousTestCase):
    def test_the_nearest_first(self) -> None:
        """Of those after the same conversation, and alike enough."""
        index = Index(100)
        for text in ("What is a red fox?", "What is a red hat?", "Where do bears sleep?"):
            index.add(asked(text), bag(text))
        index.add(asked("What is a red boat?", b"other"), bag("What is a red boat?"))
        self.assertEqual(found(index, "What is a red fox?")[:2], ["What is a red fox?", "What is a red hat?"])
        self.assertEqual(found(index, "What is a red fox?", least=0.99), ["What is a red fox?"])
        self.assertEqual(found(index, "What is a red fox?", b"other"), ["What is a red boat?"])
        self.assertEqual(found(Index(9), "What is a red fox?"), [])

    def test_vectors_of_another_size(self) -> None:
        """Another model made them: they are not compared."""
        index = Index(10)
        index.add(asked("What is a fox?"), bag("What is a fox?"))
        self.assertRaises(ValueError, index.add, asked("What is a hat?"), unit([1.0, 2.0]))
        self.assertEqual(list(index.nearest(unit([1.0, 2.0]), b"", 0.0, 8)), [])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
    @settings(max_examples=60, deadline=None)
    def test_whatever_comes_and_goes(self, steps: list[tuple[bool, int]]) -> None:
        """Each question is found by itself as long as it is there; never more than there may be."""
        index, there = Index(8), []
        for adds, number in steps:
            text = f"What is a {'abcdefghijklmnopqrstuvwxyzabcde'[number]}{number}?"
            if adds:
                index.add(asked(text), bag(text))
                there = [each for each in there if each != text] + [text]
            else:
                index.remove(text.encode())
                there = [each for each in there if each != text]
            self.assertLessEqual(len(index), 8)
            if len(there) <= 8 and adds:
                self.assertEqual(found(index, text)[0], text)
            if not adds:
                self.assertNotIn(text, found(index, text))
        self.assertEqual(sum(map(len, index._by_words.values())), len(index))
        self.assertEqual(index._places, {each.key: place for place, each in enumerate(index._asked)})

    def test_ten_thousand(self) -> None:
        """Are looked through within few milliseconds, whatever the machine does besides."""
        index = Index(10_000)
        vectors = np.random.default_rng(1).normal(size=(10_000, 384)).astype(np.float32)
        one = asked("What is a fox?")
        for number, vector in enumerate(vectors):
            index.add(Asked(b"%d" % number, b"", one.text, one.analysis), unit(vector))
        self.assertEqual(len(index), 10_000)
        begun = process_time()
        for vector in vectors[:20]:
            next(index.nearest(unit(vector), b"", 0.9, 8))
        self.assertLess((process_time() - begun) / 20, 0.02)


class Partitions(SynchronousTestCase):
    def meanings(self, max_entries: int = 100, max_bytes: int = 1 << 24) -> Meanings:
        return Meanings(lambda: bag, max_entries, max_bytes, 0.5)

    def add(self, meanings: Meanings, partition: bytes, text: str) -> None:
        read = meanings.read(text)
        assert read is not None
        meanings.add(partition, b"", text.encode(), meanings.embedded(read))

    def find(self, meanings: Meanings, partition: bytes, text: str) -> Any:
        read = meanings.read(text)
        assert read is not None
        return meanings.find(partition, b"", meanings.embedded(read))

    def test_apart(self) -> None:
        """Nothing of one partition is found in another."""
        meanings = self.meanings()
        self.add(meanings, b"a", "How do I feed the fox?")
        self.assertIsNone(self.find(meanings, b"b", "How do I feed the fox?"))
        self.assertEqual((meanings.has(b"a"), meanings.has(b"b")), (True, False))

    def test_the_same_words_first(self) -> None:
        """However many of the same form ask for something else."""
        meanings = self.meanings(1000)
        self.add(meanings, b"a", "What are the steps to feed the quokka?")
        for number in range(300):
            word = "".join("abcdefghij"[int(digit)] for digit in str(number))
            self.add(meanings, b"a", f"How do I feed the {word}x?")
        found = self.find(meanings, b"a", "How do I feed the quokka?")
        self.assertEqual((found.asked.text, found.strict), ("What are the steps to feed the quokka?", True))
        found = self.find(meanings, b"a", "How do I feed the wombat?")
        self.assertFalse(found.strict)

    def test_guards_decide(self) -> None:
        meanings = self.meanings()
        self.add(meanings, b"a", "Which plants can I eat?")
        self.assertIsNone(self.find(meanings, b"a", "Which plants can I not eat?"))

    def test_bounded(self) -> None:
        """In questions and in bytes; the partition that was used last stays."""
        meanings = self.meanings(max_entries=5, max_bytes=150_000)
        for number in range(40):
            for partition in (b"a", b"b", b"c%d" % number):
                self.add(meanings, partition, f"What is a {'abcdefghij'[number % 10]}{number}x?")
            self.assertLessEqual(meanings.bytes, 150_000)
        self.assertTrue(meanings.has(b"c39"))
        self.assertFalse(meanings.has(b"c0"))
        self.assertEqual(meanings.entries, sum(len(each) for each in meanings._partitions.values()))
        for partition, index in list(meanings._partitions.items()):
            for each in list(index._asked):
                meanings.forget(partition, each.key)
        self.assertEqual(meanings.entries, 0)

    def test_one_partition_alone(self) -> None:
        """Makes room in itself."""
        meanings = self.meanings(max_entries=10_000, max_bytes=120_000)
        for number in range(60):
            self.add(meanings, b"a", f"What is a {'abcdefghij'[number % 10]}{number}x?")
        self.assertGreater(meanings.entries, 5)
        self.assertLess(meanings.entries, 60)
