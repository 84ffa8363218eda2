"""Layers that ask elsewhere: keys and buckets that others hold."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail

from llmedge.errors import AuthError
from llmedge.identity.chain import IdentifierChain
from llmedge.model import Caller
from llmedge.record import REFUSED_BY
from llmedge.state.interfaces import Level
from llmedge.web.authenticate import Authenticate
from llmedge.web.limits import RateLimit
from tests.fakes import CHAT, Edge, Wire, request
from tests.web.waiting import Onion, Stream


class Asks:
    """An identifier that has to ask somebody."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Caller | None]] = []

    def identify(self, credentials: Any) -> Any:
        if credentials.key == b"now":
            return Caller("now")
        if credentials.key == b"never":
            return fail(AuthError("This key is revoked."))
        self.asked.append(Deferred())
        return self.asked[-1]


class AsksLater(Onion):
    """Keys that are asked for elsewhere."""

    def setUp(self) -> None:
        self.identifier = Asks()
        self.asked = self.identifier.asked

    def keys(self, toml: str = "") -> Edge:
        edge = Edge(toml)
        layer = self.layer(edge, Authenticate)
        layer.deps = attrs.evolve(layer.deps, identifiers=IdentifierChain([self.identifier]))
        return edge

    def half(self, edge: Edge, key: str = "k") -> tuple[Wire, bytes]:
        """A client that has sent its head and half of its body, and the rest."""
        data, wire = request(body=CHAT, headers={"x-api-key": key}), edge.wire()
        wire.send(data[:-20])
        edge.reactor.advance(0)
        return wire, data[-20:]

    def test_a_request_without_a_body(self) -> None:
        """It waits for what the key is worth."""
        edge = self.keys()
        for caller, status in ((Caller("a"), 200), (None, 401)):
            wire = edge.wire()
            wire.send(request("GET", "/v1/models", headers={"x-api-key": "k"}))
            self.assertEqual(wire.received(), b"")
            self.asked.pop().callback(caller)
            self.assertEqual((wire.response().status, edge.records[-1].caller), (status, caller.name if caller else ""))

    def test_what_is_known_is_known_now(self) -> None:
        """A key that is known at once asks nobody."""
        edge = self.keys()
        self.assertEqual(edge.ask(body=CHAT, headers={"x-api-key": "now"}).status, 200)
        self.assertEqual((edge.records[-1].caller, self.asked), ("now", []))

    def test_asked_once(self) -> None:
        """Asked for as soon as the head is here; the answer is used when the body is, whichever comes first."""
        for answer_first in (True, False):
            edge = self.keys()
            wire, rest = self.half(edge)
            (asked,) = self.asked
            if answer_first:
                asked.callback(Caller("a"))
            wire.send(rest)
            if not answer_first:
                self.assertEqual(wire.received(), b"")
                asked.callback(Caller("a"))
            self.assertEqual((wire.response().status, edge.records[-1].caller), (200, "a"))
            self.assertEqual([self.asked.pop()], [asked])

    def test_asked_again_for_the_next(self) -> None:
        """What may be revoked is not kept with the head."""
        edge = self.keys()
        wire, rest = self.half(edge)
        wire.send(rest)
        self.asked[0].callback(Caller("a"))
        wire.response()
        wire.send(request(body=CHAT, headers={"x-api-key": "k"}))
        self.asked[1].callback(None)
        self.assertEqual(wire.response().status, 401)

    def test_refused_before_the_body_is_here(self) -> None:
        """At once: nobody fills our memory without a key."""
        for key in ("k", "never"):
            edge = self.keys()
            wire, rest = self.half(edge, key)
            if self.asked:
                self.assertEqual(wire.received(), b"")
                self.asked.pop().callback(None)
            edge.reactor.advance(0)
            response = wire.response()
            self.assertEqual((response.status, response.headers["connection"]), (401, "close"))
            self.assertEqual([(each.status, each.error_code) for each in edge.records], [(401, "AUTH_ERROR")])
            wire.send(rest)
            self.assertEqual((wire.received(), len(edge.records)), (b"", 1))

    def test_refused_when_the_body_is_here(self) -> None:
        """The connection stays usable."""
        edge = self.keys()
        wire, rest = self.half(edge)
        wire.send(rest)
        self.asked[0].callback(None)
        self.assertEqual((wire.response().status, len(edge.records)), (401, 1))
        wire.send(request("GET", "/health"))
        self.assertEqual(wire.response().status, 200)

    def test_refused_over_http2(self) -> None:
        """The refusal is sent when the body ends."""
        edge = self.keys()
        client = Stream(edge)
        self.asked[0].callback(None)
        self.assertEqual(client.answer()[0], 401)
        self.assertEqual(len(edge.records), 1)

    def test_a_defect(self) -> None:
        """A failure of the identifier's is a 500 without a word of it."""
        edge = self.keys()
        wire, rest = self.half(edge)
        self.asked[0].errback(RuntimeError("secret"))
        wire.send(rest)
        response = wire.response()
        self.assertEqual((response.status, len(edge.records), self.errors(RuntimeError)), (500, 1, 1))
        self.assertNotIn(b"secret", response.body)

    def test_its_client_leaves(self) -> None:
        """Before its body is here, and while the onion waits."""
        for whole in (False, True):
            edge = self.keys()
            wire, rest = self.half(edge)
            if whole:
                wire.send(rest)
            wire.leave()
            self.assertTrue(self.asked.pop().called)
            self.assertEqual([each.outcome for each in edge.records], ["client_closed"] if whole else [])

    def test_too_large_meanwhile(self) -> None:
        """The body is capped while somebody is asked; then nobody need be."""
        edge = self.keys("[server]\nmax_request_size = 100\n")
        wire = edge.wire()
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        wire.send(b"80\r\n" + b"x" * 128)
        edge.reactor.advance(0)
        self.assertEqual((wire.response().status, self.asked[0].called), (413, True))

    def test_its_time_is_over(self) -> None:
        """The call's time includes the asking, which is cancelled."""
        edge = self.keys("[server]\ntimeout = 5\n")
        wire, rest = self.half(edge)
        wire.send(rest)
        edge.reactor.advance(5.1)
        self.assertEqual((wire.response().status, self.asked[0].called), (504, True))


class Remote:
    """A bucket of 60 a minute that has to ask somebody."""

    rpm = burst = 60
    left = 7.0

    def __init__(self) -> None:
        self.asked: list[Deferred[float]] = []

    def take(self, amount: float = 1.0) -> Deferred[float]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def refund(self, amount: float = 1.0) -> None: ...

    def level(self, taken: bool = False) -> Level:
        return Level(60, 7, 0.5)


class BucketElsewhere(Onion):
    """A bucket that several processes share."""

    def test_a_token_is_waited_for(self) -> None:
        """What the bucket says decides, and its level is shown."""
        edge, bucket = Edge(), Remote()
        self.layer(edge, RateLimit).deps.limiter._shared = bucket
        for wait, status in ((0.0, 200), (3.0, 429)):
            wire = edge.wire()
            wire.send(request(body=CHAT))
            self.assertEqual(wire.received(), b"")
            bucket.asked.pop().callback(wait)
            response = wire.response()
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers["x-ratelimit-remaining-requests"], "7")
        self.assertEqual((response.headers["retry-after"], edge.records[-1].facts[REFUSED_BY]), ("3", "global"))
