"""Budgets know what was spent of them, by whomever, whenever; what is on its way is counted, too."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from llmedge.config.sections.budgets import Budget
from llmedge.model import Account, Limits
from llmedge.money import USD
from llmedge.state.funds import Fund
from llmedge.store import rollups
from llmedge.store.database import DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.spent import Spent
from llmedge.store.spool import Spool
from tests.store.databases import OnDatabase, on_both, record, row

NOW = 1_764_400_000.0  # 2025-11-29
DAY = 86_400


class Spents(OnDatabase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = self.migrated()
        where = self.last
        self.thread = DatabaseThread(reactor, lambda: self.connect(where))
        self.ledger = Ledger(reactor, self.thread, Spool(Path(self.mktemp()), 10**7))
        self.ledger.start()
        self.addCleanup(self.leave)
        self.spent = Spent(self.thread, self.ledger)

    def where(self) -> Any:
        self.last = super().where()
        return self.last

    async def leave(self) -> None:
        await self.ledger.stop()
        self.thread.stop()

    def fund(self, id: str = "key:id-a", **terms: Any) -> Fund:
        budget = Budget(**{"amount": Decimal(100), "period": "month"} | terms)
        return Fund(f"{id}/0", Limits(id, "The key 'a'"), budget, self.clock)

    def keep(self, at: float, id: str = "id-a", **more: Any) -> None:
        made = row(at, key=id, account=Account(id, "red", "search", "acme", "anna"), cost="1", **more)
        self.database.add([made], lambda: rollups.add(self.database, [made]))

    async def read(self, *funds: Fund) -> list[int]:
        self.assertTrue(await self.spent.read(funds, 30))
        self.assertEqual({fund.known for fund in funds}, {True})
        return [fund.spent // USD for fund in funds]

    async def test_of_its_period_and_models(self) -> None:
        """Each scope its own; last month's is over."""
        for at, model in ((NOW - 40 * DAY, "gpt-4o"), (NOW - 3 * DAY, "gpt-4o"), (NOW, "gpt-4o"), (NOW, "claude-x")):
            self.keep(at, model=model)
        self.keep(NOW, "id-b")
        funds = [
            self.fund(),
            self.fund(models=("gpt-*",)),
            self.fund(period="day"),
            self.fund(period="total"),
            self.fund("team:red"),
            self.fund("user:anna", period="total"),
            self.fund("key:nobody"),
        ]
        self.assertEqual(await self.read(*funds), [3, 2, 2, 4, 4, 5, 0])

    async def test_what_is_on_its_way(self) -> None:
        """Rows that this process has just made are in it; once."""
        fund = self.fund()
        self.ledger(record(NOW, key="id-a", account=Account("id-a"), cost="1"))
        fund.settle(0, USD, NOW)
        self.assertEqual(await self.read(fund), [1])
        self.assertEqual(await self.read(fund), [1])

    async def test_what_is_spent_while_it_is_asked(self) -> None:
        await self.read(self.fund("key:nobody"))  # from here on it asks at once
        self.keep(NOW)
        fund = self.fund()
        ended = Deferred.fromCoroutine(self.spent.read([fund], 30))
        fund.settle(0, 2 * USD, NOW, number=1)
        await ended
        self.assertEqual(fund.spent // USD, 3)

    async def test_another_period_has_begun_meanwhile(self) -> None:
        """What was asked of the last one says nothing of this one."""
        await self.read(self.fund("key:nobody"))
        self.keep(NOW)
        fund = self.fund()
        reading = Deferred.fromCoroutine(self.spent.read([fund], 30))
        self.clock.advance(40 * DAY)
        fund.roll()
        await reading
        self.assertEqual((fund.spent, fund.known), (0, False))

    async def test_a_crowd(self) -> None:
        """More than one question may hold, those with nothing spent among them."""
        for number in range(0, 1200, 100):
            self.keep(NOW, f"id-{number}")
        spent = await self.read(*(self.fund(f"key:id-{number}") for number in range(1200)))
        self.assertEqual(spent, [int(number % 100 == 0) for number in range(1200)])

    async def test_resets_and_raises(self) -> None:
        """The last of each; one of another budget is none."""
        self.keep(NOW - 100)
        self.keep(NOW)
        fund, other = self.fund(), self.fund("key:id-b")
        for budget, at, action, amount in (
            (fund.id, NOW - 200, "reset", 0),
            (fund.id, NOW - 50, "reset", 0),
            (fund.id, NOW - 40, "raise", 7),
            (other.id, NOW + 1, "reset", 0),
        ):
            values = [budget, int(at * 1e6), action, amount * USD, int((NOW + 9) * 1e6)]
            self.database.execute("INSERT INTO budget_event VALUES (?, ?, ?, ?, ?)", values)
        self.assertEqual(await self.read(fund, other), [1, 0])
        self.assertEqual((fund.amount // USD, other.amount // USD), (107, 100))
        self.clock.advance(9)
        self.assertEqual(fund.amount // USD, 100)

    async def test_nobody_can_tell(self) -> None:
        """It says so, and what was known stays."""
        fund = self.fund()
        fund.settle(0, USD, NOW)
        self.database.execute("DROP TABLE rollup_day")
        self.assertFalse(await self.spent.read([fund], 30))
        self.assertEqual((fund.spent, fund.known), (USD, False))


SpentsSqlite, SpentsPostgresql = on_both(Spents, TestCase)
del Spents
