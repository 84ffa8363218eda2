from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from llmedge.redis.client import AWAY, HOLD, IN_USE, LONGEST, READ_ONLY, STEADY, Redis
from llmedge.redis.connection import FAILURES, WRITES_AGAIN
from tests.redis.scripted import OK, Network

MASTER = b"*2\r\n$2\r\n%b\r\n$4\r\n6379\r\n"


class WithNetwork(SynchronousTestCase):
    """Servers in memory, and what is logged."""

    def setUp(self) -> None:
        self.begin()

        def log(event: dict[str, object]) -> None:
            if event.get("log_namespace") == "llmedge.redis.client":
                self.lines.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)

    def begin(self) -> None:
        """Anew."""
        self.clock = Clock()
        self.network = Network(self.clock)
        self.server = self.network.server("r:6379")
        self.lines: list[str] = []

    def client(self, url: str = "redis://r") -> Redis:
        client = self.network.client(url)
        client.start()
        self.addCleanup(client.stop)
        self.turn()
        return client

    def turn(self, seconds: float = 0.0) -> None:
        """Let ``seconds`` go by, and what was said be answered."""
        self.clock.advance(seconds)
        self.clock.pump([0.0] * 20)

    def reads(self, client: Redis) -> list[object] | None:
        """What a read got within its time; ``None``: it was not asked."""
        got: list[object] = []
        answer = client.read(b"GET", b"p:a")
        if answer is None:
            return None
        answer.addCallback(got.append)
        self.turn()
        self.turn(0.0501)
        self.turn(0.0021)
        return got

    def exhaust(self, client: Redis) -> None:
        """As often as it takes."""
        before, self.server.answers[b"GET"] = self.server.answers[b"GET"], b""
        for _ in range(FAILURES):
            self.assertEqual(self.reads(client), [None])
        self.server.answers[b"GET"] = before


class Keeping(WithNetwork):
    def test_what_is_said_first(self) -> None:
        client = self.client("redis://me:secret@r/3")
        self.assertEqual(
            self.server.said,
            [
                [b"AUTH", b"me", b"secret"],
                [b"SELECT", b"3"],
                [b"SET", b"p:probe", b"1", b"PX", b"1000"],
                [b"MGET", b"p:probe", b"p:probe2"],
            ],
        )
        self.assertEqual(self.lines, ["redis r:6379 is in use"])
        self.server.said.clear()
        self.server.answers[b"GET"] = b"$1\r\nx\r\n"
        self.assertEqual(self.reads(client), [b"x"])
        client.write(b"SET", b"p:a", b"1")
        self.assertEqual([command[0] for command in self.server.said], [b"GET", b"SET"])
        self.assertEqual(client.state, IN_USE)

    def test_no_more_than_is_needed_is_said(self) -> None:
        self.client("redis://r")
        self.assertEqual([command[0] for command in self.server.said], [b"SET", b"MGET"])

    def test_nobody_waits_for_one_that_is_not_there(self) -> None:
        """Neither while it is looked for."""
        for away in (None, "connection refused"):
            self.server.away = away
            client = self.client()
            self.assertIsNone(client.read(b"GET", b"p:a"))
            client.write(b"SET", b"p:a", b"1")
            self.assertEqual(client.state, AWAY)

    def test_it_is_found_again(self) -> None:
        """By itself, soon, and with a line for each change."""
        client = self.client()
        self.turn(STEADY)
        entered: list[int] = []
        client.entered.append(lambda: entered.append(client.state))
        self.server.away = "connection refused"
        self.server.close()
        self.assertEqual((client.state, self.reads(client)), (AWAY, None))
        for _ in range(100):
            self.turn(0.5)
        self.assertEqual(entered, [])
        self.server.away = ""
        self.turn(LONGEST)
        self.assertEqual((client.state, entered), (IN_USE, [IN_USE]))
        self.assertEqual(
            self.lines,
            [
                "redis r:6379 is in use",
                "redis r:6379 is away, and nobody waits for it: it closed the connection",
                "redis r:6379 is in use",
            ],
        )

    def test_a_connection_that_was_closed_is_another_soon(self) -> None:
        client = self.client()
        for _ in range(9):
            self.turn(STEADY)
            self.server.close()
            self.turn(0.1)
            self.assertEqual(client.state, IN_USE)

    def test_one_that_closes_each_time_is_not_asked_all_the_time(self) -> None:
        self.client()
        for _ in range(240):
            self.server.close()
            self.turn(0.25)
        self.assertLess(len(self.lines), 2 * 30)

    def test_one_that_takes_for_ever_to_connect(self) -> None:
        client = self.client()
        self.server.away = None
        self.server.close()
        self.turn(LONGEST)
        self.turn(10.0)
        self.server.away = ""
        self.turn(LONGEST)
        self.assertEqual(client.state, IN_USE)

    def test_it_stops(self) -> None:
        """Whatever it is about, and leaves no timer."""
        for away in ("", None, "connection refused"):
            self.server.away = away
            client = self.client()
            client.stop()
            self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])
            self.assertIsNone(client.read(b"GET", b"p:a"))
            self.assertTrue(all(wire.disconnecting for _, wire in self.server.connections))


class Failing(WithNetwork):
    def test_it_is_left_alone(self) -> None:
        """For ten seconds, and then asked by nobody's call."""
        client = self.client()
        self.exhaust(client)
        self.assertEqual((client.state, self.reads(client)), (AWAY, None))
        said = len(self.server.said)
        self.turn(HOLD - 0.2)
        self.assertEqual((client.state, len(self.server.said)), (AWAY, said))
        self.turn(0.2)
        self.assertEqual(client.state, IN_USE)
        self.assertEqual(
            self.lines[1:],
            ["redis r:6379 is away, and nobody waits for it: no answer within 0.05 s", "redis r:6379 is in use"],
        )

    def test_one_that_is_too_slow_stays_away(self) -> None:
        """It has to answer what is asked first in time, too."""
        client = self.client()
        self.server.answers[b"MGET"] = b""
        self.exhaust(client)
        for _ in range(300):
            self.turn(0.1)
        self.assertEqual((client.state, len(self.lines)), (AWAY, 2))

    def test_one_that_cannot_be_used(self) -> None:
        """It says so once, without the password."""
        for word, answer, why in (
            (b"AUTH", b"-WRONGPASS invalid canary", "it does not know the user, or the password is wrong (WRONGPASS)"),
            (b"AUTH", b"-ERR unknown command 'AUTH' canary", "it takes no such user and password (ERR)"),
            (b"SELECT", b"-ERR DB index is out of range", "it has no database 3 (ERR)"),
            (b"SET", b"-NOPERM canary may not", "its user may not do what is needed (NOPERM)"),
            (b"SET", b"-READONLY You can't", "it is a replica (READONLY)"),
            (b"SET", b"-MOVED 1 h:1", "it is part of a cluster: name a single server, or a proxy before the cluster"),
            (b"MGET", b"-CROSSSLOT Keys", "it is part of a cluster: name a single server, or a proxy before the"),
            (b"MGET", b"-LOADING", "it is loading what it has on disk (LOADING)"),
            (b"SET", b"HTTP", "it does not speak Redis's protocol"),
        ):
            self.lines.clear()
            usual, self.server.answers[word] = self.server.answers[word], answer + b"\r\n"
            client = self.client("redis://:canary@r/3")
            for _ in range(20):
                self.turn(1.0)
            self.assertEqual((client.state, len(self.lines)), (AWAY, 1), answer)
            self.assertIn(f"redis r:6379 is away, and nobody waits for it: {why}", self.lines[0])
            self.assertNotIn("canary", self.lines[0])
            self.server.answers[word] = usual
            self.turn(LONGEST)
            self.assertEqual(client.state, IN_USE)
            client.stop()

    def test_a_full_one_is_read(self) -> None:
        self.server.answers[b"SET"] = b"-OOM command not allowed\r\n"
        client = self.client()
        client.write(b"SET", b"p:a", b"1")
        self.turn()
        self.assertEqual((client.state, self.reads(client)), (READ_ONLY, [None]))
        self.server.answers[b"SET"] = OK
        self.turn(WRITES_AGAIN)
        client.write(b"SET", b"p:a", b"1")
        self.turn()
        self.assertEqual(client.state, IN_USE)
        self.assertEqual(
            self.lines[1:],
            ["redis r:6379 takes no writes: its memory is full (OOM)", "redis r:6379 takes writes again"],
        )


class Moving(WithNetwork):
    def setUp(self) -> None:
        super().setUp()
        self.other = self.network.server("r2:6379")
        self.sentinel = self.network.server("s:26379")
        self.call(b"r1")
        self.server = self.network.server("r1:6379")

    def call(self, name: bytes) -> None:
        self.sentinel.answers[b"SENTINEL"] = MASTER % name

    def test_another_is_the_master(self) -> None:
        """As soon as the Sentinels say so: the one that failed is left alone, and not the one that takes over."""
        client = self.client("redis+sentinel://s/main")
        self.exhaust(client)
        self.turn(3.0)
        self.assertEqual(client.state, AWAY)
        self.call(b"r2")
        self.turn(1.0)
        self.assertEqual(client.state, IN_USE)
        self.assertEqual(
            self.lines,
            [
                "redis master main at r1:6379 is in use",
                "redis master main is away, and nobody waits for it: no answer within 0.05 s",
                "redis master main at r2:6379 is in use",
            ],
        )

    def test_the_same_one_is_left_alone(self) -> None:
        client = self.client("redis+sentinel://s/main")
        self.exhaust(client)
        for _ in range(9):
            self.turn(1.0)
        self.assertEqual((client.state, len(self.server.connections)), (AWAY, 1))
        self.turn(1.0)
        self.assertEqual(client.state, IN_USE)

    def test_no_sentinel_answers(self) -> None:
        """What is in use stays so; what is not is looked for."""
        client = self.client("redis+sentinel://s/main")
        self.sentinel.away = "connection refused"
        self.turn(60.0)
        self.assertEqual(client.state, IN_USE)
        self.exhaust(client)
        for _ in range(20):
            self.turn(1.0)
        self.assertEqual(client.state, AWAY)
        self.sentinel.away = ""
        self.turn(LONGEST)
        self.assertEqual(client.state, IN_USE)


class Shown(WithNetwork):
    def test_metrics(self) -> None:
        client = self.client()
        self.reads(client)
        client.write(b"SET", b"p:a", b"1")
        self.turn()
        self.exhaust(client)
        self.reads(client)
        client.write(b"SET", b"p:a", b"1")
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in client.collect()
            for sample in family.samples
        }
        self.assertEqual(
            found,
            {
                ("llm_cache_redis_state",): 2,
                ("llm_cache_redis_reads_total", "answered"): 1,
                ("llm_cache_redis_reads_total", "late"): FAILURES,
                ("llm_cache_redis_reads_total", "failed"): 0,
                ("llm_cache_redis_reads_total", "skipped"): 1,
                ("llm_cache_redis_writes_total", "sent"): 1,
                ("llm_cache_redis_writes_total", "refused"): 0,
                ("llm_cache_redis_writes_total", "dropped"): 1,
            },
        )
