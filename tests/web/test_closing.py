"""Connections close when they are to, within TLS as well, where closing waits for whoever still produces into it, and
for the other end's word."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from llmedge.web.refusals import LINGER
from tests.fakes import CHAT, Edge, parse_response, request
from tests.web.secure import TlsWire
from tests.web.test_websocket import Socket

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
WAYS = {
    "the client's close": CloseConnection(1000),
    "a refusal": BytesMessage(b"x"),
    "a message that is too big": TextMessage("x" * 1001),
}


def secure(edge: Edge, polite: bool = True, stuck: bool = False) -> TlsWire:
    return TlsWire(edge, b"http/1.1", polite, stuck)


class WebSockets(SynchronousTestCase):
    def test_in_the_middle_of_an_answer(self) -> None:
        """The vendor's work stops, the record is settled, and the connection goes, at once."""
        limits = "[server]\nmax_request_size = 1000\n"
        for how, event in WAYS.items():
            for connect in (Edge.wire, secure):
                edge = Edge(limits + MOCK + "chunk_interval = 1\n")
                socket = Socket(edge, connect(edge))
                socket.ask()
                edge.reactor.advance(3)
                socket.send(event)
                told = [
                    (record.outcome, *(attempt.outcome for attempt in record.routing.attempts))
                    for record in edge.records
                ]
                self.assertIn(("client_closed", "aborted"), told, (how, connect))
                self.assertIsNotNone(socket.closed())
                self.assertTrue(socket.wire.transport.gone, (how, connect))
                self.assertEqual(edge.reactor.pending(), [])

    def test_a_client_that_stays(self) -> None:
        """Who does not take what is written last is cut off after LINGER seconds, and not heard until then."""
        edge = Edge(MOCK)
        socket = Socket(edge, secure(edge, polite=False, stuck=True))
        socket.send(BytesMessage(b"x"))
        self.assertEqual(socket.closed(), 1003)
        records = len(edge.records)
        socket.wire.send(b"\x81\x80\0\0\0\0")  # an empty message
        self.assertFalse(socket.wire.transport.gone)
        edge.reactor.advance(LINGER)
        self.assertTrue(socket.wire.transport.gone)
        self.assertEqual(len(edge.records), records + 1)  # the handshake's

    def test_draining(self) -> None:
        edge = Edge(MOCK + "latency = 2\n")
        busy, idle = Socket(edge, secure(edge)), Socket(edge, secure(edge))
        busy.ask()
        edge.site.drain()
        idle.look()
        self.assertEqual((idle.closed(), idle.wire.transport.gone), (1001, True))
        edge.reactor.advance(2)
        busy.look()
        self.assertEqual((busy.texts()[-1], busy.closed(), busy.wire.transport.gone), ("[DONE]", 1001, True))


class Http1(SynchronousTestCase):
    LAST = {
        "an answer to the last request": request("GET", "/health", headers={"connection": "close"}),
        "a stream to the last request": request(body=CHAT | {"stream": True}, headers={"connection": "close"}),
        "a refusal": b"nonsense\r\n\r\n",
        "a refused body": request(body=b"x" * 2000)[:-500],
    }

    def test_the_last_answer(self) -> None:
        """What is answered with ``Connection: close`` is followed by the end. A client that may still be sending is
        heard out for LINGER seconds, unless it answers TLS's close."""
        for what, data in self.LAST.items():
            for polite in (True, False):
                edge = Edge("[server]\nmax_request_size = 1000\n" + MOCK)
                wire = secure(edge, polite)
                wire.send(data)
                received = wire.received()
                for _ in range(20):
                    wire.advance(0.05)
                    received += wire.received()
                self.assertTrue(parse_response(received)[0].complete, what)
                self.assertTrue(wire.closed, what)
                self.assertEqual(wire.transport.gone, polite or "refus" not in what, what)
                wire.advance(LINGER)
                self.assertTrue(wire.transport.gone, what)

    def test_a_stream_that_breaks(self) -> None:
        edge = Edge(MOCK + 'fault = "cut"\nfault_after = 3\n')
        wire = secure(edge)
        wire.send(request(body=CHAT | {"stream": True}))
        wire.advance(1)
        self.assertFalse(parse_response(wire.received())[0].complete)
        self.assertTrue(wire.transport.gone)

    def test_connections_at_rest(self) -> None:
        """A service that stops closes them, those included that have not said a word."""
        for first in (b"", request("GET", "/health"), b"GET /hea"):
            for stuck in (False, True):
                edge = Edge()
                wire = secure(edge, polite=False, stuck=stuck)
                wire.send(first)
                edge.site.drain()
                wire.advance(0)
                self.assertEqual(wire.transport.gone, not stuck, first)
                wire.advance(LINGER)
                self.assertTrue(wire.transport.gone, first)
                self.assertEqual(edge.site.connections, set())

    def test_silence(self) -> None:
        edge = Edge("[server]\nidle_timeout = 20\n")
        wire = secure(edge)
        wire.send(request("GET", "/health"))
        wire.advance(20)
        self.assertTrue(wire.transport.gone)


class SlowReaders(SynchronousTestCase):
    """The last answer of a connection that is not taken."""

    def closing(self, edge: Edge) -> Any:
        wire = edge.wire()
        wire.transport.loseConnection = lambda: None  # it waits for what is written
        wire.transport.dataBuffer = b"x" * 5
        wire.send(request("GET", "/health", headers={"connection": "close"}))
        return wire

    def test_nothing_is_taken(self) -> None:
        """It waits for ``write_timeout``, and is cut off."""
        edge = Edge("[server]\nwrite_timeout = 20\n")
        wire = self.closing(edge)
        edge.reactor.advance(19)
        self.assertFalse(wire.transport.gone)
        edge.reactor.advance(1)
        self.assertTrue(wire.transport.aborted)

    def test_something_is_taken(self) -> None:
        """While it is, the connection stays; once all is, it ends after LINGER seconds."""
        edge = Edge("[server]\nwrite_timeout = 20\n")
        wire = self.closing(edge)
        for left in (4, 3, 2, 1, 0):
            wire.transport.dataBuffer = b"x" * left
            edge.reactor.advance(20)
            self.assertFalse(wire.transport.gone, left)
        edge.reactor.advance(LINGER)
        self.assertTrue(wire.transport.aborted)
