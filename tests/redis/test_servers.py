"""With real servers: what is promised whatever becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from llmedge.cache.entry import Entry
from llmedge.cache.sealed import Seal
from llmedge.cache.shared import SharedAnswers
from llmedge.config.secret import Secret
from llmedge.redis import client as client_module
from llmedge.redis import connection as connection_module
from llmedge.redis.client import AWAY, IN_USE, READ_ONLY, Redis
from llmedge.redis.connect import connect
from llmedge.redis.counters import SharedCounters, Values
from tests import redis_server
from tests.e2e.certificates import Authority
from tests.effort import SOAK
from tests.fakes import settings
from tests.redis.load import Delayed, Load, logged, pause, reactor, until
from tests.redis_server import RedisServer, replica_of, sentinel_of

LATEST = 0.060
"""Seconds after which a read is over at the latest."""
BACK = 15.0
"""Seconds after which a server that is well again is in use at the latest."""
KEY = bytes(range(32))
ENTRY = Entry(os.urandom(2000), b"application/json", 0, "openai", "gpt-4o", None, 1.5e9, 30.0, 60.0, (b"i", b"1"))


class WithServers(TestCase):
    skip = redis_server.missing() or None
    timeout = 120

    def setUp(self) -> None:
        self.hold = client_module.HOLD if SOAK else 1.0
        self.patch(client_module, "HOLD", self.hold)
        self.patch(connection_module, "WRITES_AGAIN", self.hold)
        self.lines = logged(self)

    def server(self, *lines: str, **more: Any) -> RedisServer:
        made = RedisServer(*lines, **more)
        self.addCleanup(made.remove)
        return made

    def client(self, url: str, more: str = "") -> Redis:
        client: Redis = connect(reactor, settings(f'[redis]\nurl = "{url}"\n{more}'), Random())
        client.start()
        self.addCleanup(self._stop, client)
        return client

    async def _stop(self, client: Redis) -> None:
        client.stop()
        await pause(0.01)  # for the transports to be gone

    async def in_use(self, url: str, more: str = "") -> Redis:
        client = self.client(url, more)
        await until(lambda: client.state == IN_USE, f"it is in use: {self.lines}")
        return client


class Reached(WithServers):
    async def check(self, url: str, more: str = "") -> None:
        client = await self.in_use(url, more)
        answers = SharedAnswers(client)
        answers.put(KEY, ENTRY)
        got = answers.get(KEY)
        assert got is not None
        self.assertEqual(await got, ENTRY)
        self.assertEqual(len(self.lines), 1)

    async def test_by_its_address(self) -> None:
        server = self.server()
        await self.check(server.url, 'prefix = "x:"')
        (name,) = [name for name in server.ask("KEYS", "*") if name != b"x:probe"]
        self.assertEqual(name, b"x:cache:" + KEY.hex().encode())
        self.assertTrue(59_000 < server.ask("PTTL", name) <= 60_000)

    async def test_by_a_socket(self) -> None:
        path = f"/tmp/llmedge-redis-{os.getpid()}.sock"
        self.server(f"unixsocket {path}")
        await self.check(f"unix:{path}")

    async def test_with_a_user_who_may_do_no_more_than_needed(self) -> None:
        """As the documentation has him."""
        server = self.server("requirepass another")
        rights = "+auth +select +get +set +mget +del +hgetall +hset +hsetnx +hincrby"
        assert_ok = server.ask_as("default", "another", f"ACL SETUSER gateway on >s%cr:t ~llmedge:* {rights}")
        self.assertEqual(assert_ok, b"OK")
        url = f"redis://gateway:s%25cr%3At@127.0.0.1:{server.port}/3"
        await self.check(url)
        counters = SharedCounters(reactor, await self.in_use(url), b"generations")
        self.assertTrue(await counters.bump("all"))
        self.assertTrue(await counters.bump("epoch"))

    async def test_within_tls(self) -> None:
        """Of whom it trusts, and under the name it is called by."""
        authority, other = Authority("redis"), Authority("other")
        cert, key = authority.issue("server", "localhost")
        port = redis_server.free_port()
        self.server(
            f"tls-port {port}",
            f"tls-cert-file {cert}",
            f"tls-key-file {key}",
            f"tls-ca-cert-file {authority.path}",
            "tls-auth-clients no",
        )
        url = f"rediss://localhost:{port}"
        await self.check(url, f'ca_file = "{authority.path}"')
        for where, trusted, why in (
            (url, other, "TLS failed: self-signed certificate in certificate chain"),
            (f"rediss://127.0.0.1:{port}", authority, "TLS failed: hostname mismatch"),
        ):
            self.lines.clear()
            self.client(where, f'ca_file = "{trusted.path}"')
            await until(lambda: self.lines, "it says why")
            self.assertIn(why, self.lines[0])

    async def test_two_processes_share(self) -> None:
        """Answers, sealed or not, and what was purged."""
        server = self.server()
        one, other = await self.in_use(server.url), await self.in_use(server.url)
        seal = Seal([Secret("a-secret-of-the-deployment")])
        SharedAnswers(one, seal).put(KEY, ENTRY)
        await until(lambda: server.ask("DBSIZE") > 1, "it is there")
        got, without = SharedAnswers(other, seal).get(KEY), SharedAnswers(other).get(KEY)
        assert got is not None
        assert without is not None
        self.assertEqual((await got, await without), (ENTRY, None))
        seen: list[dict[str, bytes]] = [{}, {}]
        for place, client in enumerate((one, other)):
            counters = SharedCounters(reactor, client, b"generations")

            def tell(values: Values, place: int = place) -> None:
                seen[place] = dict(values)

            counters.watch(tell)
            counters.start()
            self.addCleanup(counters.stop)
        self.assertTrue(await counters.bump("all"))
        await until(lambda: seen[0] == seen[1], "both know")
        self.assertEqual(seen[0]["all"], b"1")

    async def test_what_somebody_else_has_put_there(self) -> None:
        server = self.server()
        client = await self.in_use(server.url)
        name = "llmedge:cache:" + KEY.hex()
        for command in (("SET", name, "x"), ("DEL", name), ("LPUSH", name, "x")):
            server.ask(*command)
            for _ in range(9):
                got = SharedAnswers(client).get(KEY)
                assert got is not None
                self.assertIsNone(await got)
        self.assertEqual(client.state, IN_USE)

    async def test_many_at_once(self) -> None:
        client = await self.in_use(self.server().url, "timeout = 5")
        client.write(b"SET", b"llmedge:a", b"x")
        answers: list[Deferred[Any] | None] = [client.read(b"GET", b"llmedge:a") for _ in range(100)]
        self.assertEqual([await each for each in answers if each is not None], [b"x"] * 64)


class Failing(WithServers):
    """Under load."""

    def load(self, client: Redis) -> Load:
        shared = SharedAnswers(client)
        load = Load(lambda: shared.get(KEY), lambda: shared.put(KEY, ENTRY))
        load.start()
        self.addCleanup(load.stop)
        return load

    async def under_load(self, client: Redis) -> Load:
        load = self.load(client)
        await until(lambda: load.last == ENTRY, "answers are shared")
        load.forget()
        return load

    async def nobody_waits(self, load: Load, client: Redis) -> None:
        """From now on."""
        await until(lambda: not load.under_way, "those who wait are let go")
        load.forget()
        await until(lambda: load.skipped > 20, "calls come")
        self.assertEqual(load.asked, 0)
        self.assertEqual(client.state, AWAY)

    async def back(self, load: Load, client: Redis) -> float:
        load.last = None
        took = await until(lambda: load.last == ENTRY, f"it is in use again: {self.lines}")
        self.assertEqual(client.state, IN_USE)
        self.assertLess(took, BACK)
        self.said(f"back after {took:.2f} s, hold {self.hold:g} s")
        return took

    def said(self, words: str) -> None:
        if os.environ.get("LLMEDGE_FIGURES"):
            print(f"{self.id()}: {words}")

    def in_time(self, load: Load) -> None:
        self.said(f"the latest read after {load.latest * 1000:.1f} ms")
        self.assertLess(load.worst, LATEST)

    async def test_stopped(self) -> None:
        """It does not answer, and its connection stays."""
        server = self.server()
        client = await self.in_use(server.url)
        load = await self.under_load(client)
        server.freeze()
        await until(lambda: client.state == AWAY, "it is left alone")
        self.in_time(load)
        await self.nobody_waits(load, client)
        await pause(self.hold)
        self.assertEqual(client.state, AWAY)
        server.thaw()
        await self.back(load, client)
        self.in_time(load)
        self.assertEqual(
            [line.partition(" ")[2].partition(" ")[2] for line in self.lines],
            ["is in use", "is away, and nobody waits for it: no answer within 0.05 s", "is in use"],
        )

    async def test_killed(self) -> None:
        server = self.server()
        client = await self.in_use(server.url)
        load = await self.under_load(client)
        server.kill()
        await until(lambda: client.state == AWAY, "it is away")
        self.in_time(load)
        await self.nobody_waits(load, client)
        server.start()
        await self.back(load, client)
        self.in_time(load)
        self.assertEqual(len(self.lines), 3)
        self.assertIn("it closed the connection", self.lines[1])

    async def test_slow(self) -> None:
        """One that answers everything, and too late, is not asked until it is quick."""
        server = self.server()
        way = Delayed(self, server.port)
        client = await self.in_use(way.url)
        load = await self.under_load(client)
        way.seconds = 0.2
        await until(lambda: client.state == AWAY, "it is left alone")
        self.in_time(load)
        await self.nobody_waits(load, client)
        await pause(self.hold + 2.0)
        self.assertEqual((load.asked, len(self.lines)), (0, 2))
        way.seconds = 0.0
        await self.back(load, client)
        self.in_time(load)

    async def test_full(self) -> None:
        """It is read, and written to again once there is room."""
        server = self.server("maxmemory-policy noeviction")
        client = await self.in_use(server.url)
        load = await self.under_load(client)
        server.ask("CONFIG", "SET", "maxmemory", "1000")
        await until(lambda: client.state == READ_ONLY, "it takes no writes")
        load.last = None
        await until(lambda: load.last == ENTRY, "it is read")
        server.ask("CONFIG", "SET", "maxmemory", "0")
        took = await until(lambda: client.state == IN_USE, "it takes writes")
        self.assertLess(took, BACK)
        self.assertEqual(load.skipped, 0)
        self.in_time(load)
        self.assertEqual(len(self.lines), 3)

    async def test_a_wrong_password(self) -> None:
        server = self.server("requirepass right")
        client = self.client(f"redis://:wrong@127.0.0.1:{server.port}")
        load = self.load(client)
        await until(lambda: self.lines, "it says so")
        await self.nobody_waits(load, client)
        server.ask_as("default", "right", "CONFIG SET requirepass wrong")
        await self.back(load, client)
        self.assertEqual(len(self.lines), 2)
        self.assertIn("does not know the user, or the password is wrong (WRONGPASS)", self.lines[0])

    async def test_failed_over(self) -> None:
        """The master is gone, and the Sentinels have another one be it."""
        await self.failed_over(RedisServer.kill)

    async def test_failed_over_from_one_that_is_silent(self) -> None:
        """Nor when it speaks again is it taken for what it was."""
        master = await self.failed_over(RedisServer.freeze)
        if not SOAK:
            return  # the Sentinel takes ten seconds to tell it
        master.thaw()
        await until(lambda: b"role:slave" in master.ask("INFO", "replication"), "it is a replica")
        await pause(0.5)
        self.assertEqual(len(self.lines), 3)

    async def failed_over(self, trouble: Callable[[RedisServer], None]) -> RedisServer:
        master = self.server()
        replica, sentinel = replica_of(master), sentinel_of(master)
        self.addCleanup(replica.remove)
        self.addCleanup(sentinel.remove)
        await until(lambda: b"slaves=1" in sentinel.ask("INFO", "sentinel"), "the Sentinel knows the replica")
        nobody = redis_server.free_port()
        client = await self.in_use(f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel.port}/mymaster")
        load = await self.under_load(client)
        trouble(master)
        await until(lambda: client.state == AWAY, "it is away")
        self.in_time(load)
        await self.nobody_waits(load, client)
        await self.back(load, client)
        self.in_time(load)
        self.assertEqual(len(self.lines), 3)
        self.assertIn(f"at 127.0.0.1:{replica.port} is in use", self.lines[-1])
        return master

    async def test_a_master_that_becomes_a_replica(self) -> None:
        """Without Sentinels it is left, since what is written there is lost, and taken again when it is a master."""
        server, other = self.server(), self.server()
        client = await self.in_use(server.url)
        load = await self.under_load(client)
        server.ask("REPLICAOF", "127.0.0.1", str(other.port))
        await until(lambda: client.state == AWAY, "it is left")
        await self.nobody_waits(load, client)
        server.ask("REPLICAOF", "NO", "ONE")
        await self.back(load, client)
        self.assertEqual(len(self.lines), 3)
        self.in_time(load)


class Memory(WithServers):
    async def test_a_stopped_server_does_not_fill_ours(self) -> None:
        """What it does not take is dropped, and counted."""
        server = self.server()
        client = await self.in_use(server.url, "timeout = 5")
        server.freeze()
        value = bytes(1024 * 1024)
        before = _resident()
        for _ in range(500):
            client.write(b"SET", b"llmedge:a", value)
        await pause(0.1)
        self.assertLess(_resident() - before, 64 * 1024 * 1024)
        (dropped,) = [
            sample.value
            for family in client.collect()
            for sample in family.samples
            if sample.labels.get("outcome") == "dropped"
        ]
        self.assertGreater(dropped, 490)
        server.thaw()


def _resident() -> int:
    """Bytes of this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
