"""Answers to wrong keys: slowed, counted, and nobody else's business."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import AuthError
from llmedge.model import Caller
from llmedge.state.wrong_keys import AT_ONCE
from tests.fakes import CHAT, Edge, Wire, request
from tests.web.common import KEYS
from tests.web.test_http2 import Http2

WRONG = {"x-api-key": "wrong"}


class Slowed(SynchronousTestCase):
    def setUp(self) -> None:
        self.edge = Edge(KEYS)
        for _ in range(AT_ONCE):
            self.assertEqual(self.edge.ask("GET", "/v1/models", headers=WRONG).status, 401)

    def guess(self, body: Any = None, **headers: str) -> Wire:
        wire = self.edge.wire()
        wire.send(request("POST", body=body, headers=WRONG | headers))
        self.edge.reactor.advance(0)
        return wire

    def test_the_wrong_one_waits(self) -> None:
        """For its turn; the answer is the one it would have been."""
        for body in (None, CHAT):
            wire = self.guess(body)
            self.edge.reactor.advance(0.09)
            self.assertEqual(wire.received(), b"")
            self.edge.reactor.advance(0.02)
            response = wire.response()
            self.assertEqual((response.status, response.error["message"]), (401, "Invalid API key"))
            self.assertIn("Bearer", response.headers["www-authenticate"])

    def test_a_right_one_does_not(self) -> None:
        """From the same address, also while others wait, and on the connection of one that did."""
        wires = [self.guess() for _ in range(12)]
        self.assertEqual(self.edge.ask("GET", "/v1/models", headers={"x-api-key": "key-a"}).status, 200)
        self.edge.reactor.advance(1.01)
        self.assertEqual([wire.response().status for wire in wires], [401] * 10 + [429] * 2)
        wires[0].send(request("GET", "/v1/models", headers={"x-api-key": "key-a"}))
        self.assertEqual(wires[0].response().status, 200)

    def test_too_many(self) -> None:
        """Nothing is told of the key any more; no SDK tries again."""
        for _ in range(10):
            self.guess()
        response = self.guess().response()
        self.assertEqual((response.status, response.error["code"]), (429, "WRONG_KEYS"))
        self.assertEqual((response.headers["retry-after"], response.headers["x-should-retry"]), ("2", "false"))
        self.assertNotIn("www-authenticate", response.headers)

    def test_without_a_key(self) -> None:
        """Nobody guesses who sends none; it is counted, and answered at once."""
        for _ in range(50):
            self.assertEqual(self.edge.ask("GET", "/v1/models").status, 401)

    def test_another_address(self) -> None:
        """Is not slowed; behind a proxy that is trusted it is the client's."""
        self.assertEqual(self.edge.ask("GET", "/v1/models", headers=WRONG, peer="192.0.2.7").status, 401)
        edge = Edge(KEYS + '[server]\ntrusted_proxies = ["10.0.0.1"]\n')

        def behind(client: str) -> bytes:
            wire = edge.wire("10.0.0.1")
            wire.send(request("GET", "/v1/models", headers=WRONG | {"x-forwarded-for": client}))
            return wire.received()

        for _ in range(AT_ONCE):
            self.assertIn(b"401", behind("192.0.2.8"))
        self.assertEqual(behind("192.0.2.8"), b"")
        self.assertIn(b"401", behind("192.0.2.9"))

    def test_who_leaves(self) -> None:
        """Takes nothing along: no timer, no place among those who wait."""
        self.guess().leave()
        self.assertEqual(self.edge.service._process.wrong_keys._waiting, 0)
        self.assertEqual(self.edge.records[-1].status, 499)

    def test_a_body_that_does_not_end(self) -> None:
        """Is not kept meanwhile."""
        wire = self.guess(**{"content-length": "9000000", "content-type": "application/json"})
        for _ in range(10):
            wire.send(b"x" * 65536)
        self.assertEqual(wire.received(), b"")
        self.edge.reactor.advance(0.11)
        response = wire.response()
        self.assertEqual((response.status, response.headers["connection"]), (401, "close"))

    def test_pipelined(self) -> None:
        """Answers keep their order."""
        wire = self.edge.wire()
        wire.send(request("GET", "/v1/models", headers=WRONG) + request("GET", "/health"))
        self.assertEqual(wire.received(), b"")
        self.edge.reactor.advance(0.11)
        self.assertEqual([wire.response().status, wire.response().status], [401, 200])

    def test_over_http2(self) -> None:
        client = Http2(self.edge)
        for body in (None, CHAT):
            stream = client.ask(body, more=[("x-api-key", "wrong")])
            self.assertFalse(client.ended(stream))
            right = client.ask(None, "/v1/models", "GET", [("x-api-key", "key-a")])
            self.assertEqual(client.status(right), 200)
            self.edge.reactor.advance(0.11)
            client.flush()
            self.assertEqual((client.status(stream), client.ended(stream)), (401, True))

    def test_after_a_reload(self) -> None:
        """What an address has sent counts on."""
        service = self.edge.service
        service._reload = lambda: service.graph.settings
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(service.reload())))
        self.assertEqual(self.guess().received(), b"")

    def test_counted(self) -> None:
        """By reason, in the metrics; in the log by address."""
        self.edge.ask("GET", "/v1/models")
        text = self.edge.service._process.metrics.render().decode()
        for reason, count in (("invalid", AT_ONCE), ("missing", 1), ("expired", 0)):
            self.assertIn(f'llm_auth_failures_total{{reason="{reason}"}} {count}.0', text)


class Later(SynchronousTestCase):
    """Where an identifier has to ask somebody."""

    def test_the_wrong_one_waits_too(self) -> None:
        edge = Edge(KEYS)
        answers: list[Deferred[Caller]] = []

        class Asks:
            def identify(self, credentials: Any) -> Any:
                answers.append(Deferred())
                return answers[-1]

        edge.service.graph.identifiers._identifiers = (Asks(),)
        for _ in range(AT_ONCE):
            edge.service._process.wrong_keys.count("127.0.0.1")
        for body in (None, CHAT):
            wire = edge.wire()
            wire.send(request("POST", body=body, headers=WRONG))
            answers[-1].errback(AuthError("Invalid token"))
            edge.reactor.advance(0)
            self.assertEqual(wire.received(), b"")
            edge.reactor.advance(0.15)
            self.assertEqual(wire.response().error["message"], "Invalid token")
        wire = edge.wire()
        wire.send(request("GET", "/v1/models", headers=WRONG))
        answers[-1].callback(Caller("a"))
        self.assertEqual(wire.response().status, 200)
