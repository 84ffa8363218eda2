"""Where a question is read and embedded: never on the reactor's thread, however long it is."""

from __future__ import annotations

import json
import threading
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from llmedge.cache.semantic import meanings
from llmedge.cache.semantic.worker import WAITING, Worker
from tests.pipeline.meaning import Meaning, bag

LONG = "How do I renew the very long permit of the harbour office in the old town? " * 66


class Threads(TestCase):
    def setUp(self) -> None:
        self.meaning = Meaning(lambda question: "Ask at the office.", mode="strict", wrong=0.2, max_chars=8000)
        self.worker = Worker(reactor)
        self.addCleanup(self.worker.close)
        self.meaning.state.work = self.worker
        self.threads: set[int] = set()
        self.patch(meanings, "analyse", self.noting(meanings.analyse))
        self.patch(meanings, "unfit", self.noting(meanings.unfit))
        self.patch(meanings, "differing", self.noting(meanings.differing))
        self.meaning.state._meanings._make = lambda: self.noting(bag)  # type: ignore[union-attr]

    def noting(self, work: Any) -> Any:
        def noted(*args: Any) -> Any:
            self.threads.add(threading.get_ident())
            return work(*args)

        return noted

    async def learned(self, count: int) -> None:
        """So many questions are remembered."""
        while self.meaning.state.standing()["questions"] < count:
            await self.worker(int)  # type: ignore[misc]

    async def test_a_long_one(self) -> None:
        """Of 5,000 characters, asked twice in other words."""
        self.assertGreater(len(LONG), 4900)
        await self.meaning.begin(LONG)
        await self.learned(1)
        await self.meaning.begin(LONG.replace("How do I", "How can I"))
        await self.learned(2)
        while not self.meaning.state.right:
            await self.worker(int)  # type: ignore[misc]
        self.assertEqual(len(self.threads), 1)
        self.assertNotIn(threading.get_ident(), self.threads)

    async def test_one_too_many(self) -> None:
        """While the thread has enough to do, calls are answered at once."""
        await self.meaning.begin(LONG)
        await self.learned(1)
        gate = threading.Event()
        working = [each for _ in range(WAITING) if (each := self.worker(gate.wait)) is not None]
        reply = await self.meaning.begin(LONG.replace("How do I", "How can I"))
        self.assertIn("office", json.loads(reply.body)["choices"][0]["message"]["content"])
        gate.set()
        for each in working:
            await each
        self.assertGreater(self.worker.busy, 0)
