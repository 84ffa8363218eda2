"""What the end of the grace cuts off is told so, whatever it speaks, and is on record with what it cost."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, request
from tests.web.test_http2 import Http2
from tests.web.test_websocket import Socket
from tests.web.through import TOML, Through

PRICED = '[prices."*/*"]\ninput = 1000000\noutput = 1000000\n'
SLOW = PRICED + '[server]\nshutdown_grace = 5\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
UNAVAILABLE = "UNAVAILABLE"


class Cut(SynchronousTestCase):
    def begin(self, more: str) -> Edge:
        self.edge = Edge(SLOW + more)
        return self.edge

    def check(self, status: int, said: bool, index: int = -1) -> None:
        record = [each for each in self.edge.records if each.model][index]
        found = (record.status, record.outcome, record.error_code, record.routing.attempts[0].outcome)
        self.assertEqual(found, (status, "stopped", UNAVAILABLE, "aborted"))
        assert record.accounting.usage is not None
        self.assertTrue(record.accounting.estimated)
        self.assertEqual(record.accounting.usage.output > 0, said)
        tokens = record.accounting.usage.input + record.accounting.usage.output
        self.assertEqual(record.accounting.cost, tokens * 10**12)

    def test_a_whole_answer(self) -> None:
        """503 and the end of the connection."""
        edge = self.begin("latency = 60\n")
        wire = edge.wire()
        wire.send(request(body=CHAT))
        edge.site.drain()
        edge.site.cut()
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (503, UNAVAILABLE))
        self.assertEqual((response.headers["connection"], response.headers["retry-after"]), ("close", "1"))
        self.assertTrue(wire.transport.gone)
        self.check(503, said=False)

    def test_a_stream(self) -> None:
        """Its error event, then the connection ends with the answer visibly unfinished."""
        edge = self.begin("chunk_interval = 3\n")
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/messages", CHAT | {"max_tokens": 9}),
            ("/v1/responses", {"model": "m", "input": "one two"}),
        ):
            wire = edge.wire()
            wire.send(request(path=path, body=body | {"stream": True}))
            edge.reactor.pump([3.0] * 4)
            edge.site.cut()
            response = wire.response()
            self.assertIn(b'"code":"UNAVAILABLE"', response.body, path)
            self.assertEqual((response.status, response.complete), (200, False))
            self.assertTrue(wire.transport.gone)
            self.check(200, said=True)

    def test_before_a_stream_begins(self) -> None:
        """It is an error like any other."""
        edge = self.begin("latency = 60\n")
        wire = edge.wire()
        wire.send(request(body=CHAT | {"stream": True}))
        edge.site.cut()
        self.assertEqual(wire.response().status, 503)
        self.check(503, said=False)

    def test_what_is_not_complete(self) -> None:
        """A body that still comes is refused, half a head and silence are closed."""
        edge = self.begin("")
        half, head, idle, silent = edge.wire(), edge.wire(), edge.wire(), edge.wire()
        half.send(request(body=CHAT)[:-5])
        head.send(b"POST /v1/chat")
        idle.send(request("GET", "/health"))
        edge.site.cut()
        self.assertEqual(half.response().error["code"], UNAVAILABLE)
        self.assertEqual((edge.records[-1].status, edge.records[-1].outcome), (503, "stopped"))
        for wire in (half, head, idle, silent):
            self.assertTrue(wire.transport.gone)

    def test_http2(self) -> None:
        """Each stream of a connection gets its own end."""
        edge = self.begin("latency = 60\n")
        client = Http2(edge)
        whole, other = client.ask(CHAT), client.ask(CHAT | {"stream": True})
        edge.site.cut()
        client.flush()
        for stream in (whole, other):
            self.assertEqual((client.status(stream), client.ended(stream)), (503, True))
            self.assertEqual(json.loads(client.body(stream))["error"]["code"], UNAVAILABLE)
        edge.site.drain()
        self.assertTrue(client.wire.transport.gone)
        for index in (0, 1):
            self.check(503, said=False, index=index)

    def test_a_stream_of_http2(self) -> None:
        edge = self.begin("chunk_interval = 3\n")
        client = Http2(edge)
        stream = client.ask(CHAT | {"stream": True})
        edge.reactor.pump([3.0] * 4)
        edge.site.cut()
        client.flush()
        self.assertIn(b'"UNAVAILABLE"', client.body(stream))
        self.assertTrue(client.reset(stream))
        self.check(200, said=True)

    def test_a_websocket(self) -> None:
        """The answer under way ends with the error, then the socket closes with 1001."""
        edge = self.begin("chunk_interval = 3\n")
        busy, idle = Socket(edge), Socket(edge)
        busy.ask()
        edge.reactor.pump([3.0] * 4)
        edge.site.cut()
        for socket in (busy, idle):
            socket.look()
            self.assertEqual(socket.closed(), 1001)
        self.assertEqual(json.loads(busy.texts()[-1])["error"]["code"], UNAVAILABLE)
        self.check(200, said=True)


class PassedThrough(Through):
    def test_bytes(self) -> None:
        """Nothing can be said in them: the connection ends within them, and the request is on record."""
        self.begin(PRICED, TOML)
        wire = self.ask("/v1/audio/speech", {"model": "v/m", "input": "x"})
        vendor = self.vendor()
        vendor.chunked("audio/mpeg")
        vendor.chunk(b"ID3")
        self.edge.site.cut()
        self.assertFalse(wire.response().complete)
        self.assertTrue(wire.transport.gone)
        self.assertEqual((self.record.outcome, self.record.error_code), ("stopped", UNAVAILABLE))

    def test_an_upload(self) -> None:
        """That is still being read: who sends it is told, and so is the vendor."""
        self.begin(PRICED, TOML)
        head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n"
        head += b"content-type: multipart/form-data; boundary=b\r\n"
        part = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nv/m'
        wire = self.edge.wire()
        wire.send(head + b"content-length: 9999\r\n\r\n" + part)
        self.edge.site.cut()
        self.assertEqual(wire.response().error["code"], UNAVAILABLE)
        self.assertEqual((self.record.outcome, self.record.status), ("stopped", 503))


class Stopping(SynchronousTestCase):
    def stop(self, edge: Edge) -> list[Any]:
        ended: list[Any] = []
        edge.service.running = True
        stopping: Deferred[None] = edge.service.stopService()
        stopping.addBoth(ended.append)
        return ended

    def test_the_grace_has_an_end(self) -> None:
        """Who takes nothing of the last words does not hold up the end for more than a second."""
        edge = Edge(SLOW + "latency = 60\n")
        wire, deaf = edge.wire(), edge.wire()
        wire.send(request(body=CHAT))
        deaf.send(request(body=CHAT))
        deaf.transport.loseConnection = lambda: None  # type: ignore[method-assign]
        ended = self.stop(edge)
        edge.reactor.advance(0)
        edge.reactor.advance(4.9)
        self.assertEqual((ended, edge.records), ([], []))
        edge.reactor.advance(0.2)
        self.assertEqual(wire.response().status, 503)
        self.assertEqual(ended, [])
        edge.reactor.advance(1.0)
        self.assertEqual((ended, deaf.transport.aborted), ([None], True))
        self.assertEqual([record.outcome for record in edge.records], ["stopped", "stopped"])

    def test_a_second_signal(self) -> None:
        """Cuts off what is under way, and says so."""
        edge = Edge(SLOW + "latency = 60\n")
        wire = edge.wire()
        wire.send(request(body=CHAT))
        ended = self.stop(edge)
        edge.reactor.advance(0)
        self.assertEqual(ended, [])
        edge.service.hurry()
        self.assertEqual((wire.response().status, ended), (503, [None]))

    def test_one_last_read(self) -> None:
        """What lies in the socket of an idle connection when the stop comes is answered; its answer says that it is the
        last one. Only then are idle connections closed."""
        edge = Edge(SLOW)
        late, idle = edge.wire(), edge.wire()
        for wire in (late, idle):
            wire.send(request("GET", "/health"))
            wire.response()
        read = edge.site.last_read()
        self.assertNoResult(read)
        self.assertFalse(late.transport.gone)
        late.send(request(body=CHAT))  # the reactor reads what is there
        edge.reactor.advance(0)
        self.successResultOf(read)
        edge.site.drain()
        response = late.response()
        self.assertEqual((response.status, response.headers["connection"]), (200, "close"))
        self.assertTrue(late.transport.gone)
        self.assertTrue(idle.transport.gone)
