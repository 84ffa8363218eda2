"""Layers that wait: a layer of the test's own stands in the onion and answers when the test says so."""

import json
from typing import Any

import attrs
import h2.events
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import AuthError, PermissionDenied
from llmedge.identity.chain import IdentifierChain
from llmedge.model import Caller
from llmedge.record import REFUSED_BY
from llmedge.state.interfaces import Level
from llmedge.web import build
from llmedge.web.authenticate import Authenticate
from llmedge.web.layer import Layer
from llmedge.web.limits import RateLimit
from tests.fakes import CHAT, Edge, Wire, parse_response, request
from tests.web.test_http2 import Http2

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'


LAYERS = build.layers


class Waiting(Layer):
    """Waits for a Deferred of the test's; goes on, or raises the error that it fires with."""

    waits: list[Deferred[Exception | None]]

    def render(self, request: Any) -> int:
        self.waits.append(Deferred())
        return self.later(request, self.waits[-1], self._then)

    def _then(self, request: Any, error: Exception | None) -> int:
        if error is not None:
            raise error
        return self.proceed(request)


class Stubborn(Waiting):
    """What it waits for takes no notice of being cancelled."""

    def render(self, request: Any) -> int:
        self.waits.append(Deferred())
        return self.later(request, self._wait(self.waits[-1]), self._then)

    async def _wait(self, wait: Deferred[Exception | None]) -> None:
        try:
            await wait
        except CancelledError:
            pass


class Now(Layer):
    """Does not wait. ``answer`` sends an answer; ``error`` is raised then."""

    error: Exception
    answers = False

    def render(self, request: Any) -> int:
        if self.answers:
            self.proceed(request)
        raise self.error


class Onion(SynchronousTestCase):
    """:ivar place: the layer that the test's stands around; ``None``: it is the innermost."""

    place: type[Layer] | None = Authenticate

    def edge(self, *wrapped: type[Layer], toml: str = "") -> Edge:
        Waiting.waits = self.waits = []

        def layers(settings: Any) -> list[type[Layer]]:
            found = LAYERS(settings)
            place = found.index(self.place) if self.place else len(found)
            return [*found[:place], *wrapped, *found[place:]]

        self.patch(build, "layers", layers)
        return Edge(toml)

    def layer(self, edge: Edge, kind: type[Layer]) -> Any:
        return next(layer for layer in edge.site.edge.resource.inside() if isinstance(layer, kind))

    def errors(self, kind: type[Exception]) -> int:
        return len(self.flushLoggedErrors(kind))


class Waits(Onion):
    """:ivar remaining: tokens left when the layer waits. ``caller``: who is known by then."""

    remaining = "100"
    caller = ""

    def ask(self, layer: type[Layer], toml: str = "", **headers: str) -> tuple[Edge, Wire]:
        edge = self.edge(layer, toml=toml)
        wire = edge.wire()
        wire.send(request(body=CHAT, headers={"x-request-id": "r-1"} | headers))
        self.assertEqual((wire.received(), len(self.waits)), (b"", 1))
        return edge, wire

    def test_then_goes_on(self) -> None:
        edge, wire = self.ask(Waiting)
        self.waits[0].callback(None)
        self.assertEqual(wire.response().status, 200)
        (record,) = edge.records
        self.assertEqual((record.status, record.outcome, record.caller), (200, "ok", "anonymous"))

    def test_then_refuses(self) -> None:
        """As a layer that refuses at once: id, record, the shared bucket's state."""
        for answer in (lambda wait, error: wait.callback(error), lambda wait, error: wait.errback(error)):
            edge, wire = self.ask(Waiting)
            answer(self.waits[0], PermissionDenied("Not today."))
            response = wire.response()
            self.assertEqual((response.status, response.error["message"]), (403, "Not today."))
            self.assertEqual(response.headers["x-request-id"], "r-1")
            self.assertEqual(response.headers["x-ratelimit-remaining-requests"], self.remaining)
            (record,) = edge.records
            self.assertEqual((record.status, record.outcome, record.error_code), (403, "error", "PERMISSION_ERROR"))
            wire.send(request("GET", "/health"))
            self.waits[1].callback(None)
            self.assertEqual(wire.response().status, 200)

    def test_then_has_a_defect(self) -> None:
        """A 500 that says nothing, and one entry in the log."""
        for answer in (lambda wait, error: wait.callback(error), lambda wait, error: wait.errback(error)):
            edge, wire = self.ask(Waiting)
            answer(self.waits[0], RuntimeError("secret"))
            response = wire.response()
            self.assertEqual((response.status, response.error["code"]), (500, "INTERNAL_ERROR"))
            self.assertNotIn(b"secret", response.body)
            self.assertEqual(([each.status for each in edge.records], self.errors(RuntimeError)), ([500], 1))

    def test_what_is_inside_fails(self) -> None:
        """A route that fails after the waiting is answered by whoever answers for routes."""
        edge, wire = self.ask(Waiting, MOCK + 'fault = "status"\n')
        self.waits[0].callback(None)
        self.assertEqual((wire.response().status, len(edge.records)), (503, 1))

    def test_its_client_leaves(self) -> None:
        """The waiting is cancelled; on record, and nowhere in the log."""
        for layer in (Waiting, Stubborn):
            edge, wire = self.ask(layer)
            wire.leave()
            self.assertTrue(self.waits[0].called)
            (record,) = edge.records
            self.assertEqual((record.status, record.outcome, record.caller), (499, "client_closed", self.caller))

    def test_its_time_is_over(self) -> None:
        """The deadline holds while a layer waits that stands outside the one that sets it."""
        edge, wire = self.ask(Waiting, "[server]\ntimeout = 5\n")
        edge.reactor.advance(4.9)
        self.assertEqual(wire.received(), b"")
        edge.reactor.advance(0.2)
        self.assertEqual((wire.response().status, self.waits[0].called), (504, True))
        (record,) = edge.records
        self.assertEqual((record.outcome, record.error_code), ("timeout", "TIMEOUT_ERROR"))

    def test_its_time_counts(self) -> None:
        """There is one deadline for all of a request, the client's own too."""
        for timeout, headers in ((5, {}), (60, {"x-llmedge-timeout": "5"})):
            toml = f"[server]\ntimeout = {timeout}\n{MOCK}latency = 30\n"
            edge, wire = self.ask(Waiting, toml, **headers)
            edge.reactor.advance(3)
            self.waits[0].callback(None)
            edge.reactor.advance(1.9)
            self.assertEqual(wire.received(), b"")
            edge.reactor.advance(0.2)
            self.assertEqual(wire.response().status, 504)

    def test_the_next_request_waits_behind_it(self) -> None:
        """A pipelined request begins when the one before it is answered."""
        edge, wire = self.ask(Waiting)
        wire.send(request(body=CHAT) + request("GET", "/nope"))
        self.assertEqual(len(self.waits), 1)
        for count in range(3):
            self.assertEqual(len(self.waits), count + 1)
            self.waits[count].callback(None)
        statuses, rest = [], wire.received()
        while rest:
            response, rest = parse_response(rest)
            statuses.append(response.status)
        self.assertEqual((statuses, [each.status for each in edge.records]), ([200, 200, 404], [200, 200, 404]))

    def test_one_after_the_other(self) -> None:
        """Several layers may wait."""
        edge = self.edge(Waiting, Waiting)
        wire = edge.wire()
        wire.send(request(body=CHAT))
        self.waits[0].callback(None)
        self.assertEqual((wire.received(), len(self.waits)), (b"", 2))
        self.waits[1].callback(None)
        self.assertEqual(wire.response().status, 200)

    def test_what_it_waits_for_is_there(self) -> None:
        class Ready(Layer):
            def render(self, request: Any) -> int:
                return self.later(request, succeed(None), lambda request, _: self.proceed(request))

        self.assertEqual(self.edge(Ready).chat().status, 200)


class WaitsInside(Waits):
    """The same where the deadline began before."""

    place = None
    remaining = "99"
    caller = "anonymous"


class Stream(Http2):
    """One request over HTTP/2."""

    def __init__(self, edge: Edge, body: Any = CHAT, path: str = "/v1/chat/completions") -> None:
        super().__init__(edge)
        self.stream = self.ask(body, path)

    def answer(self) -> tuple[int, dict[str, Any]]:
        self.flush()
        return self.status(self.stream), json.loads(self.body(self.stream))


class WaitsOverHttp2(Onion):
    """What HTTP/2 does of its own accord while a layer waits."""

    def test_then_goes_on_or_not(self) -> None:
        for answer, status in ((None, 200), (PermissionDenied("Not today."), 403), (RuntimeError("secret"), 500)):
            edge = self.edge(Waiting)
            client = Stream(edge)
            self.assertEqual(client.of(h2.events.ResponseReceived, client.stream), [])
            self.waits[0].callback(answer)
            self.assertEqual(client.answer()[0], status)
            self.assertEqual([each.status for each in edge.records], [status])
        self.assertEqual(self.errors(RuntimeError), 1)

    def test_its_client_leaves(self) -> None:
        """A stream that is reset; its sibling goes on."""
        edge = self.edge(Waiting)
        client = Stream(edge)
        other = client.ask(CHAT)
        client.h2.reset_stream(client.stream)
        client.flush()
        self.assertEqual([wait.called for wait in self.waits], [True, False])
        self.assertEqual([each.outcome for each in edge.records], ["client_closed"])
        self.waits[1].callback(None)
        client.flush()
        self.assertEqual(client.status(other), 200)

    def test_the_next_request_does_not_wait(self) -> None:
        edge = self.edge(Waiting)
        client = Stream(edge)
        other = client.ask(CHAT)
        self.waits[1].callback(None)
        client.flush()
        self.assertEqual(client.status(other), 200)
        self.waits[0].callback(None)
        self.assertEqual(client.answer()[0], 200)


class Raises(Onion):
    """An error of a layer that does not wait."""

    def test_a_defect(self) -> None:
        """A 500 that says nothing, one record, one entry in the log; the connection goes on."""
        edge = self.edge(Now)
        Now.error, Now.answers = RuntimeError("secret"), False
        wire = edge.wire()
        for _ in range(2):
            wire.send(request(body=CHAT))
            response = wire.response()
            self.assertEqual((response.status, response.error["code"]), (500, "INTERNAL_ERROR"))
            self.assertIn("x-request-id", response.headers)
            self.assertEqual(self.errors(RuntimeError), 1)
        self.assertEqual([(each.status, each.error_code) for each in edge.records], [(500, "INTERNAL_ERROR")] * 2)

    def test_after_the_answer(self) -> None:
        """What is answered is not answered again, nor taken back."""
        for error, logged in ((RuntimeError("late"), 1), (PermissionDenied("late"), 0)):
            edge = self.edge(Now)
            Now.error, Now.answers = error, True
            wire = edge.wire()
            for _ in range(2):
                wire.send(request("GET", "/health"))
                self.assertEqual((wire.response().status, wire.received()), (200, b""))
                self.assertEqual(self.errors(RuntimeError), logged)
            self.assertEqual([(each.status, each.error_code) for each in edge.records], [(200, "")] * 2)


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
        edge = self.keys()
        for caller, status in ((Caller("a"), 200), (None, 401)):
            wire = edge.wire()
            wire.send(request("GET", "/v1/models", headers={"x-api-key": "k"}))
            self.assertEqual(wire.received(), b"")
            self.asked.pop().callback(caller)
            self.assertEqual((wire.response().status, edge.records[-1].caller), (status, caller.name if caller else ""))

    def test_what_is_known_is_known_now(self) -> None:
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

    def level(self) -> Level:
        return Level(60, 7, 0.5)


class BucketElsewhere(Onion):
    """A bucket that several processes share."""

    def test_a_token_is_waited_for(self) -> None:
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
