"""The thread: what it does, and what it does not take on."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from llmedge.cache.semantic.worker import WAITING, Worker


class Thread(TestCase):
    def setUp(self) -> None:
        self.worker = Worker(reactor)
        self.addCleanup(self.worker.close)

    async def test_one_thread(self) -> None:
        """Which is not the reactor's, does all of it, one after another, and hands back failures."""
        threads = [await self.worker(threading.get_ident) for _ in range(3)]  # type: ignore[misc]
        self.assertEqual(len(set(threads)), 1)
        self.assertNotEqual(threads[0], threading.get_ident())
        broken = self.worker(int, "no number")
        assert broken is not None
        with self.assertRaises(ValueError):
            await broken
        self.assertEqual(await self.worker(int, "7"), 7)  # type: ignore[misc]

    async def test_a_queue_of_eight(self) -> None:
        """Who comes then is sent away at once, until there is room again."""
        gate = threading.Event()
        working: list[Deferred[Any]] = [self.worker(gate.wait) for _ in range(WAITING)]  # type: ignore[misc]
        self.assertIsNone(self.worker(int, "7"))
        self.assertEqual(self.worker.busy, 1)
        gate.set()
        await gatherResults(working)
        self.assertEqual(await self.worker(int, "7"), 7)  # type: ignore[misc]

    async def test_nobody_waits_any_more(self) -> None:
        """What was begun is done, and takes its place until then."""
        gate = threading.Event()
        working = self.worker(gate.wait)
        assert working is not None
        working.addErrback(lambda failure: None)
        working.cancel()
        gate.set()
        self.assertEqual(await self.worker(int, "7"), 7)  # type: ignore[misc]
        self.assertEqual(self.worker._under_way, 0)
