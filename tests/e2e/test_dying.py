"""The ledger under load while the database freezes or crashes, or the gateway itself is killed: rows, counted."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from llmedge.config.secret import Secret
from llmedge.config.sections.store import Store
from llmedge.store.connect import connector
from llmedge.store.database import DatabaseError
from llmedge.store.spend import DAY, Question, spend
from tests import postgresql
from tests.e2e.client import wait
from tests.e2e.load import Load, figures, share
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.effort import SOAK, so_many
from tests.folders import new_folder

reactor: Any = _reactor
RATE = so_many(100, soak=500)
CALM = so_many(2, soak=20)
FROZEN = so_many(3, soak=60)
DOWN = so_many(2, soak=10)
KILLS = so_many(2, soak=20)
LOST = 0.1
"""Seconds before a kill from which on rows may be lost."""
DISK = so_many(1_000, soak=250) / 1000
"""Seconds of which a disk that others use as well may rob the ledger besides: it is not this that is on trial."""
ADDED = 0.005
"""Seconds that the slowest hundredth of calls may take longer while the database is away, or catches up, than they take
at the same time without a store."""


class Dying(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.folder = new_folder()
        self.store = f"sqlite:{self.folder}/llmedge.db"

    async def begin(self, more: str = "") -> Gateway:
        environ = {
            "LLMEDGE_STORE": self.store,
            "LLMEDGE_PEPPER": "a-pepper-for-tests-of-the-ledger",
            "LOG_LEVEL": "info",
        }
        gateway = Gateway(f'[ledger]\nspool = "{self.folder}/spool"\n{more}', environ)
        await gateway.start()
        self.addCleanup(lambda: None if gateway.process.ended.called else Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def load(self, gateway: Gateway, names: str = "call", key: str = "") -> Load:
        load = Load(gateway.port, RATE, names, key).start()
        self.addCleanup(load.stop)
        return load

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Of the database, by a connection of its own."""
        with closing(connector(Store(url=Secret(self.store)))()) as connection:
            return connection.query(sql)

    def rows(self) -> Counter[str]:
        """How often each id is in the ledger; the sums by day agree."""
        found: Counter[str] = Counter()
        with closing(connector(Store(url=Secret(self.store)))()) as connection:
            for table in connection.months(0, 2**52):
                found.update(id for (id,) in connection.query(f"SELECT request_id FROM {table}"))
            self.assertEqual(spend(connection, Question(0, 50_000 * DAY))[0]["calls"], found.total())
        return found

    def assert_each_once(self, *loads: Load) -> None:
        found = self.rows()
        for load in loads:
            answered = load.ids()
            self.assertEqual(answered - found.keys(), set(), "lost")
            self.assertEqual({id for id in answered if found[id] != 1}, set(), "twice")

    async def test_stopped(self) -> None:
        """SIGTERM under load costs no row."""
        gateway = await self.begin()
        load = self.load(gateway)
        await until(lambda: len(load.answered) >= RATE, "calls")
        self.assertEqual(await gateway.stop(), 0)
        load.stop()
        self.assert_each_once(load)

    async def test_killed(self) -> None:
        """``kill -9`` costs the rows of the last 100 ms at most; the next process ships what was on the disk."""
        loads, lost = [], []
        for number in range(KILLS):
            gateway = await self.begin()
            load = self.load(gateway, f"life{number}")
            loads.append(load)
            enough = RATE * (1 + number % 3) / 2
            await until(lambda load=load, enough=enough: len(load.answered) >= enough, "calls")
            killed = reactor.seconds()
            gateway.process.transport.signalProcess("KILL")  # type: ignore[union-attr]
            await gateway.process.ended
            load.stop()
            lost.append((load, killed))
        gateway = await self.begin()
        await self.shipped(gateway)
        await gateway.stop()
        found = self.rows()
        self.assertEqual({id for id, times in found.items() if times != 1}, set(), "twice")
        ages, counts = [], []
        for load, killed in lost:
            missing = [load.answered[id][1] for id in load.ids() - found.keys()]
            counts.append(len(missing))
            ages.append(killed - min(missing, default=killed))
        print(f"\nlost in {KILLS} kills: rows {counts}, of the last {[round(age * 1000) for age in ages]} ms")
        self.assertLess(max(ages), LOST + DISK)

    async def shipped(self, gateway: Gateway) -> None:
        """Until all that lies in the spool is in the database."""
        spool = Path(f"{self.folder}/spool")

        def done() -> bool:
            left = sum(path.stat().st_size for path in spool.glob("*.spool"))
            try:
                position = self.ask("SELECT segment, place FROM spool_position")
            except DatabaseError:  # it has no tables yet
                return False
            last = max(spool.glob("*.spool"), default=None)
            size = 0 if last is None else last.stat().st_size
            return bool(position) and last is not None and (position[0] == (int(last.stem), size) or left == 0)

        load = Load(gateway.port, 20, "last").start()
        await until(load.ids, "a call")  # before the keys are read nobody may say who asks
        load.stop()
        await until(done, "the spool to be shipped")


class DyingDatabase(Dying):
    """PostgreSQL."""

    skip = postgresql.missing() or None

    def setUp(self) -> None:
        super().setUp()
        self.server = postgresql.Server()
        self.addCleanup(self.server.remove)
        self.store = self.server.database()

    async def under_load(self, disturb: Any, seconds: float) -> None:
        """Calm, then ``seconds`` without the database, then until all is in it: each row once, and calls as fast."""
        gateway = await self.begin()
        load = self.load(gateway)
        baseline = self.load(await self.beside())
        while not await deferToThread(self.in_database):  # callers come from this thread, which must not stand still
            await wait(0.1)
        await wait(1.0)  # everything is warm
        began = reactor.seconds()
        await wait(CALM)
        away = reactor.seconds()
        back = await disturb(seconds)
        returned = reactor.seconds()
        await wait(CALM)
        stopped = reactor.seconds()
        load.stop()
        baseline.stop()
        added = []
        for name, since, until_ in (("calm", began, away), (back, away, returned), ("catching up", returned, stopped)):
            took, usual = load.took(since, until_), baseline.took(since, until_)
            print(f"\n{figures(name, took)}\n{figures('  without a store', usual)}", end="")
            added.append(share(took, 0.99) - share(usual, 0.99))
        print(f"\nadded p99: {', '.join(f'{each * 1000:.1f} ms' for each in added)}", end="")
        if SOAK:
            self.assertLess(max(added[1:]), ADDED)
        while_away = load.took(away, returned)
        self.assertEqual({status for due, _, status in load.answered.values() if due >= began}, {200})
        self.assertGreater(len(while_away), RATE * seconds / 2)
        self.assertLess(while_away[-1], 0.5 * seconds, "a call has waited for the database")
        self.assertEqual(await gateway.stop(), 0)
        gateway = await self.begin()
        await self.shipped(gateway)
        await gateway.stop()
        self.assert_each_once(load)

    async def beside(self) -> Gateway:
        """One without a store: whatever else the machine does, it does to both."""
        gateway = await Gateway("[log]\nlevel = 'info'\n").start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def in_database(self) -> int:
        try:
            return int(self.ask("SELECT count(*) FROM ledger")[0][0])
        except DatabaseError:
            return 0

    async def test_frozen(self) -> None:
        async def freeze(seconds: float) -> str:
            self.server.freeze()
            await wait(seconds)
            self.server.thaw()
            return "database frozen"

        await self.under_load(freeze, FROZEN)

    async def test_started_while_frozen(self) -> None:
        """It is ready, and calls of a key that the file has are answered as ever; they are rows once it is back."""
        self.server.freeze()
        gateway = await self.begin('[[auth.keys]]\nname = "a"\nkey = "key-a"\n')
        response = await treq.get(f"{gateway.url}/health/ready", persistent=False)
        self.assertEqual(response.code, 200)
        await response.text()
        load = self.load(gateway, key="key-a")
        await until(lambda: len(load.ids()) >= 20, "answers")
        load.stop()
        self.assertEqual({status for *_, status in load.answered.values()}, {200})
        self.server.thaw()
        await until(lambda: self.in_database() >= len(load.ids()), "the rows")
        await gateway.stop()
        self.assert_each_once(load)

    async def test_crashed(self) -> None:
        async def crash(seconds: float) -> str:
            await deferToThread(self.server.stop, "immediate")
            await wait(seconds)
            await deferToThread(self.server.start)
            return "database crashed"

        await self.under_load(crash, DOWN)
