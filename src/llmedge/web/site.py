"""The factory behind every listening port: which protocol a connection speaks, and how many there may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from twisted.web.server import Site

from llmedge.config.settings import Server
from llmedge.deadlines import Deadlines
from llmedge.errors import EdgeError
from llmedge.web.head import KnownHeads
from llmedge.web.http1 import EdgeChannel
from llmedge.web.http2 import PREFACE, EdgeHttp2
from llmedge.web.llhttp import LlhttpChannel
from llmedge.web.request import EdgeRequest


class EdgeProtocol(Protocol):
    """One connection, until its first bytes tell what it speaks: ALPN over TLS, HTTP/2's preface in cleartext."""

    factory: EdgeSite

    def __init__(self) -> None:
        self.channel: Any = None  # for HTTP/1.1 or HTTP/2, once it is known
        self.counted = False
        self.address = ""  # what it is counted for
        self._first = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if not self.factory.admit(self):
            transport.abortConnection()  # nothing cheaper can be said
            return
        self._timer = self.factory.clock.callLater(self.factory.limits.header_timeout, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        channel = self.channel
        if channel is not None:
            channel.dataReceived(data)
            return
        if not self.counted:
            return
        if not self.factory.recount(self):
            transport: Any = self.transport
            transport.abortConnection()
            return
        negotiated = getattr(self.transport, "negotiatedProtocol", None)
        self._first += data
        if negotiated is None and self._first != PREFACE and PREFACE.startswith(self._first):
            return  # could still be either
        http2 = negotiated == b"h2" or (negotiated is None and self._first.startswith(PREFACE))
        first, self._first = self._first, b""
        channel = EdgeHttp2(self.factory) if http2 else self.factory.http1()
        self._begin(channel)
        channel.dataReceived(first)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        self.factory.forget(self)
        if self.channel is not None:
            self.channel.connectionLost(reason)

    def _begin(self, channel: Any) -> None:
        self._stop_timer()
        self.channel = channel
        channel.makeConnection(self.transport)
        if isinstance(channel, EdgeHttp2):
            transport: Any = self.transport
            transport.registerProducer(channel, True)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def drain(self) -> None:
        """Close, at once or when the work under way is done."""
        if self.channel is not None:
            self.channel.drain()
        else:
            transport: Any = self.transport
            transport.loseConnection()


class EdgeSite(Site):
    """All connections of one service.

    :param reactor: the clock of requests and connections.
    :param gate: judges a request by its head and path, before its body is read.
    :ivar limits: what clients may send and hold open; may be replaced while running.
    :ivar beats: when the streams under way are due for a heartbeat.
    :ivar draining: the service is stopping; no connection is kept.
    """

    displayTracebacks = False
    noisy = False
    requestFactory: Any = EdgeRequest
    protocol: Any = EdgeProtocol

    def __init__(
        self,
        resource: IResource,
        reactor: Any,
        limits: Server,
        gate: Callable[[Any, bytes], EdgeError | None] = lambda request, path: None,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # twisted has no types here
            resource,
            requestFactory=EdgeRequest,
            timeout=limits.idle_timeout,
            parsePOSTFormSubmission=False,
            reactor=reactor,
        )
        self.clock = reactor
        self.limits = limits
        self.gate = gate
        self.draining = False
        self.heads = KnownHeads()
        self.beats = Deadlines(reactor, lambda relay: relay.beat(), grain=0.05)
        self.connections: set[EdgeProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._empty: Deferred[None] | None = None
        self._usual = (0, b"")

    def buildProtocol(self, addr: Any) -> Any:
        protocol = EdgeProtocol()
        protocol.factory = self
        return protocol

    def http1(self) -> Any:
        """A channel for one HTTP/1.1 connection, by the parser that ``server.http_parser`` names."""
        if self.limits.http_parser == "llhttp":
            return LlhttpChannel(self)
        channel: Any = EdgeChannel()  # type: ignore[no-untyped-call]  # twisted has no types here
        channel.factory = channel.site = self  # as ``HTTPFactory`` and ``Site`` would build it
        channel.requestFactory = self.requestFactory
        channel.timeOut = self.limits.idle_timeout
        channel.callLater = self.clock.callLater
        return channel

    def usual_lines(self) -> bytes:
        """The lines that the head of each answer has; made once a second."""
        now = int(self.clock.seconds())
        if now != self._usual[0]:
            date = datetimeToString(now)  # type: ignore[no-untyped-call]  # twisted has no types here
            self._usual = (now, b"Server: llmedge\r\nDate: %b\r\nX-Content-Type-Options: nosniff\r\n" % date)
        return self._usual[1]

    def admit(self, protocol: EdgeProtocol) -> bool:
        """Count a new connection; ``False`` where there are too many, in all or from its address."""
        address = _address(protocol)
        if self.draining or len(self.connections) >= self.limits.max_connections or self._is_full(address):
            return False
        self.connections.add(protocol)
        self._by_address[address] += 1
        protocol.address = address
        protocol.counted = True
        return True

    def recount(self, protocol: EdgeProtocol) -> bool:
        """Behind a proxy (``haproxy:``) the client's address comes with its first bytes; ``False`` if that has too
        many."""
        address = _address(protocol)
        if address == protocol.address:
            return True
        full = self._is_full(address)
        self._by_address[address] += 1
        self._uncount(protocol.address)
        protocol.address = address
        return not full

    def _is_full(self, address: str) -> bool:
        most = self.limits.max_connections_per_address
        return bool(most) and self._by_address[address] >= most

    def _uncount(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def forget(self, protocol: EdgeProtocol) -> None:
        if protocol.counted:
            protocol.counted = False
            self.connections.discard(protocol)
            self._uncount(protocol.address)
            if not self.connections and self._empty is not None:
                empty, self._empty = self._empty, None
                empty.callback(None)

    def drain(self) -> None:
        """Keep no connection beyond the work it is doing."""
        self.draining = True
        for protocol in tuple(self.connections):
            protocol.drain()

    def when_empty(self) -> Deferred[None]:
        """Fires when the last connection is gone."""
        empty: Deferred[None] = Deferred()
        if self.connections:
            self._empty = empty
        else:
            empty.callback(None)
        return empty

    def abort(self) -> None:
        """Drop every connection at once."""
        for protocol in tuple(self.connections):
            transport: Any = protocol.transport
            transport.abortConnection()

    def log(self, request: Any) -> None:
        """The access log is written from the record."""


def _address(protocol: EdgeProtocol) -> str:
    transport: Any = protocol.transport
    return str(getattr(transport.getPeer(), "host", ""))
