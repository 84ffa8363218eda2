"""Bounded in bytes, and what is asked for again stays."""

import sys
import tracemalloc
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.entry import OVERHEAD, Entry
from llmedge.cache.memory import MemoryCache
from llmedge.model import Usage
from tests.effort import examples


def entry(size: int = 100, stored: float = 0.0, keep: float = 1e9) -> Entry:
    return Entry(b"x" * size, b"", 0, "p", "m", None, stored, keep, keep)


def key(number: int) -> bytes:
    return b"%032d" % number


class Memory(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = MemoryCache(self.clock, 10 * (100 + OVERHEAD))

    def test_found(self) -> None:
        one, other = entry(), entry(5)
        self.memory.put(key(1), one)
        self.assertIs(self.memory.get(key(1)), one)
        self.assertIsNone(self.memory.get(key(2)))
        self.memory.put(key(1), other)
        self.assertIs(self.memory.get(key(1)), other)
        self.assertEqual((len(self.memory), self.memory.size), (1, 5 + OVERHEAD))

    def test_too_old(self) -> None:
        self.memory.put(key(1), entry(keep=10))
        self.clock.advance(9.9)
        self.assertIsNotNone(self.memory.get(key(1)))
        self.clock.advance(0.1)
        self.assertIsNone(self.memory.get(key(1)))
        self.assertEqual((self.memory.size, self.memory.expired, len(self.memory)), (0, 1, 0))

    def test_larger_than_all(self) -> None:
        self.memory.put(key(1), entry(100_000))
        self.assertEqual(len(self.memory), 0)

    def test_what_is_gone_takes_no_memory(self) -> None:
        """Whatever was replaced, purged or too old, though its turn in the queue is still to come."""
        for end in (
            lambda: self.memory.put(key(1), entry()),
            lambda: self.memory.remove(lambda _: True),
            lambda: (self.clock.advance(20), self.memory.get(key(1))),
        ):
            gone = bytes(bytearray(50))
            self.memory.put(key(1), Entry(gone, b"", 0, "p", "m", None, self.clock.seconds(), 10, 10))
            end()
            self.assertEqual(sys.getrefcount(gone), 2)

    def test_what_it_takes(self) -> None:
        """No more than it may, whatever the size of answers."""
        most = 16 << 20
        for size in (100, 2000, 20_000):
            keys = Random(1)
            tracemalloc.start(1)
            memory = MemoryCache(self.clock, most)
            for number in range(3 * most // (size + OVERHEAD)):
                made = Entry(
                    bytes(bytearray(size)),
                    b"",
                    0,
                    "p",
                    "m",
                    Usage(1000 + number, 1000),
                    number + 0.5,
                    1e9,
                    1e9 + number,
                )
                made.signed = (b"chatcmpl-%020d" % number, b'"created":17%08d' % number)
                memory.put(keys.randbytes(32), made)
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(taken, most * 1.02, size)
            self.assertGreater(taken, most * 0.85, size)

    def test_a_scan(self) -> None:
        """Of what is asked for once drives out nothing that is asked for again."""
        for number in range(5):
            self.memory.put(key(number), entry())
            self.memory.get(key(number))
        for number in range(100, 1000):
            self.memory.put(key(number), entry())
        self.assertTrue(all(self.memory.get(key(number)) for number in range(5)))
        self.assertEqual(self.memory.evicted, 5 + 900 - 10)

    def test_less_room(self) -> None:
        for number in range(10):
            self.memory.put(key(number), entry())
        self.memory.max_bytes = 3 * (100 + OVERHEAD)
        self.memory.shrink()
        self.assertEqual(len(self.memory), 3)

    def test_hit_rate(self) -> None:
        """Of a trace where few are asked for often and every tenth is asked for once: better than the least recently
        used one's."""
        chance = Random(1)
        weights = [1 / (number + 1) ** 0.9 for number in range(50_000)]
        trace: list[bytes] = []
        for number, chosen in enumerate(chance.choices(range(50_000), weights, k=100_000)):
            trace += [key(chosen), *([b"scan%028d" % number] if number % 10 == 0 else [])]
        one = entry()
        memory = MemoryCache(self.clock, 2000 * (100 + OVERHEAD))
        hits = 0
        least_recent: dict[bytes, None] = {}
        lru = 0
        for each in trace:
            if memory.get(each) is None:
                memory.put(each, one)
            else:
                hits += 1
            if each in least_recent:
                lru += 1
                del least_recent[each]
            elif len(least_recent) == 2000:
                del least_recent[next(iter(least_recent))]
            least_recent[each] = None
        self.assertGreater(hits / len(trace), 0.4)
        self.assertGreater(hits, 1.1 * lru)

    @settings(max_examples=examples(200), deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3000), st.booleans()), max_size=200))
    def test_whatever_comes(self, steps: list[tuple[int, int, bool]]) -> None:
        """Never more than there is room for, what is counted is what is there, and what is found was put."""
        memory = MemoryCache(self.clock, 20_000)
        put: dict[bytes, Entry] = {}
        for number, size, reads in steps:
            if reads:
                found = memory.get(key(number))
                self.assertTrue(found is None or found is put[key(number)])
            else:
                put[key(number)] = entry(size)
                memory.put(key(number), put[key(number)])
            self.assertLessEqual(memory.size, 20_000)
        self.assertEqual(memory.size, sum(slot.size for slot in memory._slots.values()))
        queued = [slot for queue in (memory._small, memory._main) for _, slot in queue if slot.uses >= 0]
        self.assertEqual(sorted(map(id, queued)), sorted(map(id, memory._slots.values())))

    def test_what_is_forgotten_leaves(self) -> None:
        """Queues do not grow with what expired or was replaced."""
        for number in range(10_000):
            self.memory.put(key(number % 3), entry())
        self.assertLess(len(self.memory._small) + len(self.memory._main), 1100)
