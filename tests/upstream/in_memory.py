"""The agent in memory, bodies for it to send and a reader for what comes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from llmedge.config.egress import DEFAULT
from llmedge.config.origins import origin_of
from llmedge.config.sections.upstream import Upstream
from llmedge.upstream.agent import UpstreamAgent
from llmedge.upstream.client import Client, Pool
from llmedge.upstream.connection import Connection
from llmedge.upstream.exchange import HIGH_WATER
from tests.upstream.test_client import Endpoint

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
        self.client._pools[origin_of(URL), DEFAULT] = pool
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
