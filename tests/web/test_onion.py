"""Layers that wait: a layer of the test's own stands in the onion and answers when the test says so."""

from typing import Any

import h2.events
from twisted.internet.defer import CancelledError, Deferred, succeed

from llmedge.errors import PermissionDenied
from llmedge.web.layer import Layer
from tests.fakes import CHAT, Edge, Wire, parse_response, request
from tests.web.waiting import Onion, Stream, Waiting

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'


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
        """The call is answered and on record once."""
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
        """Nothing is waited for then."""

        class Ready(Layer):
            def render(self, request: Any) -> int:
                return self.later(request, succeed(None), lambda request, _: self.proceed(request))

        self.assertEqual(self.edge(Ready).chat().status, 200)


class WaitsInside(Waits):
    """The same where the deadline began before."""

    place = None
    remaining = "99"
    caller = "anonymous"


class WaitsOverHttp2(Onion):
    """What HTTP/2 does of its own accord while a layer waits."""

    def test_then_goes_on_or_not(self) -> None:
        """Each outcome is a status, on record once."""
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
        """Streams of a connection are answered in any order."""
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
