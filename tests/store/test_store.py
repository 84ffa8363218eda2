"""One process's store: it hears of what others change, does once what has to be, and begins without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from llmedge.config import ConfigError
from llmedge.config.sections.budgets import Budget
from llmedge.identity.secrets import new
from llmedge.model import Limits
from llmedge.money import USD
from llmedge.state.funds import Fund
from llmedge.store import entities, rollups
from llmedge.store import store as module
from llmedge.store.entities import Actor
from llmedge.store.ledger import Ledger
from llmedge.store.store import Store
from tests.e2e.service import until
from tests.fakes import load
from tests.store.databases import OnDatabase, on_both, record, row
from tests.store.test_entities import key, secret

MONTH = 31 * 86_400
ANNA = Actor("anna")
PEPPER = "a-pepper-for-tests-of-the-store"


class Stores(OnDatabase):
    timeout = 60

    def setUp(self) -> None:
        self.patch(module, "FOLLOW", 0.05)
        self.patch(module, "SAVE", 0.05)
        self.url = self.at(self.where())
        self.folder = Path(self.mktemp()).absolute()

    def at(self, where: Any) -> str:
        return f"sqlite:{where.absolute()}" if isinstance(where, Path) else where

    def nowhere(self) -> str:
        """A database that is away."""
        return f"sqlite:{self.folder}" if self.kind == "Sqlite" else "postgresql://llmedge:s3cret@127.0.0.1:1/x"

    def process(self, name: str = "one", url: str = "", **environ: str) -> Store:
        """Another process: its disk is its own."""
        path = self.folder / name / "llmedge.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'[ledger]\nspool = "{self.folder}/{name}/spool"\n')
        settings = load({"LLMEDGE_STORE": url or self.url, "LLMEDGE_PEPPER": PEPPER} | environ, str(path))
        store = Store(reactor, settings)
        store.start()
        self.addCleanup(store.stop)
        return store

    async def ready(self, *stores: Store) -> None:
        for store in stores:
            await until(lambda store=store: store.directory.loaded, "what is known")

    def fund(self, at: float = 1_764_400_000) -> Fund:
        clock = Clock()
        clock.advance(at)
        return Fund("key:id-a/0", Limits("key:id-a", "The key 'a'"), Budget(Decimal(5)), clock)

    async def test_others_hear_of_it(self) -> None:
        """A key that one process makes is known to the other, and one that is deleted no more. PostgreSQL tells them:
        they need not look."""
        if self.kind == "Postgresql":
            self.patch(module, "FOLLOW", 3600.0)
        one, other = self.process("one"), self.process("other")
        await self.ready(one, other)
        shown = new().encode()
        made = secret(one.directory.peppers[0].digest(shown), "id-a")
        there = await one.database.run(lambda connection: entities.create(connection, ANNA, key("a"), made))
        await until(lambda: other.directory.find(shown) is not None, "the key")
        gone = msgspec.structs.replace(there, state="deleted")
        await one.database.run(lambda connection: entities.change(connection, ANNA, gone, "delete"))
        await until(lambda: other.directory.find(shown) is None, "its end")

    async def test_begins_without_the_database(self) -> None:
        """With the keys, and what was spent, that were known last; calls are written down."""
        before = self.process()
        await self.ready(before)
        shown = new().encode()
        made = secret(before.directory.peppers[0].digest(shown), "id-a")
        await before.database.run(lambda connection: entities.create(connection, ANNA, key("a"), made))
        await before.refresh()
        fund = self.fund()
        fund.spent, fund.known, fund.more, fund.more_until = 3 * USD, True, USD, 2e9
        before.funds = lambda: [fund]
        await before.stop()
        after = self.process(url=self.nowhere())
        self.assertIsNotNone(after.directory.find(shown))
        known = self.fund()
        await after.know([known], 1000.0)
        self.assertEqual((known.spent, known.known, known.amount), (3 * USD, True, 6 * USD))
        after.ledger(record(1_764_400_000.0))
        await until(lambda: after.ledger.behind > 0, "the row on the disk")
        await until(lambda: after.database.away, "the failure")
        self.assertEqual(self.values(after)["llm_store_up"], 0)
        await after.stop()
        last = self.process()
        await until(lambda: last.ledger.shipped == 1, "the row in the database")

    async def test_begins_after_others_have_spent(self) -> None:
        """What the database says counts, not what this process knew before: it may have been killed before it wrote
        that down, and others spend as well."""
        before = self.process()
        await self.ready(before)
        fund = self.fund()
        fund.spent, fund.known = USD, True
        before.funds = lambda: [fund]
        await before.stop()
        spent = row(fund.start + 60.0, key="a", cost="4")
        after = self.process()
        await self.ready(after)
        await after.database.run(lambda connection: connection.add([spent], lambda: rollups.add(connection, [spent])))
        known = self.fund()
        await after.know([known], 10.0)
        self.assertEqual((known.spent, known.known), (4 * USD, True))

    async def test_begins_after_a_kill_without_the_database(self) -> None:
        """What was spent since it was last written down is in the spool: each call counts once."""
        before = self.process(url=self.nowhere())
        now = reactor.seconds()  # type: ignore[attr-defined]
        fund = self.fund(now)
        before.funds = lambda: [fund]
        before.ledger(record(now - 1, "a", cost="1"))
        fund.spent, fund.known = USD, True
        await before._save()
        for name, cost in (("a", "0.25"), ("a", "0.5"), ("b", "7")):
            before.ledger(record(now, name, cost=cost))
        await until(lambda: before.ledger.behind > 0 and not before.ledger._records, "the rows on the disk")
        self.patch(before, "_save", lambda: succeed(None))
        await before.stop()
        after = self.process(url=self.nowhere())
        await until(lambda: after.database.away, "the failure")
        for _ in range(2):
            known = self.fund(now)
            await after.know([known], 1.0)
            self.assertEqual((known.spent, known.known), (USD * 7 // 4, True))

    async def test_begins_with_much_left_behind(self) -> None:
        """The database is there, and has not got yet what the process before this one has left: what is known of it is
        the least that was spent, until it has."""
        before = self.process(url=self.nowhere())
        now = reactor.seconds()  # type: ignore[attr-defined]
        fund = self.fund(now)
        before.funds = lambda: [fund]
        fund.spent, fund.known = USD, True
        await before._save()
        for at, cost in ((now - 1, "1"), (now, "2")):
            before.ledger(record(at, "a", cost=cost))
        await until(lambda: before.ledger.behind > 0 and not before.ledger._records, "the rows on the disk")
        self.patch(before, "_save", lambda: succeed(None))
        await before.stop()
        self.patch(Ledger, "ship", lambda ledger: None)
        behind = self.patch(Ledger, "caught_up", lambda ledger, patience: succeed(False))
        after = self.process()
        await self.ready(after)
        known = self.fund(now)
        for read in (after.know, after.know_again):
            await read([known], 10.0)
            self.assertEqual((known.spent, known.known), (3 * USD, True))
        behind.restore()
        await after.know_again([known], 10.0)
        self.assertEqual(known.spent, 3 * USD)
        self.assertEqual(after.ledger.shipped, 2)

    async def test_begins_with_nothing_at_all(self) -> None:
        """The first start of all, and the database is away: what was spent is waited for, once, not by each call."""
        store = self.process(url=self.nowhere())
        await store.know([self.fund()], 0.2)
        asked: list[int] = []
        self.patch(store._spent, "ask", lambda *_: asked.append(1))
        await store.know([self.fund()], 0.2)
        self.assertEqual((asked, store.directory.loaded), ([], False))

    async def test_another_pepper(self) -> None:
        """Whose keys are good no more for want of it is told, and not only by a 401 of each."""
        events: list[Any] = []
        before = self.process()
        await self.ready(before)
        made = secret(before.directory.peppers[0].digest(new().encode()), "id-a")
        made = msgspec.structs.replace(made, pepper_id=before.directory.peppers[0].id)
        await before.database.run(lambda connection: entities.create(connection, ANNA, key("a"), made))
        await before.stop()
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for name, pepper, count in (("same", PEPPER, 0), ("other", "another-pepper-of-the-tests", 1)):
            after = self.process(name, LLMEDGE_PEPPER=pepper)
            await self.ready(after)
            said = [each for each in events if "another pepper" in (formatEvent(each) or "")]
            self.assertEqual(len(said), count, name)
            await after.stop()

    async def test_a_disk_that_takes_no_snapshot(self) -> None:
        """Costs no more than that."""
        store = self.process()
        (self.folder / "one/keys.snapshot.new").mkdir()
        await self.ready(store)
        await store._save()
        self.assertEqual(self.values(store)["llm_store_up"], 1)

    async def test_months_are_one_process_s_work(self) -> None:
        """Old ones go, and those to come are there."""
        one, other = self.process("one"), self.process("other")
        await self.ready(one, other)
        now = one.database
        old = row(datetime.now(UTC).timestamp() - 500 * 86_400)
        await now.run(lambda connection: connection.add([old], lambda: rollups.add(connection, [old])))
        await now.run(lambda connection: connection.execute("DELETE FROM lease"))
        self.assertEqual([await each.database.run(each._housekeeping) for each in (one, other)], [1, 0])
        if self.kind == "Postgresql":
            tables = {
                name
                for (name,) in await now.run(lambda connection: connection.query("SELECT tablename FROM pg_tables"))
            }
            for ahead in range(3):
                moment = datetime.now(UTC).replace(day=1).timestamp() + ahead * MONTH
                self.assertIn(f"ledger_{datetime.fromtimestamp(moment, UTC):%Y%m}", tables)

    async def test_what_is_measured(self) -> None:
        store = self.process()
        await self.ready(store)
        for number in range(3):
            store.ledger(record(1_764_400_000.0 + number))
        await until(lambda: store.ledger.shipped == 3, "the rows")
        values = self.values(store)
        self.assertEqual((values["llm_ledger_rows_total"], values["llm_ledger_rows_lost_total"]), (3, 0))
        self.assertEqual(values["llm_store_up"], 1)

    def values(self, store: Store) -> dict[str, float]:
        return {sample.name: sample.value for family in store.collect() for sample in family.samples}

    async def test_a_spool_that_another_process_has(self) -> None:
        self.process()
        error = self.assertRaises(ConfigError, self.process)
        self.assertIn("in use by another process", str(error))

    async def test_no_password_is_told(self) -> None:
        """Nor the pepper: whatever is wrong."""
        logged: list[str] = []

        def observer(event: Any) -> None:
            logged.append(f"{formatEvent(event)} {event}")

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        store = self.process(url=self.nowhere())
        await until(lambda: store.database.away, "the failure")
        text = "".join(logged) + repr(store) + repr(vars(store))
        self.assertIn("the store cannot be had", text)
        for canary in ("s3cret", PEPPER):
            self.assertNotIn(canary, text)


StoresSqlite, StoresPostgresql = on_both(Stores, TestCase)
del Stores
