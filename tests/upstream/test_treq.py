"""treq on top of the agent: in memory, and over sockets."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.util import redirectTo
from zope.interface import implementer

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import UpstreamCut
from llmedge.upstream.agent import UpstreamAgent
from tests.e2e.service import TIMEOUT
from tests.upstream import loopback
from tests.upstream.in_memory import EMPTY, OK, URL, Bytes, InMemory, Producer

reactor: Any = _reactor


class Treq(InMemory):
    """treq on top, in memory."""

    def test_json(self) -> None:
        """Bodies are sent with their length and read as JSON."""
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
        """A body that is not whole fails."""
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
        """Methods, bodies of known and unknown length, and redirects that are not followed."""
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
