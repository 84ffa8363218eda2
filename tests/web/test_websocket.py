import base64
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from llmedge.web.request import EdgeRequest
from tests.fakes import CHAT, Edge, request

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
KEYS = '[[auth.keys]]\nname = "a"\nkey = "key-a"\n'


class Socket:
    """A WebSocket client in memory, on ``wire`` if that is given."""

    def __init__(self, edge: Edge, wire: Any = None, **headers: str) -> None:
        self.edge = edge
        self.wire = wire or edge.wire()
        sent = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": base64.b64encode(b"0123456789abcdef").decode(),
        }
        self.wire.send(request("GET", headers=sent | {k.replace("_", "-"): v for k, v in headers.items()}))
        self.head, _, rest = self.received().partition(b"\r\n\r\n")
        self.status = int(self.head.split()[1])
        self.frames = Connection(ConnectionType.CLIENT)
        self.events: list[Any] = []
        self.body = rest

    def send(self, event: Any) -> None:
        self.wire.send(self.frames.send(event))
        self.look()

    def ask(self, **fields: Any) -> None:
        self.send(TextMessage(json.dumps(CHAT | fields)))

    def look(self) -> None:
        for _ in range(20):
            self.edge.reactor.advance(0)
        data = self.received()
        if data:
            self.frames.receive_data(data)
            self.events += list(self.frames.events())

    def received(self) -> bytes:
        data: bytes = self.wire.received()
        self.wire.transport.clear()
        return data

    def texts(self) -> list[str]:
        """The whole messages so far."""
        texts, parts = [], []
        for event in self.events:
            if isinstance(event, TextMessage):
                parts.append(event.data)
                if event.message_finished:
                    texts.append("".join(parts))
                    parts = []
        return texts

    def said(self) -> str:
        deltas = [json.loads(text)["choices"][0]["delta"] for text in self.texts() if text.startswith('{"id"')]
        return "".join(delta.get("content") or "" for delta in deltas)

    def closed(self) -> int | None:
        return next((event.code for event in self.events if isinstance(event, CloseConnection)), None)


class Chat(SynchronousTestCase):
    def test_messages(self) -> None:
        """Each message is a request; its answer is one message an event, ended by [DONE]."""
        edge = Edge()
        socket = Socket(edge)
        self.assertEqual(socket.status, 101)
        self.assertIn(b"sec-websocket-accept: BACScCJPNqyz+UBoqMH89VmURoA=", socket.head)
        socket.ask()
        self.assertEqual(socket.said(), "This is a mock answer to: one two three")
        self.assertEqual(socket.texts()[-1], "[DONE]")
        socket.ask(messages=[{"role": "user", "content": "again"}])
        self.assertEqual(socket.texts().count("[DONE]"), 2)
        self.assertEqual([(r.operation, r.outcome, r.stream) for r in edge.records], [("chat", "ok", True)] * 2)
        first, second = (record.request_id for record in edge.records)
        self.assertTrue(first.endswith("-1") and second.endswith("-2"))

    def test_errors_are_messages(self) -> None:
        """And the socket stays for the next one."""
        socket = Socket(Edge(MOCK + 'fault = "cut"\nfault_after = 3\nfault_rate = 0.5\n'))
        socket.send(TextMessage("{nope"))
        socket.ask(model=5)
        errors = [json.loads(text)["error"] for text in socket.texts()]
        self.assertEqual([error["code"] for error in errors], ["VALIDATION_ERROR"] * 2)
        socket.ask()
        self.assertEqual(socket.texts()[-1], "[DONE]")
        socket.ask()
        self.assertEqual(json.loads(socket.texts()[-1])["error"]["code"], "UPSTREAM_ERROR")
        socket.ask()
        self.assertEqual(socket.texts()[-1], "[DONE]")
        self.assertEqual(socket.texts().count("[DONE]"), 2)

    def test_one_after_another(self) -> None:
        """Messages sent at once are answered in order; too many are refused."""
        edge = Edge(MOCK + "latency = 1\n")
        socket = Socket(edge)
        for number in range(11):
            socket.ask(messages=[{"role": "user", "content": f"n{number}"}])
        self.assertEqual(len([t for t in socket.texts() if "wait for their answer" in t]), 2)
        for _ in range(12):
            edge.reactor.advance(1)
            socket.look()
        self.assertEqual([f"n{n}" in socket.said() for n in range(11)], [True] * 9 + [False] * 2)
        self.assertEqual(socket.texts().count("[DONE]"), 9)

    def test_keys(self) -> None:
        """The same keys, in a header or where browsers can put them; the key never comes back."""
        edge = Edge(KEYS)
        self.assertEqual(Socket(edge).status, 401)
        self.assertEqual(Socket(edge, x_api_key="wrong").status, 401)
        self.assertEqual(Socket(edge, authorization="Bearer key-a").status, 101)
        browser = Socket(edge, sec_websocket_protocol="openai-insecure-api-key.key-a, realtime")
        self.assertEqual(browser.status, 101)
        self.assertIn(b"sec-websocket-protocol: realtime", browser.head)
        self.assertNotIn(b"key-a", browser.head)
        browser.ask()
        self.assertEqual(browser.texts()[-1], "[DONE]")
        self.assertEqual(edge.records[-1].caller, "a")

    def test_other_peoples_pages(self) -> None:
        """Browsers let any page open a socket to localhost: an origin that is not allowed is refused."""
        self.assertEqual(Socket(Edge(), origin="https://evil.example").status, 403)
        allowed = Edge('[cors]\norigins = ["https://app.example"]\n')
        self.assertEqual(Socket(allowed, origin="https://app.example").status, 101)
        self.assertEqual(Socket(Edge('[cors]\norigins = ["*"]\n'), origin="https://evil.example").status, 101)

    def test_its_own_pages(self) -> None:
        """The origin that the gateway itself is, also where a proxy ends its TLS; nothing that only looks like it."""
        for origin, host, status in (
            ("http://localhost:8080", "localhost:8080", 101),
            ("https://localhost:8080", "localhost:8080", 101),
            ("HTTP://LocalHost:8080", "localhost:8080", 101),
            ("http://localhost", "localhost:80", 101),
            ("https://localhost:443", "localhost", 101),
            ("http://[::1]:8080", "[::1]:8080", 101),
            ("http://localhost:3000", "localhost:8080", 403),
            ("http://localhost", "localhost:8080", 403),
            ("http://localhost:443", "localhost", 403),
            ("http://localhost.evil.example", "localhost", 403),
            ("http://evil.example/localhost:8080", "localhost:8080", 403),
            ("ws://localhost:8080", "localhost:8080", 403),
            ("localhost:8080", "localhost:8080", 403),
            ("null", "localhost:8080", 403),
            ("", "localhost:8080", 403),
        ):
            self.assertEqual(Socket(Edge(), origin=origin, host=host).status, status, (origin, host))

    def test_a_page_without_tls_where_the_gateway_has_it(self) -> None:
        """Whoever sits on the line may have written it."""
        for secure, origin, status in (
            (True, "http://localhost:8080", 403),
            (True, "https://localhost:8080", 101),
            (False, "http://localhost:8080", 101),
        ):
            self.patch(EdgeRequest, "isSecure", lambda request, secure=secure: secure)
            self.assertEqual(Socket(Edge(), origin=origin).status, status, origin)

    def test_a_key_that_no_page_can_show(self) -> None:
        """No browser lets a page set a header of a WebSocket: only what has a subprotocol for its key may be one."""
        for headers, status in (
            ({"authorization": "Bearer key-a"}, 101),
            ({"x_api_key": "key-a"}, 101),
            ({"x_goog_api_key": "key-a"}, 101),
            ({"api_key": "key-a"}, 101),
            ({"sec_websocket_protocol": "openai-insecure-api-key.key-a"}, 403),
            ({"authorization": "Basic a2V5LWE6", "sec_websocket_protocol": "openai-insecure-api-key.key-a"}, 403),
            ({"x_api_key": "wrong"}, 401),
        ):
            self.assertEqual(Socket(Edge(KEYS), origin="https://elsewhere.example", **headers).status, status, headers)

    def test_limits_hold_for_each_message(self) -> None:
        edge = Edge("[rate_limit]\nrpm = 60\nburst = 3\n")
        socket = Socket(edge)
        for _ in range(3):
            socket.ask()
        self.assertEqual(socket.texts().count("[DONE]"), 2)
        self.assertEqual(json.loads(socket.texts()[-1])["error"]["code"], "RATE_LIMIT_ERROR")

    def test_deadline(self) -> None:
        edge = Edge("[server]\ntimeout = 2\nheartbeat = 0\n" + MOCK + "latency = 9\n")
        socket = Socket(edge)
        socket.ask()
        edge.reactor.advance(2.1)
        socket.look()
        self.assertEqual(json.loads(socket.texts()[-1])["error"]["code"], "TIMEOUT_ERROR")

    def test_handshakes_that_are_none(self) -> None:
        edge = Edge()
        self.assertEqual(edge.ask("GET", "/v1/chat/completions").status, 405)
        self.assertEqual(Socket(edge, sec_websocket_version="8").status, 426)
        self.assertEqual(Socket(edge, sec_websocket_key="short").status, 400)
        self.assertEqual(Socket(edge, connection="close").status, 400)


class Holding(SynchronousTestCase):
    def test_size(self) -> None:
        """A message over the cap closes the socket with 1009, however many frames it comes in."""
        socket = Socket(Edge("[server]\nmax_request_size = 1000\n"))
        for _ in range(3):
            if socket.closed() is None:
                socket.send(TextMessage("x" * 400, message_finished=False))
        self.assertEqual(socket.closed(), 1009)

    def test_what_is_not_text(self) -> None:
        socket = Socket(Edge())
        socket.send(BytesMessage(b"x"))
        self.assertEqual(socket.closed(), 1003)
        broken = Socket(Edge())
        broken.wire.send(b"\xff\xff\xff\xff")
        broken.look()
        self.assertEqual(broken.closed(), 1002)

    def test_ping(self) -> None:
        """Pings are answered; a client that answers ours stays, a silent one goes."""
        edge = Edge("[server]\nidle_timeout = 10\n")
        socket, silent = Socket(edge), Socket(edge)
        socket.send(Ping(b"hi"))
        self.assertEqual([e.payload for e in socket.events if isinstance(e, Pong)], [bytearray(b"hi")])
        for _ in range(5):
            edge.reactor.advance(5)
            socket.look()
            socket.send(Pong(b"llmedge"))
        self.assertTrue(silent.wire.transport.aborted)
        self.assertFalse(socket.wire.transport.gone)

    def test_leaving(self) -> None:
        """A client that goes stops the vendor's work, and the record is settled."""
        edge = Edge(MOCK + "latency = 9\n")
        socket = Socket(edge)
        socket.ask()
        before = len(edge.records)
        socket.wire.leave()
        self.assertEqual(next(r.outcome for r in edge.records[before:]), "client_closed")
        self.assertEqual(edge.records[before].routing.attempts[0].outcome, "aborted")
        self.assertEqual(edge.reactor.pending(), [])

    def test_close(self) -> None:
        socket = Socket(Edge())
        socket.send(CloseConnection(1000))
        self.assertEqual(socket.closed(), 1000)
        self.assertTrue(socket.wire.transport.gone)

    def test_backpressure(self) -> None:
        """A client that does not read holds the vendor back."""
        edge = Edge(MOCK + "chunk_interval = 1\n")
        socket = Socket(edge)
        socket.ask()
        socket.wire.protocol.channel.pauseProducing()
        edge.reactor.pump([1.0] * 10)
        socket.look()
        self.assertLess(len(socket.texts()), 4)
        socket.wire.protocol.channel.resumeProducing()
        edge.reactor.pump([1.0] * 20)
        socket.look()
        self.assertEqual(socket.texts()[-1], "[DONE]")

    def test_drain(self) -> None:
        """A stopping service finishes the answer under way, then closes with 1001."""
        edge = Edge(MOCK + "latency = 2\n")
        busy, idle = Socket(edge), Socket(edge)
        busy.ask()
        edge.site.drain()
        idle.look()
        self.assertEqual(idle.closed(), 1001)
        self.assertFalse(busy.wire.transport.gone)
        edge.reactor.advance(2)
        busy.look()
        self.assertEqual(busy.texts()[-1], "[DONE]")
        self.assertEqual(busy.closed(), 1001)
