"""The ledger: every call becomes a row, whatever happens to the database, at next to no cost for the call.

The reactor's thread appends the finished record to a list. A thread of the ledger makes rows of them and writes those
to the spool, every :data:`GATHER` seconds; the database's thread ships them from there, exactly once.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import deque
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from llmedge.errors import LedgerUnavailable, StoreUnavailable
from llmedge.record import Record
from llmedge.store import rollups
from llmedge.store.database import Connection, ConstraintError, DatabaseThread
from llmedge.store.rows import Row, decode, encode, row_of
from llmedge.store.spool import LONGEST, Position, Read, Spool, SpoolError

log = Logger()

GATHER = 0.02
"""Seconds that rows are gathered for: each write waits for the disk. What a kill may cost."""
SHIP_EVERY = 0.25
"""Seconds between two looks at what is to be shipped."""
SHIP_MOST = 200
"""Rows a transaction: reading a megabyte of them at once would hold up the reactor for a tenth of a second."""
HELD = 20_000
"""Rows in memory that the disk does not take; beyond that the policy decides."""
SWITCH = 0.0005
"""Seconds that a thread may keep others from going on. By default it is ten times as many, and the reactor's waits that
long at each read and write while rows are made and shipped."""
RETRY = 1.0
"""Seconds until a disk that refused is tried again."""
MARKS = 1000
"""Places in the spool of which it is known how many calls are before them."""
INTENT = "intent"
"""The outcome of a row that says what is about to be asked; what became of it follows under the same ``uid``."""


class Ledger:
    """An observer of finished records.

    :param sheds: what the disk does not take is lost, and counted; else new calls are refused until it does.
    :param strict: :meth:`intend` waits until it is known on disk that a vendor is about to be asked.
    :ivar blocked: no call may be begun: what becomes of it could not be written down.
    :ivar lost: rows that are nowhere.
    :ivar ended: calls that this process has brought; ``kept``: of the first so many the database has the rows.
    """

    def __init__(
        self, reactor: Any, database: DatabaseThread, spool: Spool, sheds: bool = False, strict: bool = False
    ) -> None:
        self._reactor, self._database, self._spool = reactor, database, spool
        self.sheds, self.strict = sheds, strict
        self.lost = self.shipped = self.ended = self.kept = self._drained = 0
        self._marks: deque[tuple[Position, int]] = deque()
        self._records: deque[Record | Row] = deque()
        self._durable: deque[Deferred[None]] = deque()
        self._wake = threading.Event()
        self._awake = False
        self._stopping = self._writing = self.blocked = False
        self._problem = ""
        self._open: dict[str, Row] = {}
        self._position: Position | None = None
        self._began = 0
        self._most = SHIP_MOST
        self._resting: Deferred[None] | None = None
        self._thread: threading.Thread | None = None
        self._shipping = LoopingCall(self._ship)
        self._shipping.clock = reactor

    def __call__(self, record: Record) -> None:
        """Take a finished record. What nobody known asked for is in the log only: strangers fill no disk."""
        if record.operation and record.caller:
            self.ended += 1
            self._records.append(record)
            if len(self._records) > HELD:
                self.blocked = not self.sheds  # until the thread has written, which is woken after this
            if not self._awake:
                self._awake = True
                self._wake.set()

    @property
    def behind(self) -> int:
        """Bytes that are not in the database yet, about."""
        return self._spool.size

    def intend(self, record: Record, reserved: int) -> Deferred[None]:
        """A vendor is about to be asked, which may cost ``reserved`` (picos): fires when that is on disk.

        Should the process end before the call does, the row says ``unknown``, and the cost is what was reserved.

        :raises LedgerUnavailable: the disk does not take it.
        """
        record.uid = _uid(record.received)
        row = msgspec.structs.replace(row_of(record, record.uid), outcome=INTENT, cost=reserved)
        done: Deferred[None] = Deferred()
        self._records.append(row)
        self._durable.append(done)  # in this order: the thread counts these first
        self._wake.set()
        return done

    def start(self, database: bool = True) -> None:
        """:param database: ship at once; else :meth:`ship` says when.

        :raises SpoolError: the spool cannot be used.
        """
        self._spool.open()
        self._began = self._spool.written.segment
        sys.setswitchinterval(SWITCH)
        self._thread = threading.Thread(target=self._write, name="llmedge-ledger", daemon=True)
        self._thread.start()
        if database:
            self.ship()

    def ship(self) -> None:
        """The database is as it should be: begin to ship."""
        if not self._shipping.running:
            self._shipping.start(SHIP_EVERY, now=False)

    async def stop(self, patience: float = 5.0) -> None:
        """Everything onto the disk, and within ``patience`` seconds into the database."""
        self._stopping = True
        self._wake.set()
        if self._resting is not None:
            self._resting.cancel()
        until = self._reactor.seconds() + patience
        while self._thread is not None and self._thread.is_alive() and self._reactor.seconds() < until:
            await _pause(self._reactor, 0.01)
        if self._shipping.running:
            self._shipping.stop()
            await self.caught_up(until - self._reactor.seconds())
        self._spool.close()

    async def caught_up(self, patience: float = 1.0) -> bool:
        """Wait until what was finished by now is in the database; whether it is."""
        until = self._reactor.seconds() + patience
        while (self._records or self._writing) and self._reactor.seconds() < until:
            await _pause(self._reactor, GATHER)
        goal = self._spool.written
        while (self._position is None or self._position < goal) and self._reactor.seconds() < until:
            try:
                if not await self._database.run(self._ship_some, max(0.05, until - self._reactor.seconds())):
                    return True
            except StoreUnavailable:
                return False
        return self._position is not None and self._position >= goal

    def left_behind(self, at: float) -> list[Row]:
        """What the process before this one has left on the disk of calls with a cost that ended after ``at`` (seconds
        since 1970), or were under way. In a thread.

        :raises SpoolError: the disk refuses.
        """
        found: dict[str, Row] = {}
        position = self._spool.written_after(at)
        while position.segment < self._began:
            read = self._spool.read(position, SHIP_MOST)
            if read.after == position or read.after.segment >= self._began:
                break
            position = read.after
            for row in _decoded(read, intents=True)[0]:
                found[row.uid] = row
        return [row for row in found.values() if row.cost and (row.outcome == INTENT or ended(row) > at)]

    # In the ledger's thread

    def _write(self) -> None:
        waiting = [(row, _line(row)) for row in self._unfinished()]
        while True:
            if not waiting:
                self._wake.wait()
                if not self._stopping:
                    time.sleep(GATHER)
                self._wake.clear()
                self._awake = False  # before it is looked at what is there
            stopping, durable, self._writing = self._stopping, len(self._durable), True
            waiting += self._drain()
            try:
                self._append(waiting)
            except SpoolError as error:
                self._refused(str(error), durable, waiting)
                if stopping:
                    return
                time.sleep(RETRY)
                continue
            self.blocked = False
            if self._problem:
                self._problem = ""
                log.info("the ledger is written again")
            waiting.clear()
            self._writing = False
            self._fire(durable, None)
            if stopping and not self._records:
                return

    def _drain(self) -> list[tuple[Row, bytes]]:
        rows = []
        while self._records:
            each = self._records.popleft()
            self._drained += isinstance(each, Record)
            try:
                row = each if isinstance(each, Row) else row_of(each, each.uid or _uid(each.received))
                rows.append((row, _line(row)))
            except Exception:  # a defect of ours in one row is no reason to lose the others
                log.failure("a call could not be written down")
                self.lost += 1
        return rows

    def _append(self, rows: list[tuple[Row, bytes]]) -> None:
        segment = self._spool.written.segment
        self._spool.append([line for _, line in rows])
        for row, _ in rows:
            if row.outcome == INTENT:
                self._open[row.uid] = row
            else:
                self._open.pop(row.uid, None)
        if len(self._marks) >= MARKS:
            self._marks.pop()
        self._marks.append((self._spool.written, self._drained))
        if self._spool.written.segment != segment and self._open:
            self._spool.append([_line(row) for row in self._open.values()])  # older files may go

    def _refused(self, problem: str, durable: int, waiting: list[Any]) -> None:
        if not self._problem:
            policy = "calls are lost to it, and counted" if self.sheds else "new calls are refused until it can"
            log.error("the ledger cannot be written: {problem}; {policy}", problem=problem, policy=policy)
        self._problem, self.blocked = problem, not self.sheds
        self._fire(durable, LedgerUnavailable())
        if self.sheds:
            self.lost += len(waiting)
            waiting.clear()

    def _fire(self, count: int, problem: Exception | None) -> None:
        for _ in range(count):
            done = self._durable.popleft()
            self._reactor.callFromThread(_end, done, problem)

    # In the database's thread

    async def _ship(self) -> None:
        try:
            while not self._stopping and (self._position is None or self._position < self._spool.written):
                began = self._reactor.seconds()
                if not await self._database.run(self._ship_some, None):
                    return
                await self._rest(max(0.002, self._reactor.seconds() - began))  # calls go first
        except StoreUnavailable:
            await self._rest(RETRY)
        except Exception:
            log.failure("rows of the ledger could not be shipped; this is tried again")
            await self._rest(RETRY)

    def _rest(self, seconds: float) -> Deferred[None]:
        self._resting = _pause(self._reactor, 0 if self._stopping else seconds)
        return self._resting

    def _ship_some(self, connection: Connection) -> int:
        """Ship what comes next; how many lines were read."""
        if self._position is None:
            found = connection.query("SELECT segment, place FROM spool_position WHERE spool = ?", [self._spool.name])
            self._position = Position(*found[0]) if found else Position(0, 0)
        read = self._spool.read(self._position, self._most)
        if not read.lines and not read.lost:
            return 0
        rows, lost = _decoded(read)
        before, self._position = self._position, None  # whether it is kept is for the database to say
        try:
            self._add(connection, rows, read.after)
        except ConstraintError as error:
            self._position = before
            if self._most > 1:
                self._most = 1  # so that it is one row that is lost
                return len(read.lines)
            log.error("a row of the ledger is lost, the database cannot keep it: {problem}", problem=str(error))
            rows, lost = [], lost + 1
            self._add(connection, rows, read.after)
        self._position = read.after
        while self._marks and self._marks[0][0] <= read.after:
            self.kept = self._marks.popleft()[1]
        self._most = min(2 * self._most, SHIP_MOST)
        self.lost += lost
        self.shipped += len(rows)
        self._spool.forget(read.after)
        return len(read.lines) + read.lost

    def _add(self, connection: Connection, rows: list[Row], after: Position) -> None:
        """``rows``, their sums, and the place in the spool they were read up to."""

        def then() -> None:
            rollups.add(connection, rows)
            connection.execute(
                "INSERT INTO spool_position VALUES (?, ?, ?)"
                " ON CONFLICT (spool) DO UPDATE SET segment = excluded.segment, place = excluded.place",
                [self._spool.name, *after],
            )

        connection.add(rows, then)

    def _unfinished(self) -> list[Row]:
        """Of calls that were under way when the process before this one ended: what is known of them."""
        found: dict[str, Row] = {}
        position = Position(0, 0)
        try:
            while (read := self._spool.read(position, SHIP_MOST)).after != position:
                position = read.after
                if not found and not any(b'"intent"' in line for line in read.lines):
                    continue  # they need not be read
                for row in _decoded(read, intents=True)[0]:
                    if row.outcome == INTENT:
                        found[row.uid] = row
                    else:
                        found.pop(row.uid, None)
        except SpoolError as error:
            log.error("calls that were under way at the last end are not known: {problem}", problem=str(error))
        return [msgspec.structs.replace(row, outcome="unknown") for row in found.values()]


def ended(row: Row) -> float:
    """When its call did, in seconds since 1970."""
    return (row.at + row.duration) / 1_000_000


def _decoded(read: Read, intents: bool = False) -> tuple[list[Row], int]:
    """Its rows, and how many lines are none."""
    rows, lost = [], read.lost
    for line in read.lines:
        try:
            row = decode(line)
        except msgspec.DecodeError:  # another release's, that this one cannot read
            lost += 1
            continue
        if intents or row.outcome != INTENT:
            rows.append(row)
    return rows, lost


def _line(row: Row) -> bytes:
    line = encode(row)
    if len(line) >= LONGEST:
        line = encode(msgspec.structs.replace(row, detail="{}"))
    return line.replace(b"\\u0000", b"\\ufffd")  # PostgreSQL keeps no text with NUL in it


def _uid(received: float) -> str:
    """Sorts by time."""
    return f"{int(received * 1_000_000):014x}{secrets.token_hex(5)}"


def _end(done: Deferred[None], problem: Exception | None) -> None:
    if not done.called:
        (done.callback(None) if problem is None else done.errback(problem))


def _pause(clock: Any, seconds: float) -> Deferred[None]:
    """Cancelled, it is over."""
    delayed = clock.callLater(seconds, lambda: done.callback(None))

    def cut(done: Deferred[None]) -> None:
        delayed.cancel()
        done.callback(None)

    done: Deferred[None] = Deferred(cut)
    return done
