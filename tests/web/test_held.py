"""What is held for clients has one budget, of which a caller may have half."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import Ping, Pong, TextMessage

from llmedge.web.held import SMALL, Held
from llmedge.web.websocket import WAITING_BYTES
from tests.fakes import CHAT, Edge, request
from tests.web.test_http2 import Http2
from tests.web.test_websocket import Socket
from tests.web.through import Asked, Through

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
MIB = 1048576
BUDGET = f"[server]\nmax_held = {2 * MIB}\n"
KEYS = "".join(f'[[auth.keys]]\nname = "{name}"\nkey = "key-{name}"\n' for name in "abc")


class Budget(SynchronousTestCase):
    def test_owners(self) -> None:
        """Each may have half, all together not more than there is, and what is dropped is free again."""
        held = Held()
        held.most = 10 * SMALL
        for holder, owner, size, good in (
            (1, "a", SMALL, True),  # small things do not count
            (2, "a", 5 * SMALL, True),
            (3, "a", SMALL + 1, False),
            (4, "b", 3 * SMALL, True),
            (4, "b", 4 * SMALL, True),
            (5, "c", 2 * SMALL, False),
        ):
            self.assertEqual(held.hold(holder, owner, size), good, holder)
        self.assertEqual(held.total, 9 * SMALL)
        held.drop(2)
        self.assertTrue(held.hold(5, "c", 2 * SMALL))
        for holder in range(6):
            held.drop(holder)
        self.assertEqual((held.total, held._by_owner, held._holders), (0, {}, {}))


class Bodies(SynchronousTestCase):
    def test_of_one_caller_and_of_others(self) -> None:
        """Whose half is used up is refused, the others are not; what is answered is held no more."""
        edge = Edge(BUDGET + MOCK + KEYS)
        body = json.dumps(CHAT | {"x": "y" * 700000}).encode()
        whole = {name: request(body=body, headers={"x-api-key": f"key-{name}"}) for name in "abc"}
        wires = [edge.wire() for _ in range(3)]
        for wire, name in zip(wires, "aab", strict=True):
            for start in range(0, 700000, 50000):
                if not wire.received():
                    wire.send(whole[name][start : start + 50000])
                    edge.reactor.advance(0)
        self.assertEqual([bool(wire.received()) for wire in wires], [False, True, False])
        refusal = wires[1].response()
        self.assertEqual((refusal.status, refusal.headers["retry-after"]), (503, "1"))
        self.assertIn("server.max_held", refusal.error["message"])
        for wire, name in ((wires[0], "a"), (wires[2], "b")):
            wire.send(whole[name][700000:])
            edge.reactor.advance(0)
            self.assertEqual(wire.response().status, 200)
        self.assertEqual(edge.site.edge.held.total, 0)

    def test_over_http2(self) -> None:
        edge = Edge(BUDGET + MOCK)
        client = Http2(edge)
        streams = []
        for _ in range(3):
            stream: int = client.h2.get_next_available_stream_id()
            streams.append(stream)
            path = [
                (":method", "POST"),
                (":path", "/v1/chat/completions"),
                (":scheme", "http"),
                (":authority", "localhost"),
            ]
            client.h2.send_headers(stream, [*path, ("content-type", "application/json")])
            for _ in range(40):
                client.h2.send_data(stream, b" " * 16384)
                client.flush()
        for stream in streams:
            client.h2.send_data(stream, json.dumps(CHAT).encode(), end_stream=True)
        client.flush()
        self.assertEqual([client.status(stream) for stream in streams], [200, 503, 503])
        self.assertEqual(edge.site.edge.held.total, 0)

    def test_of_those_who_leave(self) -> None:
        edge = Edge(BUDGET + MOCK)
        wire = edge.wire()
        wire.send(request(body=b"x" * 700000)[:600000])
        self.assertGreater(edge.site.edge.held.total, 500000)
        wire.leave()
        self.assertEqual(edge.site.edge.held.total, 0)


class Answers(Through):
    def test_that_nobody_reads(self) -> None:
        """Whole answers wait for their readers as long as there is room; then those that come are cut off."""
        self.begin(BUDGET.replace("[server]", "[server]\nwrite_timeout = 20"))
        wires = [self.ask("/v1/images/generations", {"model": "m", "prompt": "x"}) for _ in range(3)]
        for wire in wires:
            wire.transport.high_water = 65536
            Asked(self.edge).answer(200, {"data": [{"b64_json": "x" * 700000}]})
            self.edge.reactor.advance(0)
        self.assertEqual([wire.transport.aborted for wire in wires], [False, True, True])
        self.assertEqual(self.edge.site.edge.held.total > 0, True)
        self.edge.reactor.advance(20)
        self.assertTrue(wires[0].transport.aborted)
        self.assertEqual(self.edge.site.edge.held.total, 0)


class WebSockets(SynchronousTestCase):
    def test_pings(self) -> None:
        """Of the pings of one read the last is answered (RFC 6455 section 5.5.3)."""
        socket = Socket(Edge(MOCK))
        data = b"".join(socket.frames.send(Ping(b"%d" % number)) for number in range(50))
        socket.wire.send(data)
        socket.look()
        self.assertEqual([bytes(event.payload) for event in socket.events if isinstance(event, Pong)], [b"49"])

    def stalled(self) -> Any:
        edge = Edge("[server]\nwrite_timeout = 20\n" + MOCK)
        socket = Socket(edge)
        socket.wire.transport.dataBuffer = b"x" * 100  # for the progress of it
        socket.wire.protocol.channel.pauseProducing()
        return edge, socket

    def test_a_client_that_does_not_read(self) -> None:
        """It is not read either, and cut off after ``write_timeout``."""
        edge, socket = self.stalled()
        self.assertEqual(socket.wire.transport.producerState, "paused")
        edge.reactor.advance(20)
        self.assertTrue(socket.wire.transport.aborted)
        self.assertEqual(edge.reactor.pending(), [])

    def test_a_client_that_reads_slowly(self) -> None:
        edge, socket = self.stalled()
        edge.reactor.advance(19)
        socket.wire.transport.dataBuffer = b"x" * 99
        edge.reactor.advance(19)
        self.assertFalse(socket.wire.transport.gone)
        socket.wire.protocol.channel.resumeProducing()
        self.assertEqual(socket.wire.transport.producerState, "producing")
        edge.reactor.advance(21)
        self.assertFalse(socket.wire.transport.gone)

    def test_messages_that_wait(self) -> None:
        """They count in bytes, for the connection and in the budget."""
        edge = Edge(MOCK + "latency = 1\n")
        socket = Socket(edge)
        socket.ask()
        for letter in ("x", "\u20ac"):  # one byte and three
            socket.ask(messages=[{"role": "user", "content": letter * (WAITING_BYTES // 3)}])
        self.assertIn(f"{WAITING_BYTES} bytes wait", socket.texts()[-1])
        self.assertGreater(edge.site.edge.held.total, WAITING_BYTES // 4)
        for _ in range(3):
            edge.reactor.advance(1)
            socket.look()
        self.assertEqual(socket.texts().count("[DONE]"), 2)
        self.assertEqual(edge.site.edge.held.total, 0)

    def test_a_message_that_is_not_finished(self) -> None:
        """It counts, is closed on beyond the budget, and has no longer than any body."""
        edge = Edge(BUDGET.replace("[server]", "[server]\nidle_timeout = 20\nbody_timeout = 15") + MOCK)
        slow, large = Socket(edge), Socket(edge)
        slow.send(TextMessage("x" * 600000, message_finished=False))
        large.send(TextMessage("x" * 600000, message_finished=False))
        self.assertEqual((slow.closed(), large.closed()), (None, 1013))
        for _ in range(2):
            edge.reactor.advance(10)
            slow.look()
            slow.send(Pong(b"llmedge"))
        self.assertTrue(slow.wire.transport.aborted)
        self.assertEqual(edge.site.edge.held.total, 0)
