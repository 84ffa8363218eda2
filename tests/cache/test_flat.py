"""However many calls there were: memory takes what it may, and no more."""

import gc
import sys

from twisted.trial.unittest import SynchronousTestCase

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
