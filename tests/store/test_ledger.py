"""Every call becomes a row, once: the database dies, the disk fills, the process is gone in the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from llmedge.errors import LedgerUnavailable
from llmedge.model import Account
from llmedge.money import USD
from llmedge.store import ledger as module
from llmedge.store.database import Connection, DatabaseError, DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.migrations import migrate
from llmedge.store.rows import encode
from llmedge.store.spend import Question, spend
from llmedge.store.spool import Spool, SpoolError
from tests.e2e.service import until
from tests.store.databases import OnDatabase, on_both, record, row

NOW = 1_764_400_000.0


class Ledgers(OnDatabase):
    timeout = 60

    def setUp(self) -> None:
        self.patch(module, "RETRY", 0.01)
        self.patch(module, "SHIP_EVERY", 0.01)
        self.database = self.where()
        self.folder = Path(self.mktemp())
        self.problems: list[Callable[[], None]] = []
        migrate(self.connect(self.database))

    def ledger(self, **options: Any) -> Ledger:
        """A new process's, on the same disk and database."""
        thread = DatabaseThread(reactor, self.failing)
        made = Ledger(reactor, thread, Spool(self.folder, 10**7), **options)
        made.start()
        self.addCleanup(self.leave, made, thread)
        return made

    async def leave(self, ledger: Ledger, thread: DatabaseThread) -> None:
        self.problems.clear()
        if ledger._thread is not None:
            await ledger.stop()
        thread.stop()

    def failing(self) -> Connection:
        """A connection, whose :meth:`Connection.add` meets the next of ``problems`` when it has done its work."""
        connection = self.connect(self.database)
        add = connection.add

        def fails(rows: Any, then: Callable[[], None]) -> None:
            problem = self.problems.pop(0) if self.problems else None
            if problem is not None:
                problem()
            add(rows, then)
            if problem is not None:
                raise DatabaseError("the connection was lost after the commit")

        connection.add = fails  # type: ignore[method-assign]
        return connection

    def rows(self) -> list[tuple[str, str, int | None]]:
        connection = self.connect(self.database)
        return [
            row
            for table in connection.months(0, 2**52)
            for row in connection.query(f"SELECT request_id, outcome, cost FROM {table} ORDER BY at")
        ]

    def sums(self) -> tuple[int, int]:
        found = spend(self.connect(self.database), Question(0, 2**52 // (86400 * 10**6) * 86400 * 10**6))[0]
        return found["calls"], found["cost"]

    async def test_each_once(self) -> None:
        """Also where the database is lost just after it has kept them: rows and sums agree."""
        self.patch(module, "SHIP_MOST", 7)
        self.problems = [lambda: None] * 5
        ledger = self.ledger()
        for number in range(100):
            ledger(record(NOW + number, cost="0.1"))
        await until(lambda: ledger.shipped == 65, "the rows of the batches after those whose end nobody heard of")
        self.assertEqual(Counter(name for name, *_ in self.rows()), {f"req_{NOW + n}": 1 for n in range(100)})
        self.assertEqual(self.sums(), (100, 10 * USD))

    async def test_stopped_in_the_middle(self) -> None:
        """Those that were on the disk are shipped by the next process, and no sooner is the spool emptied."""
        ledger = self.ledger()
        self.problems = [self.lost] * 1000
        for number in range(30):
            ledger(record(NOW + number))
        await ledger.stop(0.3)
        self.assertEqual(self.sums()[0], 0)
        self.problems.clear()
        after = self.ledger()
        after(record(NOW + 30))
        await until(lambda: after.shipped == 31, "all rows")
        self.assertEqual(self.sums()[0], 31)
        self.assertTrue(await after.caught_up())

    def lost(self) -> None:
        raise DatabaseError("server closed the connection unexpectedly")

    async def test_stop_loses_nothing(self) -> None:
        ledger = self.ledger()
        for number in range(2000):
            ledger(record(NOW + number))
        await ledger.stop()
        self.assertEqual(self.sums()[0], 2000)

    async def test_strangers_fill_no_disk(self) -> None:
        """Nor do health checks."""
        ledger = self.ledger()
        stranger = record(NOW, key="", account=Account())
        probe = record(NOW, operation="")
        for each in (stranger, probe, record(NOW)):
            ledger(each)
        await until(lambda: ledger.shipped == 1, "the row")
        await ledger.stop()
        self.assertEqual(len(self.rows()), 1)

    async def test_two_calls_may_have_one_id(self) -> None:
        """A client may send the same ``X-Request-Id`` twice."""
        ledger = self.ledger()
        for _ in range(2):
            ledger(record(NOW, request_id="mine"))
        await until(lambda: ledger.shipped == 2, "both rows")
        self.assertEqual([name for name, *_ in self.rows()], ["mine", "mine"])

    async def test_strict_knows_what_was_begun(self) -> None:
        """What was under way when the process died is a row, with what was reserved as its cost."""
        ledger = self.ledger(strict=True)
        ended, died = record(NOW, cost="0.5"), record(NOW + 1)
        for each in (ended, died):
            await ledger.intend(each, 2 * each.accounting.cost)  # type: ignore[operator]
        ledger(ended)
        await ledger.stop()
        self.assertEqual([(name, outcome) for name, outcome, _ in self.rows()], [(f"req_{NOW}", "ok")])
        after = self.ledger(strict=True)
        await until(lambda: after.shipped == 1, "the row of the call that died")
        await after.stop()
        last = self.ledger(strict=True)
        last(record(NOW + 2))
        await until(lambda: last.shipped == 1, "the row of a later call")
        self.assertEqual(
            self.rows(),
            [
                (f"req_{NOW}", "ok", 500_000_000_000),
                (f"req_{NOW + 1}", "unknown", 9_000_000_000),
                (f"req_{NOW + 2}", "ok", 4_500_000_000),
            ],
        )

    async def test_strict_over_many_files(self) -> None:
        """What is open is remembered, however much is written and removed after it."""
        self.patch(module, "SHIP_MOST", 5)
        self.patch(__import__("llmedge.store.spool", fromlist=["SEGMENT"]), "SEGMENT", 3000)
        ledger = self.ledger(strict=True)
        await ledger.intend(record(NOW), 7)
        for number in range(1, 60):
            ledger(record(NOW + number))
            if number % 10 == 0:
                await until(lambda n=number: ledger.shipped == n, "the rows so far")
        await ledger.stop()
        self.assertLess(len(list(self.folder.glob("*.spool"))), 4)
        after = self.ledger(strict=True)
        await until(lambda: after.shipped == 1, "the row of the call that died")
        self.assertEqual(self.rows()[0], (f"req_{NOW}", "unknown", 7))

    async def test_a_row_that_cannot_be_kept(self) -> None:
        """It is counted, and holds up no other: not the database, nor the disk, nor the thread that makes rows."""
        odd = record(NOW + 50)
        odd.accounting.cost = 2**70
        broken = record(NOW + 51)
        broken.account = None  # type: ignore[assignment]
        surrogate = record(NOW + 52, model="\ud800")
        ledger = self.ledger()
        for number in range(100):
            ledger(record(NOW + number))
            for each in (odd, broken, surrogate) if number == 50 else ():
                ledger(each)
        await until(lambda: ledger.shipped == 100, "all the others")
        self.assertEqual((ledger.lost, self.sums()[0]), (3, 100))
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    async def test_any_text(self) -> None:
        """What a client may call a model, PostgreSQL does not keep."""
        ledger = self.ledger()
        ledger(record(NOW, model="a\0b\u2028'\"", request_id="\0"))
        await until(lambda: ledger.shipped == 1, "the row")
        self.assertEqual((ledger.lost, self.rows()[0][0]), (0, "\ufffd"))

    async def test_lines_of_another_release(self) -> None:
        """What cannot be read is counted; what has fewer columns, or more, is."""
        ledger = self.ledger()
        await ledger.stop()
        spool = Spool(self.folder, 10**7)
        spool.open()
        line = encode(row(NOW))
        spool.append([b"[1,2]", line[:-1] + b',"more"]', b"{}"])
        spool.close()
        after = self.ledger()
        await until(lambda: after.shipped == 1, "the row")
        self.assertEqual(after.lost, 2)

    async def test_a_full_disk_blocks(self) -> None:
        """No call is begun that could not be written down; nothing is lost, and it goes on by itself."""
        full = self.full_disk()
        ledger = self.ledger()
        for number in range(10):
            ledger(record(NOW + number))
        await until(lambda: ledger.blocked, "the ledger to say so")
        with self.assertRaises(LedgerUnavailable):
            await ledger.intend(record(NOW + 10), 1)
        full.clear()
        await until(lambda: ledger.shipped >= 10, "the rows")
        self.assertFalse(ledger.blocked)
        self.assertEqual(ledger.lost, 0)

    async def test_a_slow_disk_blocks(self) -> None:
        """As soon as too much is in memory, until it is on the disk."""
        self.patch(module, "HELD", 3)
        for sheds in (True, False):
            thread = DatabaseThread(reactor, self.failing)
            ledger = Ledger(reactor, thread, Spool(self.folder / str(sheds), 10**7), sheds=sheds)
            self.addCleanup(self.leave, ledger, thread)
            for number in range(3):
                ledger(record(NOW + number))
            self.assertFalse(ledger.blocked)
            ledger(record(NOW + 3))
            self.assertIs(ledger.blocked, not sheds)
            ledger.start(database=False)
            await until(lambda ledger=ledger: not ledger.blocked, "the rows to be written")

    async def test_or_sheds(self) -> None:
        """Calls go on, and what is lost is counted."""
        full = self.full_disk()
        ledger = self.ledger(sheds=True)
        for number in range(10):
            ledger(record(NOW + number))
        await until(lambda: ledger.lost == 10, "the loss")
        self.assertFalse(ledger.blocked)
        full.clear()
        ledger(record(NOW + 10))
        await until(lambda: ledger.shipped == 1, "the next row")

    def full_disk(self) -> list[int]:
        """While the list holds something, the disk takes nothing."""
        full = [1]
        append = Spool.append

        def refuse(spool: Spool, lines: Any) -> None:
            if full:
                raise SpoolError("No space left on device")
            append(spool, lines)

        self.patch(Spool, "append", refuse)
        return full


LedgersSqlite, LedgersPostgresql = on_both(Ledgers, TestCase)
del Ledgers
