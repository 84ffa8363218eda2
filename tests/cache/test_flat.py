"""However many calls there were: memory takes what it may, and no more."""

import gc
import sys
import tracemalloc
from hashlib import sha256

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.entry import Entry
from llmedge.cache.memory import MemoryCache
from llmedge.model import Usage
from tests.effort import so_many
from tests.fakes import CHAT, Edge, request

CALLS = so_many(3_000, quick=1_500, soak=1_000_000)
ROOM = 300_000
TOML = f"[cache]\nenabled = true\nmax_bytes = {ROOM}\n[rate_limit]\nenabled = false\n"


class Flat(SynchronousTestCase):
    def test_calls(self) -> None:
        """Questions that are new, that are asked again, and streams, with no room for all of them."""
        edge = Edge(TOML)
        wire = edge.wire()
        cache = edge.service._process._cache

        def ask(first: int, calls: int) -> None:
            for number in range(first, first + calls):
                question = {"messages": [{"role": "user", "content": f"{number // 2:08}"}]}
                wire.send(request(body=CHAT | question | ({"stream": True} if number % 6 < 2 else {})))
                self.assertIn(b" 200 OK", wire.received()[:20])
                wire.transport.clear()
                edge.reactor.advance(0.001)
                edge.records.clear()

        ask(0, 1_500)
        gc.collect()
        before = sys.getallocatedblocks()
        ask(1_500, CALLS)
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - before, before * 0.01)
        self.assertGreater(cache.memory.evicted, CALLS / 3)
        self.assertLessEqual(cache.memory.size, ROOM)

    def test_what_entries_take(self) -> None:
        """``max_bytes`` is what the process has for it: a tenth less at most, with what the allocator adds a hundredth
        more. The smaller entries are, the more of it is what is around them."""
        for size in (500, 2_000, 20_000):
            memory = MemoryCache(Clock(), 3_000_000)
            tracemalloc.start()
            for number in range(3 * memory.max_bytes // size):
                usage = Usage(input=number + 300, output=number + 400)
                body = b"%b%d" % (b"x" * (size - 8), number + 10_000_000)
                ttl = 3600 - number / 1000
                entry = Entry(body, b"application/json", 0, "p", "m", usage, number + 0.5, ttl, ttl)
                memory.put(sha256(body).digest(), entry)
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertGreater(memory.evicted, 0)
            self.assertTrue(0.9 < taken / memory.max_bytes < 1.01, (size, taken))
