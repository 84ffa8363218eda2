"""HTTP/1.1 on the wire. ``test_http1_on_both_parsers`` runs all of it with the other parser as well."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from llmedge.body import HIGH_WATER, ClientGone
from llmedge.web import paths
from llmedge.web.answer import send_body
from tests.fakes import CHAT, Edge, parse_response, request
from tests.web.bare import BareEdge

GET = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nhost: h\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def parser() -> str:
    return Edge.http_parser or "llhttp"


class Framing(SynchronousTestCase):
    def bodies(self, *pieces: bytes) -> list[bytes]:
        """The bodies of the requests that ``pieces`` were taken for, one read each."""
        edge = BareEdge(parser())
        wire = edge.wire()
        for piece in pieces:
            wire.send(piece)
        return [body for *_, body in edge.resource.seen]

    def test_bodies(self) -> None:
        """With a length and in chunks, with extensions and trailers; the next request begins behind each."""
        for body in (
            POST + b"content-length: 5\r\n\r\nhello",
            CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n",
            CHUNKED + b"005\r\nhello\r\n000\r\n\r\n",
        ):
            data = body + GET + body
            self.assertEqual(self.bodies(data), [b"hello", b"", b"hello"])
            self.assertEqual(self.bodies(*(data[i : i + 1] for i in range(len(data)))), [b"hello", b"", b"hello"])

    def test_what_two_parsers_could_read_differently(self) -> None:
        """A 400, the end of the connection, and nothing behind it is a request."""
        for head in (
            POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            POST + b"content-length: 5, 5\r\n\r\nhello",
            POST + b"content-length: +5\r\n\r\nhello",
            POST + b"content-length: -5\r\n\r\nhello",
            POST + b"content-length: 0x5\r\n\r\nhello",
            POST + b"content-length: 5 5\r\n\r\nhello",
            POST + b"content-length:\r\n\r\nhello",
            POST + b"content-length : 5\r\n\r\nhello",
            POST + b"content-length\r\n\r\nhello",
            POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
            POST + b"x: a\0b\r\n\r\n",
            POST + b"x\0: a\r\n\r\n",
            POST + b"x: a\nb: c\r\n\r\n",
            POST + b"x: a\rb\r\n\r\n",
            POST + b" x: y\r\n\r\n" if parser() == "llhttp" else POST + b": y\r\n\r\n",
            CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"5_0\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
            CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"GET  /a HTTP/1.1\r\nhost: h\r\n\r\n",
            b"GET /a HTTP/1.1 \r\nhost: h\r\n\r\n",
            b"GET /a\r\n\r\n",
            b"G(T /a HTTP/1.1\r\nhost: h\r\n\r\n",
        ):
            edge = BareEdge(parser())
            wire = edge.wire()
            wire.send(head + GET)
            status = wire.response().status
            self.assertEqual((status, edge.resource.seen, wire.received()), (400, [], b""), head)
            self.assertTrue(wire.transport.gone, head)

    def test_where_the_reference_is_lenient(self) -> None:
        """Twisted waits for the CR that never comes, unfolds, and takes anything for a trailer, h11 takes a bare LF;
        ours has none of it."""
        for head in (
            b"GET /a HTTP/1.1\nhost: h\n\n",
            b"GET /a HTTP/1.1\r\nhost: h\n\r\n",
            b"GET /a HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n",
            CHUNKED + b"0\r\n\r\r\n\n",
            CHUNKED + b"0\r\nx: y\n\r\n\r\n",
            CHUNKED + b"0\r\nnothing\r\n\r\n",
            CHUNKED + b"0\r\ncontent-Length: 3\r\n\r\n",
            b"POST /a HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ):
            edge = BareEdge("llhttp")
            wire = edge.wire()
            wire.send(head + GET)
            self.assertEqual((wire.response().status, wire.transport.gone), (400, True), head)
            self.assertEqual(edge.resource.seen, [])

    def test_garbage_is_told_so_at_once(self) -> None:
        """Not when a timer runs out."""
        for first in (b"\x16\x03\x01\x02\0", b"GET /\0", b"GET / HTTP/1.1\r\nhost", b"GET / HTTP/1.1\r\nho st:"):
            wire = BareEdge("llhttp").wire()
            wire.send(first)
            self.assertEqual(bool(wire.received()), first[-1:] != b"t")

    def test_an_empty_line_before_a_request(self) -> None:
        """One is forgiven (RFC 9112 section 2.2)."""
        for pieces in ((b"\r\n\r\n" + GET,), (b"\r\n", b"\r\n", GET), (b"\n" + GET,)):
            edge = BareEdge("llhttp")
            wire = edge.wire()
            for piece in pieces:
                wire.send(piece)
            self.assertEqual((wire.response().status, edge.resource.seen), (400, []))
        self.assertEqual(self.bodies(b"\r\n" + GET + b"\r", b"\n" + GET), [b"", b""])
        self.assertEqual(self.bodies(*[GET, b"\r\n"] * 4), [b""] * 4)  # also of heads that are known

    def test_methods_and_targets(self) -> None:
        """Unknown methods are answered as any other; the asterisk form is a path; the query stays."""
        edge = BareEdge(parser())
        wire = edge.wire()
        for line in (b"BREW /a?b=c", b"PRI /a", b"OPTIONS *", b"GET http://x.example?q", b"M-SEARCH /", b"SOURCE /"):
            wire.send(line + b" HTTP/1.1\r\nhost: h\r\n\r\n")
        seen = [(method, uri, dict(headers)[b"host"]) for method, uri, headers, _ in edge.resource.seen]
        self.assertEqual(
            seen,
            [
                (b"BREW", b"/a?b=c", b"h"),
                (b"PRI", b"/a", b"h"),
                (b"OPTIONS", b"*", b"h"),
                (b"GET", b"/?q", b"x.example"),
                (b"M-SEARCH", b"/", b"h"),
                (b"SOURCE", b"/", b"h"),
            ],
        )


class Connections(SynchronousTestCase):
    def test_keeping_and_closing(self) -> None:
        """HTTP/1.1 stays open unless told otherwise, HTTP/1.0 never does."""
        for extra, version, kept in (
            (b"", b"1.1", True),
            (b"connection: keep-alive\r\n", b"1.1", True),
            (b"connection: close\r\n", b"1.1", False),
            (b"connection: Close\r\n", b"1.1", False),
            (b"", b"1.0", False),
        ):
            wire = BareEdge(parser()).wire()
            wire.send(b"GET /a HTTP/" + version + b"\r\nhost: h\r\n" + extra + b"\r\n" + GET)
            self.assertEqual(wire.response().status, 200)
            self.assertEqual((bool(wire.received()), wire.transport.gone), (kept, not kept))

    def test_head(self) -> None:
        """The same head as for GET, no body, and the next answer follows at once."""
        wire = BareEdge(parser()).wire()
        wire.send(GET.replace(b"GET", b"HEAD") + GET)
        first = wire.response(head=True)
        self.assertEqual((first.headers["content-length"], wire.response().body), ("2", b"ok"))

    def test_answers_stay_in_order(self) -> None:
        """A pipelined request waits for the one before it, and is then answered without another read."""
        waiting: list[Deferred[None]] = []

        async def slow(request: Any) -> None:
            waiting.append(Deferred())
            await waiting[-1]
            send_body(request, 200, request.uri, b"text/plain")

        edge = BareEdge(parser(), slow)
        wire = edge.wire()
        wire.send(b"".join(GET.replace(b"/a", b"/%d" % n) for n in range(3)))
        for number in range(3):
            self.assertEqual((len(waiting), wire.received()), (number + 1, b""))
            waiting[-1].callback(None)
            self.assertEqual(wire.response().body, b"/%d" % number)

    def test_a_client_that_does_not_read(self) -> None:
        """While its answers wait it gets no further: its socket is not read, and nothing pipelined is worked on."""
        edge = BareEdge(parser())
        wire = edge.wire()
        wire.send(GET)
        wire.response()
        wire.transport.producer.pauseProducing()
        self.assertEqual(wire.transport.producerState, "paused")
        wire.transport.producer.resumeProducing()
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(GET)
        self.assertEqual(wire.response().status, 200)

    def test_pipelining_waits_for_a_full_transport(self) -> None:
        """What was read already is not worked on before the client has taken what is written."""
        edge = BareEdge("llhttp")
        wire = edge.wire()
        wire.transport.high_water = 1
        wire.send(GET * 3)
        self.assertEqual(len(edge.resource.seen), 1)
        wire.transport.high_water = 0
        wire.transport.producer.resumeProducing()
        self.assertEqual((len(edge.resource.seen), wire.transport.producerState), (3, "producing"))

    def test_the_pace_reaches_the_producer(self) -> None:
        """What a request registered hears when the transport is full and when it is not."""

        @implementer(IPushProducer)
        class Producer:
            heard: list[str] = []

            def pauseProducing(self) -> None:
                self.heard.append("pause")

            def resumeProducing(self) -> None:
                self.heard.append("resume")

            def stopProducing(self) -> None:
                self.heard.append("stop")

        producer = Producer()

        async def produce(request: Any) -> None:
            request.registerProducer(producer, True)

        edge = BareEdge(parser(), produce)
        wire = edge.wire()
        wire.send(GET)
        wire.transport.producer.pauseProducing()
        self.assertEqual(wire.transport.producerState, "producing")  # or nobody would hear that the client left
        wire.transport.producer.resumeProducing()
        wire.transport.producer.stopProducing()
        self.assertEqual(producer.heard, ["pause", "resume", "stop"])
        wire.leave()

    def test_idle_time_counts_from_the_last_answer(self) -> None:
        """Not from the first request; and no timer is left behind."""
        edge = BareEdge(parser(), idle_timeout=10.0)
        wire = edge.wire()
        for _ in range(5):
            edge.clock.advance(6)
            wire.send(GET)
            self.assertEqual(wire.response().status, 200)
        edge.clock.advance(9)
        self.assertFalse(wire.transport.gone)
        edge.clock.advance(2)
        self.assertTrue(wire.transport.gone)
        self.assertEqual(edge.clock.getDelayedCalls(), [])

    def test_a_quick_request_costs_no_timer(self) -> None:
        """One timer a connection, whatever passes over it."""
        edge = BareEdge("llhttp")
        wire = edge.wire()
        wire.send(GET)
        calls = edge.clock.getDelayedCalls()
        wire.send(GET * 5 + POST + b"content-length: 2\r\n\r\nab")
        self.assertEqual(edge.clock.getDelayedCalls(), calls)

    def test_one_write_for_an_answer(self) -> None:
        """Head and body leave together."""
        wire = BareEdge("llhttp").wire()
        written: list[bytes] = []
        self.patch(wire.transport, "write", written.append)
        wire.send(GET)
        self.assertEqual(len(written), 1)


class StreamedBodies(SynchronousTestCase):
    """A handler that runs when the head is here and reads the body as it comes. The reference parser and HTTP/2 run
    it when the body is complete; for the handler it is the same."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(paths.PATHS, "streamed", {b"/a"})
        self.read: list[bytes] = []
        self.failed: list[Exception] = []
        self.gate: Deferred[None] | None = None

    async def take(self, request: Any) -> None:
        self.assertEqual(request.content.read(), b"")
        try:
            while data := await request.body.read():
                self.read.append(data)
                if self.gate is not None:
                    await self.gate
        except Exception as error:
            self.failed.append(error)
            raise
        send_body(request, 200, b"".join(self.read), b"text/plain")

    def test_whole(self) -> None:
        """Both framings, and the connection goes on behind them."""
        for body in (POST + b"content-length: 5\r\n\r\nhello", CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"):
            wire = BareEdge(parser(), self.take).wire()
            data = body + body
            for start in range(len(data)):
                wire.send(data[start : start + 1])
            first, rest = parse_response(wire.received())
            self.assertEqual((first.body, b"".join(self.read)), (b"hello", b"hellohello"))
            self.assertEqual(parse_response(rest)[0].body, b"hellohello")
            self.read.clear()

    def test_as_it_comes(self) -> None:
        """The handler has the first piece before the second is sent."""
        wire = BareEdge("llhttp", self.take).wire()
        wire.send(POST + b"content-length: 4\r\n\r\nab")
        self.assertEqual(self.read, [b"ab"])
        wire.send(b"cd")
        self.assertEqual(wire.response().body, b"abcd")

    def test_backpressure(self) -> None:
        """More than 64 KiB unread pause the client's socket; reading lets it go on."""
        self.gate = Deferred()
        edge = BareEdge("llhttp", self.take)
        wire = edge.wire()
        wire.send(POST + b"content-length: 200001\r\n\r\nx")
        wire.send(b"y" * 50000)
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(b"y" * 50000)
        self.assertEqual(wire.transport.producerState, "paused")
        edge.clock.advance(1000)  # our slowness is not the client's
        gate, self.gate = self.gate, None
        gate.callback(None)
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(b"y" * 100000)
        self.assertEqual(len(wire.response().body), 200001)
        self.assertLess(HIGH_WATER, 100000)

    def test_over_the_cap(self) -> None:
        """Announced or not, a 413."""
        for body in (POST + b"content-length: 11\r\n\r\n" + b"x" * 11, CHUNKED + b"b\r\n" + b"x" * 11 + b"\r\n"):
            edge = BareEdge(parser(), self.take, max_upload_size=10)
            wire = edge.wire()
            wire.send(body)
            edge.clock.advance(0)
            self.assertEqual(wire.response().status, 413)

    def test_too_slow(self) -> None:
        """A body that does not come in time is a 408."""
        edge = BareEdge(parser(), self.take, body_timeout=5.0)
        wire = edge.wire()
        wire.send(POST + b"content-length: 11\r\n\r\nx")
        edge.clock.advance(6)
        self.assertEqual((wire.response().status, wire.transport.gone), (408, True))

    def test_malformed(self) -> None:
        wire = BareEdge(parser(), self.take).wire()
        wire.send(CHUNKED + b"2\r\nhe\r\nx\r\n")
        self.assertEqual((wire.response().status, wire.transport.gone), (400, True))

    def test_a_client_that_leaves(self) -> None:
        wire = BareEdge("llhttp", self.take).wire()
        wire.send(POST + b"content-length: 11\r\n\r\nx")
        wire.leave()
        self.assertIsInstance(self.failed[0], ClientGone)

    def test_answered_before_the_end(self) -> None:
        """The rest is not waited for: the answer says close, and so it is."""

        async def refuse(request: Any) -> None:
            send_body(request, 200, b"enough", b"text/plain")

        wire = BareEdge("llhttp", refuse).wire()
        wire.send(POST + b"content-length: 11\r\n\r\nx")
        response = wire.response()
        self.assertEqual((response.body, response.headers["connection"]), (b"enough", "close"))
        self.assertTrue(wire.transport.gone)


class Service(SynchronousTestCase):
    def test_draining(self) -> None:
        """An idle connection closes at once, a busy one after its answer, which says so."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 1\n')
        idle, busy = edge.wire(), edge.wire()
        idle.send(request("GET", "/health"))
        busy.send(request(body=CHAT))
        edge.site.drain()
        self.assertEqual((idle.transport.gone, busy.transport.gone), (True, False))
        edge.reactor.advance(1)
        self.assertEqual(busy.response().headers["connection"], "close")
        self.assertTrue(busy.transport.gone)
