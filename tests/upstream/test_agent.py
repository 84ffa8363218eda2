"""Twisted's interface to our connections: alone, and below treq."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.util import redirectTo
from zope.interface import implementer
from zope.interface.verify import verifyObject

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import ConnectFailed, UpstreamCut, UpstreamMalformed, UpstreamTimeout, UpstreamTooLarge
from llmedge.upstream.agent import UpstreamAgent
from llmedge.upstream.body_producer import HELD
from llmedge.upstream.client import Client, Pool
from llmedge.upstream.connection import Connection
from llmedge.upstream.exchange import HIGH_WATER
from tests.e2e.service import TIMEOUT
from tests.upstream import loopback
from tests.upstream.test_client import Endpoint

reactor: Any = _reactor
URL = "http://a.example/x?y=1"
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


@implementer(IBodyProducer)
class Producer:
    """Writes when it is told to."""

    def __init__(self, length: Any = UNKNOWN_LENGTH) -> None:
        self.length = length
        self.calls: list[str] = []
        self.consumer: Any = None
        self.done: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        return self.done

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@implementer(IBodyProducer)
class Bytes(Producer):
    """All at once."""

    def __init__(self, data: bytes, length: int | None = None) -> None:
        super().__init__(len(data) if length is None else length)
        self.data = data

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self.data)
        return succeed(None)


class Reader(Protocol):
    """:ivar reason: why there is no more."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008
        assert self.reason is None
        self.reason = reason.value


class InMemory(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.limits = Upstream(
            idle_timeout=3, first_byte_timeout=7, connect_timeout=5, max_response_size=HIGH_WATER * 4
        )
        self.client = Client(self.clock, self.limits)
        pool = Pool(self.clock, self.endpoint, self.limits, secure=False)
        self.client._pools[("http", "a.example", 80)] = pool
        self.agent = UpstreamAgent(self.clock, self.client, self.limits, timeout=20)

    def ask(self, method: bytes = b"GET", body: Any = None, headers: Any = None, url: str = URL) -> Deferred[Any]:
        return self.agent.request(method, url.encode(), None if headers is None else Headers(headers), body)

    def connected(self) -> Connection:
        """The connection that carries the request at hand."""
        if self.endpoint.waiting:
            self.endpoint.succeed()
        return self.endpoint.connections[-1]

    def sent(self) -> bytes:
        data: bytes = self.connected().transport.value()
        return data

    def answer(self, asking: Deferred[Any], *pieces: bytes) -> Any:
        connection = self.connected()
        for piece in pieces:
            connection.dataReceived(piece)
        return self.successResultOf(asking)

    def read(self, response: Any) -> Reader:
        reader = Reader()
        response.deliverBody(reader)
        return reader


class Requests(InMemory):
    def test_the_head(self) -> None:
        self.assertTrue(verifyObject(IAgent, self.agent))
        self.ask(headers={"x-a": ["1", "2"], "content-length": ["7"], "connection": ["close"]})
        head = b"GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        self.assertEqual(self.sent(), head)

    def test_what_is_asked_for(self) -> None:
        """No path is ``/``, the fragment stays here, a Host that is given goes."""
        self.ask(url="http://a.example#top", headers={"host": ["b.example"]})
        self.assertEqual(self.sent(), b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")
        self.assertEqual(self.endpoint.connections[0].transport.aborted, False)

    def test_bodies(self) -> None:
        """A small one goes with the head; POST without one says so (RFC 9110 section 8.6)."""
        for body, sent in ((Bytes(b"abc"), b"Content-Length: 3\r\n\r\nabc"), (None, b"Content-Length: 0\r\n\r\n")):
            self.setUp()
            self.answer(self.ask(b"POST", body), EMPTY)
            self.assertEqual(self.sent(), b"POST /x?y=1 HTTP/1.1\r\nHost: a.example\r\n" + sent)

    def test_a_small_body_survives_a_stale_connection(self) -> None:
        self.answer(self.ask(), EMPTY)
        stale = self.connected()
        stale.transport.clear()
        asking = self.ask(b"POST", Bytes(b"abc"))
        stale.transport._tempDataLen = len(stale.transport.value())
        stale.transport.loseConnection()
        self.assertEqual(self.answer(asking, EMPTY).code, 200)
        self.assertTrue(self.sent().endswith(b"\r\n\r\nabc"))

    def test_a_body_of_unknown_length(self) -> None:
        """In chunks, as they come."""
        producer = Producer()
        asking = self.ask(b"PUT", producer)
        self.assertTrue(self.sent().endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        producer.consumer.write(b"abc")
        producer.consumer.write(b"")
        producer.consumer.write(b"de")
        self.assertTrue(self.sent().endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"))
        producer.done.callback(None)
        self.assertTrue(self.sent().endswith(b"\r\n0\r\n\r\n"))
        self.assertEqual(self.answer(asking, EMPTY).code, 200)
        self.assertEqual(producer.calls, [])

    def test_a_large_body(self) -> None:
        """Of known length: framed by it, and held back at the pace of the socket."""
        producer = Producer(HELD * 4)
        self.ask(b"POST", producer)
        connection = self.connected()
        self.assertIn(b"Content-Length: %d\r\n" % (HELD * 4), self.sent())
        connection.transport.producer.pauseProducing()
        producer.consumer.write(b"x")
        producer.consumer.write(b"x" * (HELD + 1))
        self.assertEqual(producer.calls, ["pause"])
        connection.transport.producer.resumeProducing()
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.assertTrue(self.sent().endswith(b"x" * (HELD + 2)))

    def test_bodies_that_are_not_as_long_as_they_say(self) -> None:
        """Such a request is not completed; nothing of it goes out if it is small."""
        for length in (2, 4):
            self.failureResultOf(self.ask(b"POST", Bytes(b"abc", length)), ValueError)
        self.assertEqual((self.endpoint.waiting, self.endpoint.connections), ([], []))
        for size, calls in ((HELD, []), (HELD * 2 + 1, ["stop"])):
            producer = Producer(HELD * 2)
            asking = self.ask(b"POST", producer)
            connection = self.connected()
            producer.consumer.write(b"x" * size)
            producer.done.callback(None)
            self.failureResultOf(asking, ValueError)
            self.assertTrue(connection.transport.aborted)
            self.assertEqual([call for call in producer.calls if call == "stop"], calls)

    def test_a_body_that_fails(self) -> None:
        for length in (3, UNKNOWN_LENGTH):
            producer = Producer(length)
            asking = self.ask(b"POST", producer)
            if length is UNKNOWN_LENGTH:
                self.connected()
            producer.done.errback(Failure(KeyError("no more")))
            self.failureResultOf(asking, KeyError)
            self.assertEqual(producer.calls, [])
        self.assertTrue(self.connected().transport.aborted)

    def test_an_early_answer(self) -> None:
        """Who refuses a body is not sent the rest of it (RFC 9112 section 9.5)."""
        producer = Producer()
        asking = self.ask(b"POST", producer)
        connection = self.connected()
        producer.consumer.write(b"abc")
        response = self.answer(asking, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        self.assertEqual((response.code, self.read(response).data, producer.calls), (413, b"no", ["stop"]))
        producer.consumer.write(b"more")
        self.assertFalse(connection.usable)

    def test_what_cannot_be_asked(self) -> None:
        for method, url, headers in (
            (b"GET", "ftp://a.example/", {}),
            (b"GET", "/x", {}),
            (b"GET", "http://", {}),
            (b"GET", "http://user:secret@a.example/", {}),
            (b"GET", "http://a.example:x/", {}),
            (b"GET", "http://a.example/ HTTP/1.1\r\nx: y", {}),
            (b"GET /", URL, {}),
            (b"GET", URL, {"host": ["a\r\nx: y"]}),
        ):
            asking = self.ask(method, url=url, headers=headers)
            if headers:  # twisted's Headers make one line of it
                self.assertNotIn(b"\r\nx: y", self.sent())
            else:
                self.assertNotIn("secret", self.failureResultOf(asking, ValueError).getErrorMessage())

    def test_origins(self) -> None:
        """Where they are given nobody else is asked, whatever a redirect says."""
        self.agent = UpstreamAgent(self.clock, self.client, self.limits, origins=["http://A.example:80/any/path"])
        self.answer(self.ask(), EMPTY)
        for url in ("https://a.example/", "http://a.example:81/", "http://b.example/", "http://[::1]/"):
            self.failureResultOf(self.ask(url=url), ValueError)
        self.assertEqual(len(self.client._pools), 1)


class Times(InMemory):
    def test_cancelling(self) -> None:
        """Stops the connecting, or the answer, and the body's producer."""
        connecting = self.ask()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.endpoint.waiting.clear()
        producer = Producer()
        sending = self.ask(b"POST", producer)
        connection = self.connected()
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual((connection.transport.aborted, producer.calls), (True, ["stop"]))
        collecting = Producer(3)
        self.failureResultOf(self.cancelled(self.ask(b"POST", collecting)), CancelledError)
        self.assertEqual((collecting.calls, self.clock.getDelayedCalls()), (["stop"], []))

    def cancelled(self, asking: Deferred[Any]) -> Deferred[Any]:
        asking.cancel()
        return asking

    def test_limits_of_upstream(self) -> None:
        """connect_timeout, then first_byte_timeout."""
        asking = self.ask()
        self.clock.advance(5.1)
        self.failureResultOf(asking, ConnectFailed)
        self.endpoint.waiting.clear()
        asking = self.ask()
        self.connected()
        self.clock.advance(7.1)
        self.failureResultOf(asking, UpstreamTimeout)

    def test_its_own_limit(self) -> None:
        """Holds where no other does."""
        asking = self.ask(b"POST", Producer())
        connection = self.connected()
        self.clock.advance(20.1)
        self.assertIn("within 20 s", self.failureResultOf(asking, UpstreamTimeout).value.message)
        self.assertTrue(connection.transport.aborted)

    def test_a_slow_body_has_its_own(self) -> None:
        """Once the headers are here only silence counts."""
        reader = self.read(self.answer(self.ask(), OK + b"Content-Length: 100\r\n\r\n"))
        for _ in range(20):
            self.clock.advance(2.5)
            self.connected().dataReceived(b"x")
        self.assertIsNone(reader.reason)
        self.clock.advance(3.1)
        self.assertIsInstance(reader.reason, UpstreamTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_body_that_nobody_reads(self) -> None:
        """Does not hold its connection for ever."""
        response = self.answer(self.ask(), OK + b"Content-Length: 100\r\n\r\nabc")
        self.clock.advance(3.1)
        self.assertTrue(self.connected().transport.aborted)
        reader = self.read(response)
        self.assertEqual(reader.data, b"abc")
        self.assertIsInstance(reader.reason, UpstreamTimeout)


class Answers(InMemory):
    def test_a_whole_answer(self) -> None:
        response = self.answer(
            self.ask(headers={"x-a": ["b"]}), b"HTTP/1.1 201 What\r\nContent-Length: 5\r\nX-B: c\r\n\r\nhel"
        )
        self.assertTrue(verifyObject(IResponse, response))
        self.assertTrue(verifyObject(IClientRequest, response.request))
        self.assertEqual((response.code, response.phrase, response.version), (201, b"Created", (b"HTTP", 1, 1)))
        self.assertEqual((response.length, response.headers.getRawHeaders("x-b")), (5, ["c"]))
        self.assertEqual((response.request.method, response.request.absoluteURI), (b"GET", URL.encode()))
        self.assertEqual(response.request.headers.getRawHeaders("x-a"), ["b"])
        reader = self.read(response)
        self.assertEqual((reader.data, reader.reason), (b"hel", None))
        self.connected().dataReceived(b"lo")
        self.assertEqual(reader.data, b"hello")
        self.assertIsInstance(reader.reason, ResponseDone)
        self.assertTrue(self.connected().usable)
        self.assertRaises(RuntimeError, response.deliverBody, Reader())
        self.answer(self.ask(), EMPTY)
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_lengths_and_ends(self) -> None:
        """Only a body that nothing but the connection's end delimits may have lost some of itself."""
        for head, body, length, end in (
            (b"Content-Length: 2\r\n", b"ok", 2, ResponseDone),
            (b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n\r\n", UNKNOWN_LENGTH, ResponseDone),
            (b"", b"ok", UNKNOWN_LENGTH, PotentialDataLoss),
            (b"Content-Length: 3\r\n", b"ok", 3, UpstreamCut),
            (b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n", UNKNOWN_LENGTH, UpstreamCut),
        ):
            self.setUp()
            response = self.answer(self.ask(), OK + head + b"\r\n" + body)
            self.assertEqual(response.length, length)
            reader = self.read(response)
            self.connected().transport.loseConnection()
            self.assertEqual((reader.data, type(reader.reason)), (b"ok", end), head)

    def test_answers_without_a_body(self) -> None:
        """Whatever their headers say (RFC 9112 section 6.3, rule 1)."""
        for method, status in ((b"HEAD", b"200"), (b"GET", b"204"), (b"GET", b"304")):
            self.setUp()
            head = b"HTTP/1.1 " + status + b" X\r\n" + (b"Content-Length: 9\r\n" if status != b"204" else b"") + b"\r\n"
            response = self.answer(self.ask(method), head)
            self.assertEqual(response.length, 0)
            self.assertIsInstance(self.read(response).reason, ResponseDone)
            self.assertEqual(self.connected().usable, method == b"GET")

    def test_redirects_are_answers(self) -> None:
        response = self.answer(self.ask(), b"HTTP/1.1 302 X\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((response.code, response.headers.getRawHeaders("location")), (302, ["http://b/"]))
        other = self.answer(self.ask(), EMPTY)
        other.setPreviousResponse(response)
        self.assertIs(other.previousResponse, response)

    def test_interim_answers(self) -> None:
        response = self.answer(self.ask(), b"HTTP/1.1 103 X\r\nlink: x\r\n\r\n", EMPTY)
        self.assertEqual((response.code, response.headers.hasHeader("link")), (200, False))

    def test_too_much(self) -> None:
        asking = self.ask()
        self.connected().dataReceived(OK + b"".join(b"x-%d: y\r\n" % i for i in range(300)) + b"\r\n")
        self.failureResultOf(asking, UpstreamMalformed)
        response = self.answer(self.ask(), OK + b"Content-Length: 1000000\r\n\r\n")
        reader = self.read(response)
        for _ in range(5):
            self.connected().dataReceived(b"x" * HIGH_WATER)
        self.assertIsInstance(reader.reason, UpstreamTooLarge)
        self.assertEqual(len(reader.data), HIGH_WATER * 4)
        self.assertTrue(self.connected().transport.aborted)

    def test_backpressure(self) -> None:
        """A reader that pauses pauses the socket."""
        reader = self.read(self.answer(self.ask(), OK + b"Content-Length: 1000000\r\n\r\nx"))
        transport = self.connected().transport
        reader.transport.pauseProducing()
        for _ in range(3):
            self.connected().dataReceived(b"y" * HIGH_WATER)
        self.assertEqual((reader.data.count(b"y"), transport.producerState), (HIGH_WATER, "paused"))
        reader.transport.resumeProducing()
        self.assertEqual((reader.data.count(b"y"), transport.producerState), (HIGH_WATER * 3, "producing"))

    def test_a_reader_that_leaves(self) -> None:
        """From within ``dataReceived`` and from without."""
        for within in (True, False):
            self.setUp()
            reader = Reader()
            if within:
                reader.dataReceived = lambda data, reader=reader: reader.transport.loseConnection()  # type: ignore
            self.answer(self.ask(), OK + b"Content-Length: 9\r\n\r\nx").deliverBody(reader)
            if not within:
                reader.transport.stopProducing()
            self.assertIsInstance(reader.reason, ConnectionAborted)
            self.assertTrue(self.connected().transport.aborted)

    def test_a_reader_that_fails(self) -> None:
        reader = Reader()
        reader.dataReceived = lambda data: {}["no"]  # type: ignore
        self.answer(self.ask(), OK + b"Content-Length: 9\r\n\r\nx").deliverBody(reader)
        self.assertIsInstance(reader.reason, KeyError)
        self.assertTrue(self.connected().transport.aborted)


class Treq(InMemory):
    """treq on top, in memory."""

    def test_json(self) -> None:
        http = HTTPClient(self.agent, data_to_body_producer=Bytes)  # type: ignore
        asking = http.post(URL, json={"a": 1}, reactor=self.clock)
        response = self.answer(asking, OK + b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n")
        self.assertTrue(self.sent().endswith(b'\r\nContent-Length: 7\r\n\r\n{"a":1}'))
        self.assertIn(b"\r\nContent-Type: application/json", self.sent())
        reading = response.json()
        self.connected().dataReceived(b'{"b":2}')
        self.assertEqual(self.successResultOf(reading), {"b": 2})
        self.assertEqual(self.successResultOf(response.content()), b'{"b":2}')

    def test_treq_follows_redirects(self) -> None:
        """It does so itself, as far as we ask there."""
        self.agent = UpstreamAgent(self.clock, self.client, self.limits, origins=["http://a.example"])
        for location, answered in ((b"/other", True), (b"http://b.example/", False)):
            asking = HTTPClient(self.agent).get(URL, reactor=self.clock)  # type: ignore
            self.connected().dataReceived(
                b"HTTP/1.1 302 X\r\nLocation: " + location + b"\r\nContent-Length: 2\r\n\r\nno"
            )
            if answered:
                self.assertIn(b"GET /other HTTP/1.1\r\n", self.sent())
                self.assertEqual(len(self.answer(asking, EMPTY).history()), 1)
            else:
                self.failureResultOf(asking, ValueError)

    def test_a_cut(self) -> None:
        response = self.answer(HTTPClient(self.agent).get(URL, reactor=self.clock), OK + b"Content-Length: 7\r\n\r\n")  # type: ignore
        reading = response.content()
        self.connected().transport.loseConnection()
        self.failureResultOf(reading, UpstreamCut)


class Echo(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        if request.path == b"/redirect":
            return redirectTo(b"/other", request)
        if request.path == b"/slow":
            request.write(b"x")
            return NOT_DONE_YET
        request.setHeader(b"content-type", b"text/plain")
        return request.method + b" " + request.uri

    def render_POST(self, request: Any) -> bytes:
        body: bytes = request.content.read()
        request.setHeader(b"content-type", request.getHeader(b"content-type") or b"")
        request.setHeader(b"x-length", request.getHeader(b"content-length") or b"none")
        return body


class Loopback(TestCase):
    """treq on top, over sockets, to twisted.web's server."""

    timeout = TIMEOUT

    def setUp(self) -> None:
        port = reactor.listenTCP(0, Site(Echo()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        limits = Upstream()
        client = loopback.client(self, limits)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.http: Any = HTTPClient(UpstreamAgent(reactor, client, limits, origins=[self.url]))  # type: ignore
        self.pool = client.pool_for(self.url)

    async def test_asking(self) -> None:
        response = await self.http.get(f"{self.url}/a", params={"b": "c d"})
        self.assertEqual((response.code, await response.text()), (200, "GET /a?b=c+d"))
        response = await self.http.post(self.url, json=[1, {"a": "é"}])
        self.assertEqual(await response.json(), [1, {"a": "é"}])
        response = await self.http.post(self.url, data=b"x" * 300_000)
        self.assertEqual(response.headers.getRawHeaders("x-length"), ["300000"])
        self.assertEqual(len(await response.content()), 300_000)
        response = await self.http.post(self.url, data=Chunks(b"one ", b"two"))
        self.assertEqual((await response.content(), response.headers.getRawHeaders("x-length")), (b"one two", ["none"]))
        response = await self.http.head(f"{self.url}/a")
        self.assertEqual((response.code, await response.content()), (200, b""))
        response = await self.http.get(f"{self.url}/redirect", allow_redirects=False)
        self.assertEqual((response.code, response.headers.getRawHeaders("location")), (302, ["/other"]))
        self.assertIn(b"/other", await response.content())

    async def test_leaving(self) -> None:
        """An answer that does not end is left, and its connection closed."""
        response = await self.http.get(f"{self.url}/slow", unbuffered=True)
        parts: list[bytes] = []
        begun: Deferred[None] = Deferred()

        class First(Protocol):
            def dataReceived(self, data: bytes) -> None:
                parts.append(data)
                begun.callback(None)

            def connectionLost(self, reason: Any = None) -> None: ...

        first = First()
        response.deliverBody(first)
        await begun
        self.assertEqual((parts, len(self.pool._open)), ([b"x"], 1))
        first.transport.loseConnection()  # type: ignore
        while self.pool._open:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0.01, pause.callback, None)
            await pause


@implementer(IBodyProducer)
class Chunks(Producer):
    """A piece a turn."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        super().startProducing(consumer)
        self.turn()
        return self.done

    def turn(self) -> None:
        if self.pieces:
            self.consumer.write(self.pieces.pop(0))
            reactor.callLater(0, self.turn)
        else:
            self.done.callback(None)
