"""What the store asks of a database, and the thread in which it is asked: nothing of it ever waits on the reactor's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.errors import StoreUnavailable
from llmedge.store.rows import Row

log = Logger()

T = TypeVar("T")
WAITING = 1000
"""Pieces of work that may wait for the database; beyond it the answer is at once that it cannot be had."""
PATIENCE = 5.0
"""Seconds that somebody waits for it."""


class DatabaseError(Exception):
    """The database cannot be had, or refused what it was asked; the message is the driver's, without a password."""


class ConstraintError(Exception):
    """A row is refused: its key is there already, or it holds what the database cannot keep. The transaction is undone,
    and the same rows will not do better."""


class Connection(Protocol):
    """One connection, used by one thread. SQL has a ``?`` for each parameter and says what both databases understand.

    :ivar kind: ``sqlite`` or ``postgresql``.
    """

    kind: str

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows.

        :raises DatabaseError: as everything here; ConstraintError: as everything that writes.
        """

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """How many rows were changed."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same statement for each row."""

    def transaction(self) -> AbstractContextManager[None]:
        """What is done within it is done whole or not at all. Waits for other writers."""

    def migrating(self) -> AbstractContextManager[None]:
        """A transaction that only one process is in at a time."""

    def now(self) -> int:
        """Microseconds since 1970 by the clock that all who use this database share."""

    def months(self, start: int, end: int) -> Iterator[str]:
        """The tables of the ledger's rows from ``start`` to before ``end``, in microseconds, the latest first: each may
        be asked until the next is taken."""

    def add(self, rows: Sequence[Row], then: Callable[[], None]) -> None:
        """Keep ``rows``, those that are there already but once, and do ``then``, in such a way that a crash at any
        moment leaves it either to be done once more, with the same rows, or done whole."""

    def prepare(self, now: int, months: int) -> None:
        """Make the places for rows of this month and of so many after it, where there are to be any beforehand."""

    def forget(self, before: int) -> int:
        """Drop the months that ended before; how many."""

    def notify(self) -> None:
        """Have those who listen look at what was changed, once the transaction that is open is done."""

    def close(self) -> None: ...


@attrs.define(eq=False)
class _Job:
    work: Callable[[Connection], Any]
    done: Deferred[Any]
    wanted: bool = True


class DatabaseThread:
    """Does one piece of work after another, on one connection, in a thread of its own.

    The connection is made with the first work, and anew after a failure. The thread is a daemon: a database that hangs
    does not keep the process from ending.

    :param connect: makes the connection; in the thread. :raises DatabaseError:
    """

    def __init__(self, reactor: Any, connect: Callable[[], Connection]) -> None:
        self._reactor = reactor
        self._connect = connect
        self._connection: Connection | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.away = False
        """The last work failed for want of the database."""

    def run(self, work: Callable[[Connection], T], patience: float | None = PATIENCE) -> Deferred[T]:
        """What ``work`` returns, given the connection; in its transactions it says itself.

        :param patience: seconds until nobody waits any more: what has begun by then may still be done; ``None``: as
            long as it takes.
        :raises StoreUnavailable: the database is away, or too slow.
        """
        if patience is not None and self._jobs.qsize() >= WAITING:
            return fail(StoreUnavailable())

        def give_up(done: Deferred[T]) -> None:
            job.wanted = False

        done: Deferred[T] = Deferred(give_up)
        job = _Job(work, done)
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="llmedge-store", daemon=True)
            self._thread.start()
        if patience is not None:
            done.addTimeout(patience, self._reactor, _too_slow)
        return done

    def stop(self) -> None:
        """No more work comes; what was asked for is done."""
        self._jobs.put(None)
        self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.wanted:
                continue
            try:
                result: Any = self._do(job.work)
            except DatabaseError as error:
                self._drop()
                self._say(str(error))
                result = Failure(StoreUnavailable())  # type: ignore[no-untyped-call]  # twisted has no types here
            except Exception:
                result = Failure()  # type: ignore[no-untyped-call]
            else:
                self._say("")
            self._reactor.callFromThread(_tell, job, result)
        self._drop()

    def _do(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._connect()
        return work(self._connection)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _say(self, problem: str) -> None:
        """Once a change: it is away, it is back."""
        if problem and not self.away:
            log.error("the store cannot be had: {problem}", problem=problem)
        elif self.away and not problem:
            log.info("the store is back")
        self.away = bool(problem)


def _tell(job: _Job, result: Any) -> None:
    if job.wanted:
        job.wanted = False
        job.done.callback(result)


def _too_slow(result: Any, patience: float) -> Any:
    if isinstance(result, Failure) and isinstance(result.value, CancelledError):
        raise StoreUnavailable()
    return result
