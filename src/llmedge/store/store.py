"""The room of one process: its database, its ledger, and what is done now and then."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from llmedge.config import ConfigError, Settings
from llmedge.config.sections.store import Store as StoreSettings
from llmedge.errors import StoreUnavailable
from llmedge.identity.directory import Directory
from llmedge.state.funds import Fund
from llmedge.store import entities, leases, snapshot
from llmedge.store.connect import connector
from llmedge.store.database import Connection, DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.migrations import keep_months, migrate
from llmedge.store.peppers import peppers
from llmedge.store.rows import Row
from llmedge.store.spent import Spent, left
from llmedge.store.spool import Spool, SpoolError
from llmedge.store.warnings import Warnings

log = Logger()

AGAIN = 2.0
"""Seconds until a database that was away at the start is tried again."""
FOLLOW = 1.0
"""Seconds between two looks at what others have changed."""
SPENT_EVERY = 5
"""Of them, those in which it is looked what others have spent."""
SAVE = 5.0
"""Seconds between two times that what is known is saved: what a start without the database may not know of."""
_HOUSEKEEPING = 3600.0


class Store:
    """:raises ConfigError: a package is missing."""

    def __init__(self, reactor: Any, settings: Settings) -> None:
        of = settings.ledger
        self._reactor = reactor
        self._retention = of.retention
        self.holder = secrets.token_hex(8)
        self.database = DatabaseThread(reactor, connector(settings.store))
        spool = Spool(Path(of.spool or _beside(settings.store)).expanduser().absolute(), of.spool_max)
        self.ledger = Ledger(reactor, self.database, spool, of.on_full == "shed", of.durability == "strict")
        self._spent = Spent(self.database, self.ledger)
        self.directory = Directory(reactor, peppers(settings.store))
        self._keys_file = spool.folder.parent / "keys.snapshot"
        self._spends_file = spool.folder.parent / "spends.snapshot"
        self._spends = snapshot.Spends()
        self._left: list[Row] | None = None
        """What the process before this one has left of calls that are not in ``_spends``."""
        self._compared = False
        self._saved = -1
        self._unknown_until = 0.0
        self._listener = _listener(reactor, settings.store, self._heard)
        self._warnings: Warnings | None = None
        self.funds: Callable[[], Iterable[Fund]] = tuple
        """The budgets in use."""
        self._following = LoopingCall(self._follow)
        self._following.clock = reactor
        self._turns = 0
        self._opening: Deferred[None] | None = None
        self._keeping = LoopingCall(self._keep)
        self._keeping.clock = reactor
        self._saving = LoopingCall(self._save)
        self._saving.clock = reactor

    def start(self) -> None:
        """Calls are written down from now on; the database may be away.

        :raises ConfigError: the spool cannot be used.
        """
        try:
            self.ledger.start(database=False)
        except SpoolError as error:
            raise ConfigError([f"ledger.spool: {error}"]) from None
        self._remember()
        self._saving.start(SAVE, now=False)
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(_unless_cancelled)

    async def stop(self) -> None:
        """What is written down goes into the database, if that can be within a few seconds; else it stays on disk."""
        if self._opening is not None:
            self._opening.cancel()
        if self._listener is not None:
            self._listener.stop()
        for each in (self._keeping, self._following, self._saving):
            if each.running:
                each.stop()
        if self._warnings is not None:
            self._warnings.stop()
        await self._save()
        await self.ledger.stop()
        self.database.stop()

    async def know(self, funds: Sequence[Fund], patience: float) -> None:
        """Wait, for ``patience`` seconds at most, until what was spent of ``funds`` before is known.

        The database is asked first, since the process before this one may have ended without a last word, and others
        may have spent since. Where it cannot be had, or has not all that there is yet, what that one has left on the
        disk counts: it is read again soon.
        """
        unknown = [fund for fund in funds if not fund.known]
        if self.database.away:
            await self._recall(unknown)
            unknown = [fund for fund in unknown if not fund.known]
        if not unknown:
            return
        asks = self._reactor.seconds() >= self._unknown_until
        whole = asks and await self._spent.caught_up(patience / 2)
        if not whole:
            await self._recall(unknown)
        if asks and not await self._spent.ask(unknown, patience / 2, whole):
            self._unknown_until = self._reactor.seconds() + AGAIN
            await self._recall(unknown)

    async def _recall(self, funds: Sequence[Fund]) -> None:
        """Have ``funds``, where nothing is known of them, say what the process before this one knew, and what it has
        spent until its end."""
        unknown = [fund for fund in funds if not fund.known]
        if unknown and self._left is None:
            self._left = await self._left_behind()
        for fund in unknown:
            start, spent, more, more_until = self._spends.of.get(fund.id, (-1, 0, 0, 0.0))
            spent = spent if start == fund.start else 0
            fund.spent = max(fund.spent, spent + left(fund, self._left or (), self._spends.at))
            if start == fund.start:
                fund.known, fund.more, fund.more_until = True, more, more_until

    async def _left_behind(self) -> list[Row]:
        """Of that process, since it last wrote down what was spent."""
        if not self._spends.at:
            return []
        try:
            pool = self._reactor.getThreadPool()
            return await deferToThreadPool(self._reactor, pool, self.ledger.left_behind, self._spends.at)
        except SpoolError as error:
            log.error("what was spent before this start is not all known: {problem}", problem=str(error))
            return []

    def warnings(self, tell: Callable[[str, Mapping[str, Any]], None]) -> Warnings:
        """Who is told of budgets that are nearly spent, and tells it by ``tell`` once among all processes."""
        self._warnings = Warnings(self._reactor, self.database, self.directory, tell)
        self._spent.tell = self._warnings
        return self._warnings

    async def know_again(self, funds: Sequence[Fund], patience: float) -> None:
        """The same of those of which it was known before: somebody has changed it."""
        await self._spent.read(funds, patience)

    async def _open(self) -> None:
        while True:
            try:
                for line in await self.database.run(migrate, None):
                    log.info("{line}", line=f"store: {line}")
                break
            except StoreUnavailable:
                pause: Deferred[None] = Deferred()
                delayed = self._reactor.callLater(AGAIN, pause.callback, None)
                try:
                    await pause
                except CancelledError:
                    delayed.cancel()
                    raise
        self.ledger.ship()
        self._keeping.start(_HOUSEKEEPING)
        self._following.start(FOLLOW)
        if self._listener is not None:
            self._listener.start()

    def _remember(self) -> None:
        """What the process before this one knew, until the database says more."""
        peppers = self.directory.peppers
        if (found := snapshot.read(self._keys_file, peppers, snapshot.Snapshot)) is not None:
            self._saved = found.revision
            self.directory.apply(found.revision, found.entities, found.secrets)
        self._spends = snapshot.read(self._spends_file, peppers, snapshot.Spends) or self._spends

    async def _save(self) -> None:
        """What is known, for the process after this one."""
        directory = self.directory
        if directory.loaded and self._saved != directory.revision:
            self._saved = directory.revision
            whole = snapshot.Snapshot(self._saved, directory.everything(), directory.secrets())
            await self._written(self._keys_file, whole)
        spends = {
            fund.id: (int(fund.start), fund.spent, fund.more, fund.more_until) for fund in self.funds() if fund.known
        }
        if not self._spends.of.items() >= spends.items():
            self._spends = snapshot.Spends(self._spends.of | spends, self._reactor.seconds())
            await self._written(self._spends_file, self._spends)

    def _heard(self) -> None:
        """Somebody has changed something."""
        Deferred.fromCoroutine(self._look()).addErrback(_unless_cancelled)

    async def _follow(self) -> None:
        """Others change keys, and spend."""
        self._turns += 1
        if await self._look() and self._turns % SPENT_EVERY == 0 and (funds := [*self.funds()]):
            await self._spent.read(funds, FOLLOW)

    async def _look(self) -> bool:
        """Whether what others have changed could be read."""
        try:
            await self.refresh()
        except StoreUnavailable:
            pass  # it says so itself
        except Exception:
            log.failure("what others have changed could not be read; this is tried again")
        else:
            return True
        return False

    async def refresh(self) -> None:
        """What was changed is in force when this is done.

        :raises StoreUnavailable: it cannot be known.
        """
        directory = self.directory
        new = await self.database.run(lambda connection: entities.since(connection, directory.revision))
        if new.revision != directory.revision or not directory.loaded:
            directory.apply(new.revision, new.entities, new.secrets)
        if not self._compared:
            self._compared = True
            peppers, now = {pepper.id for pepper in directory.peppers}, self._reactor.seconds() * 1_000_000
            good = [each for each in directory.secrets() if each.expires_at is None or each.expires_at > now]
            if lost := sum(each.pepper_id not in peppers for each in good):
                log.error("{count} secrets of keys were made with another pepper and are good no more", count=lost)

    async def _written(self, path: Path, whole: snapshot.Snapshot | snapshot.Spends) -> None:
        """Not in the database's thread: that may wait for the database."""
        pool = self._reactor.getThreadPool()
        try:
            await deferToThreadPool(self._reactor, pool, snapshot.write, path, whole, self.directory.peppers[0])
        except OSError as error:
            log.warn("{path} cannot be written: {problem}", path=str(path), problem=error.strerror)

    async def _keep(self) -> None:
        """Rows that are too old go, and there is a place for those to come; one process among all does it."""
        try:
            gone = await self.database.run(self._housekeeping, None)
        except StoreUnavailable:
            return
        except Exception:
            log.failure("the ledger's months could not be kept in order; this is tried again in an hour")
            return
        if gone:
            log.info("the ledger's rows of {count} months are removed (ledger.retention)", count=gone)

    def _housekeeping(self, connection: Connection) -> int:
        leases.forget(connection)
        if not leases.take(connection, "months", self.holder, _HOUSEKEEPING):
            return 0
        return keep_months(connection, self._retention)

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        ledger = self.ledger
        yield CounterMetricFamily("llm_ledger_rows", "Rows of the ledger shipped to the database.", ledger.shipped)
        yield CounterMetricFamily("llm_ledger_rows_lost", "Rows that could be kept nowhere.", ledger.lost)
        yield GaugeMetricFamily("llm_ledger_waiting_bytes", "Rows on their way to the database.", ledger.behind)
        yield GaugeMetricFamily("llm_store_up", "Whether the database can be had.", int(not self.database.away))


def _beside(settings: StoreSettings) -> Path:
    """Where the spool is if nobody says: beside SQLite's file."""
    return Path(settings.path or ".llmedge/x").parent / "spool"


def _listener(reactor: Any, settings: StoreSettings, heard: Callable[[], object]) -> Any:
    """Who says that something was changed; ``None``: nobody can."""
    if settings.path is not None or settings.url is None:
        return None
    from llmedge.store.listening import Listener  # psycopg is an extra

    return Listener(reactor, settings.url.reveal(), heard)


def _unless_cancelled(failure: Any) -> None:
    failure.trap(CancelledError)
