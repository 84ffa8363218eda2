from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.redis_url import Address, parse_redis_url
from llmedge.redis.places import SENTINEL_PATIENCE, Sentinels
from llmedge.redis.refusals import Unavailable
from tests.redis.scripted import NIL, OK, Network

SAID = b"*2\r\n$4\r\n10.1\r\n$4\r\n7000\r\n"


class Masters(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)

    def sentinels(self, login: str = "") -> Sentinels:
        endpoints: Any = self.network
        return Sentinels(self.clock, parse_redis_url(f"redis+sentinel://{login}s1,s2/main"), endpoints)

    def find(self, sentinels: Sentinels) -> list[Any]:
        found: list[Any] = []
        Deferred.fromCoroutine(sentinels.find()).addBoth(found.append)
        self.clock.pump([0.0] * 20)
        return found

    def server(self, name: str, answer: bytes = SAID) -> Any:
        server = self.network.server(f"{name}:26379")
        server.answers[b"SENTINEL"] = answer
        return server

    def test_the_first_that_answers(self) -> None:
        """And it is asked first the next time; no connection stays."""
        first, second = self.server("s1"), self.server("s2")
        first.away = "connection refused"
        sentinels = self.sentinels()
        self.assertEqual(self.find(sentinels), [Address("10.1", 7000)])
        self.assertEqual(second.said, [[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"main"]])
        first.away = ""
        self.assertEqual(self.find(sentinels), [Address("10.1", 7000)])
        self.assertEqual((len(first.said), len(second.said)), (0, 2))
        self.assertTrue(all(wire.disconnecting for _, wire in second.connections))

    def test_one_that_says_nothing(self) -> None:
        for away, answer in ((None, SAID), ("", b"")):
            self.setUp()
            self.server("s1", answer).away = away
            self.server("s2")
            found = self.find(self.sentinels())
            self.assertEqual(found, [])
            self.clock.advance(SENTINEL_PATIENCE)
            self.clock.pump([0.0] * 9)
            self.assertEqual(found, [Address("10.1", 7000)])

    def test_nobody_knows(self) -> None:
        for answer, why in (
            (b"*-1\r\n", "it knows no master main"),
            (NIL, "it knows no master main"),
            (b"+PONG\r\n", "it does not speak as a Sentinel does"),
            (b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "it does not speak as a Sentinel does"),
            (b"-ERR unknown command 'SENTINEL'\r\n", "it refuses a command (ERR)"),
            (b"-NOAUTH Authentication required.\r\n", "it wants a password (NOAUTH)"),
            (b"HTTP/1.1\r\n", "it does not speak Redis's protocol"),
        ):
            self.setUp()
            self.server("s1").away = "connection refused"
            self.server("s2", answer)
            (failure,) = self.find(self.sentinels())
            failure.trap(Unavailable)
            self.assertEqual(failure.getErrorMessage(), f"no Sentinel says where it is; the last one: {why}")

    def test_a_sentinel_with_the_same_password(self) -> None:
        """It gets it if it asks, and only then."""
        server = self.server("s1", b"-NOAUTH Authentication required.\r\n")
        sentinels = self.sentinels("me:secret@")
        original = server.answers

        class Answers(dict[bytes, bytes]):
            def __getitem__(self, word: bytes) -> bytes:
                return SAID if word == b"SENTINEL" and [b"AUTH", b"me", b"secret"] in server.said else original[word]

        server.answers = Answers(original)
        self.assertEqual(self.find(sentinels), [Address("10.1", 7000)])
        self.assertEqual([command[0] for command in server.said], [b"SENTINEL", b"AUTH", b"SENTINEL"])
        server.said.clear()
        server.answers = {b"SENTINEL": SAID, b"AUTH": OK}
        self.find(sentinels)
        self.assertEqual([command[0] for command in server.said], [b"SENTINEL"])
