"""Connections: how many, how long, how slow."""

from tests.fakes import CHAT, Edge, request
from tests.web.common import Answers


class Connections(Answers):
    def test_a_client_that_leaves_pipelined_bytes(self) -> None:
        """Bytes behind a request under way never hide that its client is gone; too many of them end it."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n')
        wire = edge.wire()
        wire.send(request(body=CHAT) + b"x" * 30000)
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(b"x" * 60000)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(edge.records[0].outcome, "client_closed")

    def test_a_slow_client(self) -> None:
        """A request that does not arrive is a 408; an idle connection just closes."""
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        for first in (head, head + b"content-length: 10\r\n\r\n{", b"GET /heal"):
            edge = Edge("[server]\nidle_timeout = 5\nheader_timeout = 7\n")
            slow, silent, used = edge.wire(), edge.wire(), edge.wire()
            slow.send(first)
            used.send(request("GET", "/health"))
            used.response()
            edge.reactor.advance(6)
            self.assertEqual((used.received(), used.transport.gone), (b"", True))
            edge.reactor.advance(2)
            response = slow.response()
            self.assertEqual((response.status, response.error["code"]), (408, "REQUEST_TIMEOUT"))
            self.assertTrue(slow.transport.gone)
            self.assertEqual((silent.received(), silent.transport.gone), (b"", True))

    def test_a_client_that_drips(self) -> None:
        """One byte every few seconds keeps nothing open: head and body have limits of their own."""
        edge = Edge("[server]\nidle_timeout = 5\nheader_timeout = 10\nbody_timeout = 20\n")
        body = request(body=CHAT)
        head, _, rest = body.partition(b"\r\n\r\n")
        for prefix, drops, limit in ((b"", head, 10), (head + b"\r\n\r\n", rest, 20)):
            wire = edge.wire()
            wire.send(prefix)
            seconds = 0
            while not wire.transport.gone and seconds < 60:
                wire.send(drops[seconds // 2 : seconds // 2 + 1] if seconds % 2 == 0 else b"")
                edge.reactor.advance(1)
                seconds += 1
            self.assertEqual(wire.response().status, 408)
            self.assertIn(seconds, range(limit, limit + 4))
        self.assertEqual(edge.reactor.pending(), [])

    def test_too_many_connections(self) -> None:
        """All together, and from one address; a connection that ends makes room."""
        edge = Edge("[server]\nmax_connections = 3\nmax_connections_per_address = 2\n")
        first, second, third = (edge.wire() for _ in range(3))
        self.assertEqual([w.transport.aborted for w in (first, second, third)], [False, False, True])
        self.assertFalse(edge.wire("127.0.0.2").transport.aborted)
        self.assertTrue(edge.wire("127.0.0.3").transport.aborted)
        first.leave()
        self.assertFalse(edge.wire().transport.aborted)

    def test_keep_alive_and_pipelining(self) -> None:
        """Several requests on a connection, also sent at once, are answered in order."""
        wire = Edge().wire()
        wire.send(request(body=CHAT) + request("GET", "/health") + request(body=CHAT))
        statuses = [wire.response().body[:9] for _ in range(3)]
        self.assertEqual(statuses, [b'{"id":"ch', b'{"status"', b'{"id":"ch'])
