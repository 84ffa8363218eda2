"""The room of one process: its database, its ledger, and what is done now and then."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
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
from llmedge.store.migrations import migrate
from llmedge.store.peppers import peppers
from llmedge.store.spent import Spent
from llmedge.store.spool import Spool, SpoolError

log = Logger()

AGAIN = 2.0
"""Seconds until a database that was away at the start is tried again."""
FOLLOW = 1.0
"""Seconds between two looks at what others have changed."""
SPENT_EVERY = 5
"""Of them, those in which it is looked what others have spent."""
_HOUSEKEEPING = 3600.0
_DAY = 86_400_000_000


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
        self._snapshot = spool.folder.parent / "keys.snapshot"
        self.funds: Callable[[], Iterable[Fund]] = tuple
        """The budgets in use."""
        self._following = LoopingCall(self._follow)
        self._following.clock = reactor
        self._turns = 0
        self._opening: Deferred[None] | None = None
        self._keeping = LoopingCall(self._keep)
        self._keeping.clock = reactor

    def start(self) -> None:
        """Calls are written down from now on; the database may be away.

        :raises ConfigError: the spool cannot be used.
        """
        try:
            self.ledger.start(database=False)
        except SpoolError as error:
            raise ConfigError([f"ledger.spool: {error}"]) from None
        self._remember()
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(_unless_cancelled)

    async def stop(self) -> None:
        """What is written down goes into the database, if that can be within a few seconds; else it stays on disk."""
        if self._opening is not None:
            self._opening.cancel()
        for each in (self._keeping, self._following):
            if each.running:
                each.stop()
        await self.ledger.stop()
        self.database.stop()

    async def know(self, funds: Sequence[Fund], patience: float) -> None:
        """Wait, for ``patience`` seconds at most, until what was spent of ``funds`` before is known."""
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

    def _remember(self) -> None:
        """What the process before this one knew, until the database says more."""
        found = snapshot.read(self._snapshot, self.directory.peppers)
        if found is not None:
            self.directory.apply(found.revision, found.entities, found.secrets)

    async def _follow(self) -> None:
        """Others change keys, and spend."""
        try:
            await self.refresh()
            self._turns += 1
            if self._turns % SPENT_EVERY == 0 and (funds := [*self.funds()]):
                await self._spent.read(funds, FOLLOW)
        except StoreUnavailable:
            pass  # it says so itself
        except Exception:
            log.failure("what others have changed could not be read; this is tried again")

    async def refresh(self) -> None:
        """What was changed is in force when this is done.

        :raises StoreUnavailable: it cannot be known.
        """
        directory = self.directory
        new = await self.database.run(lambda connection: entities.since(connection, directory.revision))
        if new.revision != directory.revision or not directory.loaded:
            directory.apply(new.revision, new.entities, new.secrets)
            whole = snapshot.Snapshot(new.revision, directory.everything(), directory.secrets(), {})
            await self.database.run(lambda connection: self._write_snapshot(whole))

    def _write_snapshot(self, whole: snapshot.Snapshot) -> None:
        try:
            snapshot.write(self._snapshot, whole, self.directory.peppers[0])
        except OSError as error:
            log.warn("{path} cannot be written: {problem}", path=str(self._snapshot), problem=error.strerror)

    async def _keep(self) -> None:
        """Rows that are too old go; one process among all does it."""
        try:
            gone = await self.database.run(self._forget)
        except StoreUnavailable:
            return
        if gone:
            log.info("the ledger's rows of {count} months are removed (ledger.retention)", count=gone)

    def _forget(self, connection: Connection) -> int:
        if not self._retention or not leases.take(connection, "retention", self.holder, _HOUSEKEEPING):
            return 0
        return connection.forget(connection.now() - self._retention * _DAY)

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


def _unless_cancelled(failure: Any) -> None:
    failure.trap(CancelledError)
