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
from llmedge.state.funds import Fund
from llmedge.store import leases
from llmedge.store.connect import connector
from llmedge.store.database import Connection, DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.migrations import migrate
from llmedge.store.spent import Spent
from llmedge.store.spool import Spool, SpoolError

log = Logger()

AGAIN = 2.0
"""Seconds until a database that was away at the start is tried again."""
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
        self.when_open: list[Callable[[], None]] = [self.ledger.ship]
        """Called once the tables are there."""
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
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(_unless_cancelled)

    async def stop(self) -> None:
        """What is written down goes into the database, if that can be within a few seconds; else it stays on disk."""
        if self._opening is not None:
            self._opening.cancel()
        if self._keeping.running:
            self._keeping.stop()
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
        for each in self.when_open:
            each()
        self._keeping.start(_HOUSEKEEPING)

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
