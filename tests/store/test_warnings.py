"""A budget that is nearly spent is told once, whichever process notices, and stands in the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.task import Clock

from llmedge.config.sections.budgets import Budget
from llmedge.errors import StoreUnavailable
from llmedge.identity.directory import Directory
from llmedge.model import Limits
from llmedge.money import USD
from llmedge.state.funds import Fund
from llmedge.store import leases
from llmedge.store.database import Connection
from llmedge.store.warnings import AGAIN, SOFT_LIMIT, Warnings
from tests.store.databases import OnDatabase, on_both


class Told(OnDatabase):
    def setUp(self: Any) -> None:
        self.connection = self.migrated()
        self.clock = Clock()
        self.clock.advance(self.connection.now() / 1_000_000)
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.away = False

    def run_work(self: Any, work: Callable[[Connection], Any]) -> Deferred[Any]:
        return fail(StoreUnavailable()) if self.away else execute(work, self.connection)

    def process(self: Any) -> tuple[Warnings, Fund]:
        """One of several, with its own knowledge of the same budget."""
        database = type("Database", (), {"run": staticmethod(self.run_work)})()
        warnings = Warnings(self.clock, database, Directory(self.clock, ()), lambda *told: self.told.append(told))
        terms = Budget(Decimal(1), "day", soft=(0.5, 0.8))
        return warnings, Fund("team:red/day", Limits("team:red", "The team 'red'"), terms, self.clock)

    def test_once_among_all(self: Any) -> None:
        """In the period; the next one has its own, and so has each share."""
        processes = [self.process() for _ in range(3)]
        for day in (1, 2):
            for warnings, fund in processes:
                for share in fund.settle(0, USD * 6 // 10, self.clock.seconds()):
                    warnings(fund, share)
            self.assertEqual([event["share"] for _, event in self.told], [0.5] * day)
            self.clock.advance(86_400)
        warnings, fund = processes[0]
        for share in fund.settle(0, USD, self.clock.seconds()):
            warnings(fund, share)
        self.assertEqual([event["share"] for _, event in self.told], [0.5, 0.5, 0.5, 0.8])
        kind, event = self.told[-1]
        self.assertEqual((kind, event["who"], event["spent_usd"]), (SOFT_LIMIT, "The team 'red'", "1"))
        audit = self.connection.query("SELECT actor, action, id, team FROM audit ORDER BY n")
        self.assertEqual(audit, [("llmedge", SOFT_LIMIT, "team:red/day", "red")] * 4)

    def test_after_a_start(self: Any) -> None:
        """A process that begins anew does not tell what the one before it has told."""
        for _ in range(2):
            warnings, fund = self.process()
            for share in fund.learn(USD * 6 // 10, 0):
                warnings(fund, share)
        self.assertEqual(len(self.told), 1)

    def test_while_the_database_is_away(self: Any) -> None:
        """It is told when that is back, unless the period is over by then; a stop ends the wait."""
        warnings, fund = self.process()
        self.away = True
        for share in fund.settle(0, USD * 6 // 10, self.clock.seconds()):
            warnings(fund, share)
        self.clock.advance(AGAIN)
        self.assertEqual(self.told, [])
        self.away = False
        self.clock.advance(AGAIN)
        self.assertEqual(len(self.told), 1)
        self.away = True
        for share in fund.settle(0, USD, self.clock.seconds()):
            warnings(fund, share)
        warnings.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_has_run_out_is_forgotten(self: Any) -> None:
        leases.take(self.connection, "old", "a", -1)
        leases.take(self.connection, "new", "a", 60)
        leases.forget(self.connection)
        self.assertEqual(self.connection.query("SELECT name FROM lease"), [("new",)])


ToldSqlite, ToldPostgresql = on_both(Told)
