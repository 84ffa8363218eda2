"""However many calls there were: memory takes what it may, and no more."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.effort import so_many
from tests.fakes import CHAT, Edge, request

CALLS = so_many(3_000, quick=1_500, soak=1_000_000)
ROOM = 300_000
TOML = f"[cache]\nenabled = true\nmax_bytes = {ROOM}\n[rate_limit]\nenabled = false\n"


def grown(calls: int) -> tuple[int, int, int, int]:
    """Blocks of memory before ``calls`` calls, and how many more there are after them; entries let go, and bytes kept.

    Questions are new, are asked again, and are streams; there is no room for all of them.
    """
    edge = Edge(TOML)
    wire = edge.wire()
    cache = edge.service._process._cache

    def ask(first: int, calls: int) -> None:
        for number in range(first, first + calls):
            question = {"messages": [{"role": "user", "content": f"{number // 2:08}"}]}
            wire.send(request(body=CHAT | question | ({"stream": True} if number % 6 < 2 else {})))
            assert b" 200 OK" in wire.received()[:20], wire.received()[:200]
            wire.transport.clear()
            edge.reactor.advance(0.001)
            edge.records.clear()

    ask(0, 1_500)
    gc.collect()
    before = sys.getallocatedblocks()
    ask(1_500, calls)
    gc.collect()
    return before, sys.getallocatedblocks() - before, cache.memory.evicted, cache.memory.size


class Flat(SynchronousTestCase):
    def test_calls(self) -> None:
        """In a process of their own: others' tests leave things behind."""
        script = f"import json; from tests.cache.test_flat import grown; print(json.dumps(grown({CALLS})))"
        root = Path(__file__).parent.parent.parent
        ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        before, more, evicted, size = json.loads(ran.stdout.splitlines()[-1])
        self.assertLess(more, before * 0.01)
        self.assertGreater(evicted, CALLS / 3)
        self.assertLessEqual(size, ROOM)
