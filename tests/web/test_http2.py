import json
from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
from hyperframe.frame import GoAwayFrame
from twisted.trial.unittest import SynchronousTestCase

from llmedge.web import paths
from llmedge.web.answer import send_body
from llmedge.web.refusals import LINGER
from tests.fakes import CHAT, Edge
from tests.web.bare import BareEdge
from tests.web.secure import TlsWire

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'


class Http2:
    """An HTTP/2 client in memory: prior knowledge on a cleartext connection, or ``wire``."""

    def __init__(self, edge: Any, window: int | None = None, wire: Any = None) -> None:
        self.edge = edge
        self.wire = wire or edge.wire()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.events: list[Any] = []
        self.flush()

    def flush(self) -> None:
        """Exchange bytes until nothing moves; the loop sends one frame a turn."""
        for _ in range(2000):
            out = self.h2.data_to_send()
            if out and not self.wire.transport.gone:
                self.wire.send(out)
            self.edge.reactor.advance(0)
            received = self.wire.received()
            if not isinstance(self.wire, TlsWire):
                self.wire.transport.clear()
            if received:
                self.events += self.h2.receive_data(received)
            elif not out and not [
                c for c in self.edge.reactor.getDelayedCalls() if c.getTime() <= self.edge.reactor.seconds()
            ]:
                return

    def ask(
        self, body: Any = None, path: str = "/v1/chat/completions", method: str = "POST", more: Sequence[Any] = ()
    ) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost"), *more]
        if body is not None:
            headers.append(("content-type", "application/json"))
        self.h2.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, json.dumps(body).encode(), end_stream=True)
        self.flush()
        return stream

    def of(self, kind: type, stream: int) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind) and event.stream_id == stream]

    def status(self, stream: int) -> int:
        (response,) = self.of(h2.events.ResponseReceived, stream)
        return int(dict(response.headers)[":status"])

    def body(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.of(h2.events.DataReceived, stream))

    def ended(self, stream: int) -> bool:
        return bool(self.of(h2.events.StreamEnded, stream))

    def reset(self, stream: int) -> bool:
        return bool(self.of(h2.events.StreamReset, stream))


class Streams(SynchronousTestCase):
    def test_an_answer(self) -> None:
        """Prior knowledge on the cleartext port, told apart from HTTP/1.1 by its first bytes."""
        client = Http2(Edge())
        stream = client.ask(CHAT)
        self.assertEqual(client.status(stream), 200)
        self.assertIn(b"This is a mock answer", client.body(stream))
        self.assertTrue(client.ended(stream))
        self.assertEqual(client.status(client.ask(path="/health", method="GET")), 200)
        self.assertEqual(client.status(client.ask(path="/nope", method="GET")), 404)

    def test_the_preface_in_pieces(self) -> None:
        edge = Edge()
        for step in (1, 5, 24):
            client = Http2.__new__(Http2)
            client.edge, client.wire, client.events = edge, edge.wire(), []
            client.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            client.h2.initiate_connection()
            first = client.h2.data_to_send()
            for start in range(0, len(first), step):
                client.wire.send(first[start : start + step])
            self.assertEqual(client.status(client.ask(CHAT)), 200)

    def test_a_streamed_body(self) -> None:
        """The reader's interface is the same, though here the body is whole before it is read."""
        self.patch(paths.PATHS, "streamed", {paths.CHAT})
        read: list[bytes] = []

        async def take(request: Any) -> None:
            while data := await request.body.read():
                read.append(data)
            send_body(request, 200, request.content.read(), b"text/plain")

        client = Http2(BareEdge(handler=take))
        stream = client.ask(CHAT)
        self.assertEqual((client.status(stream), client.body(stream)), (200, b""))
        self.assertEqual(json.loads(b"".join(read)), CHAT)

    def test_an_upload(self) -> None:
        """What it may weigh is a setting of its own, though its length is told before its path."""
        for size, status in ((3000, 415), (6000, 413)):
            client = Http2(Edge("[server]\nmax_request_size = 1000\nmax_upload_size = 5000\n"))
            stream: int = client.h2.get_next_available_stream_id()
            headers = [("content-length", str(size)), ("content-type", "text/plain")]
            headers = [
                (":path", "/v1/audio/transcriptions"),
                (":scheme", "http"),
                (":authority", "localhost"),
                *headers,
            ]
            client.h2.send_headers(stream, [(":method", "POST"), *headers])
            client.h2.send_data(stream, b"x" * size, end_stream=True)
            client.flush()
            self.assertEqual(client.status(stream), status)

    def test_almost_the_preface_is_http1(self) -> None:
        wire = Edge().wire()
        wire.send(b"P")
        wire.send(b"RI /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        self.assertEqual(wire.response().status, 405)

    def test_a_stream(self) -> None:
        client = Http2(Edge())
        stream = client.ask(CHAT | {"stream": True})
        self.assertTrue(client.body(stream).endswith(b"data: [DONE]\n\n"))
        self.assertTrue(client.ended(stream))

    def test_a_broken_stream_is_reset(self) -> None:
        """After the error event comes RST_STREAM, never a clean end; its siblings go on."""
        client = Http2(Edge(MOCK + 'fault = "cut"\nfault_after = 4\nchunk_interval = 1\nfault_rate = 0.5\n'))
        good, bad = client.ask(CHAT | {"stream": True}), client.ask(CHAT | {"stream": True})
        for _ in range(14):
            client.edge.reactor.advance(1)
            client.flush()
        self.assertIn(b"UPSTREAM_ERROR", client.body(bad))
        self.assertTrue(client.reset(bad))
        self.assertFalse(client.ended(bad))
        self.assertTrue(client.ended(good))
        self.assertTrue(client.body(good).endswith(b"data: [DONE]\n\n"))

    def test_a_broken_stream_is_over(self) -> None:
        """Its place is given back and it is on record, as often as it happens."""
        edge = Edge("[server]\nmax_requests = 2\n" + MOCK + 'fault = "cut"\nfault_after = 4\n')
        for _ in range(3):
            client = Http2(edge)
            stream = client.ask(CHAT | {"stream": True})
            for _ in range(5):
                edge.reactor.advance(0.1)
                client.flush()
            self.assertTrue(client.reset(stream))
        self.assertEqual([record.outcome for record in edge.records], ["cut"] * 3)
        self.assertEqual(edge.ask("GET", "/v1/models").status, 200)

    def test_a_long_silence_kills_nothing(self) -> None:
        """An answer that takes minutes keeps its connection, and its siblings' (Twisted would send GOAWAY)."""
        edge = Edge("[server]\ntimeout = 300\nidle_timeout = 60\nheartbeat = 0\n" + MOCK + "latency = 130\n")
        client = Http2(edge)
        first = client.ask(CHAT)
        for _ in range(12):
            edge.reactor.advance(10)
            client.flush()
        second = client.ask(CHAT | {"model": "x"})
        for _ in range(14):
            edge.reactor.advance(10)
            client.flush()
        self.assertEqual((client.status(first), client.status(second)), (200, 200))
        self.assertFalse(client.wire.transport.gone)
        for _ in range(7):
            edge.reactor.advance(10)
            client.flush()
        self.assertTrue(client.wire.transport.gone)

    def test_a_stalled_stream_does_not_stall_the_others(self) -> None:
        """Flow control is each stream's own, and the vendor of the stalled one is not read on."""
        client = Http2(Edge(), window=100)
        stalled = client.ask(CHAT | {"stream": True})
        self.assertEqual(len(client.body(stalled)), 100)
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        other = client.ask(CHAT)
        self.assertTrue(client.ended(other))

    def test_a_client_that_resets(self) -> None:
        """RST_STREAM stops the work at once and settles the record."""
        edge = Edge(MOCK + "latency = 9\n")
        client = Http2(edge)
        stream = client.ask(CHAT)
        client.h2.reset_stream(stream)
        client.flush()
        self.assertEqual([record.outcome for record in edge.records], ["client_closed"])
        self.assertEqual(edge.records[0].routing.attempts[0].outcome, "aborted")
        self.assertEqual(client.status(client.ask(path="/health", method="GET")), 200)

    def test_bodies_are_capped(self) -> None:
        client = Http2(Edge("[server]\nmax_request_size = 100\n"))
        self.assertEqual(client.status(client.ask(CHAT | {"x": "y" * 200})), 413)

    def test_keys(self) -> None:
        """The key counts wherever it stands among the headers; without it no body is kept."""
        edge = Edge('[[auth.keys]]\nname = "a"\nkey = "key-a"\n')
        client = Http2(edge)
        body = json.dumps(CHAT).encode()
        length = ("content-length", str(len(body)))
        base = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            (":scheme", "http"),
            (":authority", "localhost"),
        ]
        for key, status in (("key-a", 200), ("wrong", 401)):
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, [*base, length, ("content-type", "application/json"), ("x-api-key", key)])
            client.flush()
            client.h2.send_data(stream, body, end_stream=True)
            client.flush()
            self.assertEqual(client.status(stream), status)

    def test_a_body_that_drips(self) -> None:
        edge = Edge("[server]\nbody_timeout = 5\n")
        client = Http2(edge)
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "x")])
        client.flush()
        edge.reactor.advance(6)
        client.flush()
        self.assertTrue(client.reset(stream))
        self.assertFalse(client.wire.transport.gone)


class Floods(SynchronousTestCase):
    def flooded(self, send: Any, times: int) -> h2.errors.ErrorCodes | None:
        client = Http2(Edge())
        try:
            for _ in range(times):
                send(client)
                if client.wire.transport.gone:
                    break
                out = client.h2.data_to_send()
                client.wire.send(out)
                client.h2.receive_data(client.wire.received())
                client.wire.transport.clear()
        except h2.exceptions.ProtocolError:
            pass
        data = client.wire.received()
        for event in client.h2.receive_data(data) if data else []:
            client.events.append(event)
        return client if client.wire.transport.gone else None

    def test_pings_and_settings(self) -> None:
        """A client that only makes us answer control frames is sent away."""
        self.assertIsNotNone(self.flooded(lambda client: client.h2.ping(b"12345678"), 3000))
        self.assertIsNotNone(self.flooded(lambda client: client.h2.update_settings({4: 70000}), 3000))
        self.assertIsNone(self.flooded(lambda client: client.h2.ping(b"12345678"), 1000))

    def test_rapid_reset(self) -> None:
        """CVE-2023-44487: opening and resetting streams in a loop ends the connection."""

        def open_and_reset(client: Http2) -> None:
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(
                stream, [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "x")]
            )
            client.h2.reset_stream(stream)

        self.assertIsNotNone(self.flooded(open_and_reset, 1500))

    def test_header_lists(self) -> None:
        """A header list over the limit ends the connection before it is all kept."""

        def large(client: Http2) -> None:
            stream = client.h2.get_next_available_stream_id()
            headers = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
            client.h2.send_headers(stream, [*headers, *((f"x-{i}", "y" * 1000) for i in range(40))], end_stream=True)

        self.assertIsNotNone(self.flooded(large, 2))

    def test_continuation(self) -> None:
        """A header block that never ends (CONTINUATION flood) ends the connection."""
        from hyperframe.frame import ContinuationFrame, HeadersFrame

        client = Http2(Edge())
        client.wire.send(HeadersFrame(1, data=b"\x82").serialize())
        for _ in range(200):
            if not client.wire.transport.gone:
                client.wire.send(ContinuationFrame(1, data=b"\x40\x01x\x01y").serialize())
        self.assertTrue(client.wire.transport.gone)

    def test_concurrent_streams(self) -> None:
        """More than max_streams at once are refused, those under way are not."""
        client = Http2(Edge("[server]\nmax_streams = 3\n" + MOCK + "latency = 5\n"))
        for _ in range(3):
            client.ask(CHAT)
        self.assertRaises(h2.exceptions.TooManyStreamsError, client.ask, CHAT)


class Draining(SynchronousTestCase):
    def test_goaway(self) -> None:
        """GOAWAY at once, the streams under way finish, then the connection closes."""
        edge = Edge(MOCK + "latency = 5\n")
        client = Http2(edge)
        stream = client.ask(CHAT)
        idle = Http2(edge)
        edge.site.drain()
        client.flush()
        self.assertTrue(any(isinstance(e, h2.events.ConnectionTerminated) for e in client.events))
        self.assertTrue(idle.wire.transport.gone)
        self.assertFalse(client.wire.transport.gone)
        edge.reactor.advance(5)
        for _ in range(10):
            edge.reactor.advance(0)
        self.assertEqual([(r.status, r.outcome) for r in edge.records], [(200, "ok")])
        self.assertTrue(client.wire.transport.gone)
        self.assertEqual(stream, 1)

    def test_a_client_that_takes_nothing_new(self) -> None:
        """A client's own GOAWAY lets its streams finish (RFC 9113 section 6.8), then the connection closes. With an
        error in it, it is the end."""
        for code, outcome in ((0, "ok"), (2, "client_closed")):
            for secure in (False, True):
                edge = Edge(MOCK + "chunk_interval = 1\n")
                client = Http2(edge, wire=TlsWire(edge) if secure else None)
                stream = client.ask(CHAT | {"stream": True})
                client.wire.send(GoAwayFrame(0, last_stream_id=0, error_code=code).serialize())
                for _ in range(40):
                    edge.reactor.advance(1)
                    client.flush()
                self.assertEqual([record.outcome for record in edge.records], [outcome])
                self.assertEqual(client.ended(stream), code == 0)
                self.assertTrue(client.wire.transport.gone)

    def test_idle_connections(self) -> None:
        """They close at once, within TLS too, whether the client answers that or not; who takes nothing is cut off."""
        for polite, stuck in ((True, False), (False, False), (True, True)):
            edge = Edge()
            wire = TlsWire(edge, polite=polite, stuck=stuck)
            Http2(edge, wire=wire)
            edge.site.drain()
            wire.advance(0)
            self.assertEqual(wire.transport.gone, not stuck)
            wire.advance(LINGER)
            self.assertTrue(wire.transport.gone)

    def test_silence(self) -> None:
        """A connection that was idle for too long closes, within TLS too."""
        edge = Edge("[server]\nidle_timeout = 20\n")
        client = Http2(edge, wire=TlsWire(edge))
        edge.reactor.advance(20)
        client.flush()
        self.assertEqual(client.events[-1].error_code, 0)
        self.assertTrue(client.wire.transport.gone)
