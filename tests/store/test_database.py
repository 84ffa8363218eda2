"""The thread that asks the database: it never holds up whoever waits, and comes back by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from llmedge.errors import StoreUnavailable
from llmedge.store import database as module
from llmedge.store.database import ConstraintError, DatabaseError, DatabaseThread


class FakeConnection:
    def __init__(self, made: list[FakeConnection]) -> None:
        made.append(self)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Threads(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.made: list[FakeConnection] = []
        self.problem = ""
        self.thread = DatabaseThread(reactor, self.connect)
        self.addCleanup(self.thread.stop)

    def connect(self) -> Any:
        if self.problem:
            raise DatabaseError(self.problem)
        return FakeConnection(self.made)

    def held(self) -> tuple[Deferred[None], Callable[[], None]]:
        """Work that goes on until it is let go."""
        event = threading.Event()
        self.addCleanup(event.set)

        def work(connection: Any) -> None:
            event.wait(20)

        return self.thread.run(work, None), event.set

    async def test_in_turn_on_one_connection(self) -> None:
        order: list[int] = []
        await gatherResults([self.thread.run(lambda _, n=n: order.append(n)) for n in range(9)])
        self.assertEqual(order, [*range(9)])
        self.assertEqual(len(self.made), 1)

    async def test_nobody_waits_longer_than_they_said(self) -> None:
        """Nor is done for them what had not begun."""
        done: list[int] = []
        first, let_go = self.held()
        late = self.thread.run(lambda _: done.append(1), 0.05)
        with self.assertRaises(StoreUnavailable):
            await late
        let_go()
        await first
        await self.thread.run(lambda _: done.append(2))
        self.assertEqual(done, [2])

    async def test_no_queue_without_end(self) -> None:
        self.patch(module, "WAITING", 3)
        first, let_go = self.held()
        waiting = [self.thread.run(lambda _: None, 20) for _ in range(9)]
        with self.assertRaises(StoreUnavailable):
            await waiting[-1]
        let_go()
        await first
        results = [not isinstance(await each.addErrback(lambda failure: failure.value), Exception) for each in waiting]
        self.assertIn(results.count(True), (3, 4))

    async def test_back_after_a_failure(self) -> None:
        self.problem = "connection refused"
        with self.assertRaises(StoreUnavailable):
            await self.thread.run(lambda connection: None)
        self.assertTrue(self.thread.away)
        self.problem = ""
        await self.thread.run(lambda connection: None)
        self.assertFalse(self.thread.away)

        def breaks(connection: Any) -> None:
            raise DatabaseError("terminating connection")

        with self.assertRaises(StoreUnavailable):
            await self.thread.run(breaks)
        await self.thread.run(lambda connection: None)
        self.assertEqual([each.closed for each in self.made], [True, False])

    async def test_what_the_work_finds_wrong_is_its_own(self) -> None:
        """A row that is refused says nothing about the database."""

        def refused(connection: Any) -> None:
            raise ConstraintError("twice")

        with self.assertRaises(ConstraintError):
            await self.thread.run(refused)
        self.assertFalse(self.thread.away)
        self.assertFalse(self.made[0].closed)
