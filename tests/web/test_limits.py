"""Tokens of the minute, and places among the requests under way."""

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, request
from tests.web.common import KEYS, Answers


class Places(Answers):
    def test_too_many_requests_at_once(self) -> None:
        """Excess is a quick 503 with a delay; a place that is left is free again."""
        edge = Edge('[server]\nmax_requests = 2\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n')
        wires = [edge.wire() for _ in range(2)]
        for wire in wires:
            wire.send(request(body=CHAT))
        refused = edge.chat()
        self.check(refused, 503, "UNAVAILABLE", **{"retry-after": "1"})
        self.assertEqual(edge.ask("GET", "/health").status, 200)
        wires[0].leave()
        self.assertEqual(edge.ask("GET", "/v1/models").status, 200)
        each = Edge(
            '[server]\nmax_requests_per_address = 1\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n'
        )
        each.wire().send(request(body=CHAT))
        self.check(each.chat(), 503, "UNAVAILABLE")
        self.assertEqual(each.ask("GET", "/v1/models", peer="127.0.0.2").status, 200)


class Limits(SynchronousTestCase):
    def test_what_is_no_time(self) -> None:
        """Only digits are seconds, and no fewer than a timer can keep."""
        edge = Edge()
        for told in (
            "1_0",
            "inf",
            "nan",
            "1e3",
            "+1",
            "-1",
            "0",
            "0.0",
            "0.0000001",
            "",
            "\u0661",
            "1.",
            ".5",
            "1 0",
            "9" * 10,
        ):
            headers = {"x-llmedge-timeout": told.encode().decode("latin-1")}
            self.assertEqual(edge.ask(body=CHAT, headers=headers).status, 400, told)
        for told in ("1", "0.5", "010", "0.001"):
            self.assertEqual(edge.ask(body=CHAT, headers={"x-llmedge-timeout": told}).status, 200, told)

    def test_global(self) -> None:
        """burst requests pass, the next is refused with the time to wait, and time heals it."""
        edge = Edge("[rate_limit]\nrpm = 60\nburst = 2\n")
        first = edge.chat()
        self.assertEqual(first.headers["x-ratelimit-limit-requests"], "60")
        self.assertEqual(first.headers["x-ratelimit-remaining-requests"], "1")
        self.assertEqual(first.headers["x-ratelimit-reset-requests"], "1s")
        edge.chat()
        refused = edge.chat()
        self.assertEqual(
            (refused.status, refused.error["code"], refused.error["type"]),
            (429, "RATE_LIMIT_ERROR", "rate_limit_error"),
        )
        self.assertEqual(
            (refused.headers["retry-after"], refused.headers["x-ratelimit-remaining-requests"]), ("1", "0")
        )
        edge.reactor.advance(1)
        self.assertEqual(edge.chat().status, 200)

    def test_per_key(self) -> None:
        """A key's own limit does not touch the others, and refused work is given back."""
        toml = '[rate_limit]\nrpm = 60\nburst = 5\n[[auth.keys]]\nname = "a"\nkey = "ka"\nrpm = 60\nburst = 1\n'
        edge = Edge(toml + '[[auth.keys]]\nname = "b"\nkey = "kb"\n')
        a, b = {"x-api-key": "ka"}, {"x-api-key": "kb"}
        statuses = [edge.ask("GET", "/v1/models", headers=a).status for _ in range(6)]
        self.assertEqual(statuses, [200] + [429] * 5)
        self.assertEqual([edge.ask("GET", "/v1/models", headers=b).status for _ in range(5)], [200] * 4 + [429])
        refused = edge.ask("GET", "/v1/models", headers=b)
        self.assertIn("gateway", refused.error["message"])

    def test_every_answer_shows_the_limit(self) -> None:
        """Also those that never got as far."""
        edge = Edge(KEYS)
        for response in (edge.chat(), edge.ask("GET", "/v1/nope"), edge.ask("GET", "/health", headers={"host": ".."})):
            self.assertIn(response.status, (400, 401))
            self.assertEqual(response.headers["x-ratelimit-limit-requests"], "1000")

    def test_health_is_not_limited(self) -> None:
        """Probes pass, and carry the headers as every answer does."""
        edge = Edge("[rate_limit]\nrpm = 60\nburst = 1\n")
        edge.chat()
        for _ in range(5):
            response = edge.ask("GET", "/health")
            self.assertEqual((response.status, response.headers["x-ratelimit-remaining-requests"]), (200, "0"))

    def test_off(self) -> None:
        """Nothing is limited, and no header says so."""
        edge = Edge("[rate_limit]\nenabled = false\nburst = 1\n")
        self.assertEqual([edge.chat().status for _ in range(5)], [200] * 5)
        self.assertNotIn("x-ratelimit-limit-requests", edge.chat().headers)
