"""The factory behind every listening port: which protocol a connection speaks, and how many there may be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from zope.interface import implementer

from llmedge.config.sections.server import Server
from llmedge.deadlines import stop
from llmedge.errors import EdgeError, Stopping
from llmedge.sockets import close, limit_buffer
from llmedge.web.answer import send_error
from llmedge.web.edge import Edge, Gate
from llmedge.web.http1_llhttp import LlhttpChannel
from llmedge.web.http1_twisted import TwistedChannel
from llmedge.web.http2 import PREFACE, EdgeHttp2
from llmedge.web.refusals import LINGER
from llmedge.web.request import EdgeRequest


class EdgeProtocol(Protocol):
    """One connection, until its first bytes tell what it speaks: ALPN over TLS, HTTP/2's preface in cleartext."""

    factory: EdgeSite

    def __init__(self) -> None:
        self.channel: Any = None  # for HTTP/1.1 or HTTP/2, once it is known
        self.address = ""  # what it is counted for
        self._first = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if not self.factory.admit(self):
            transport.abortConnection()  # nothing cheaper can be said
            return
        limit_buffer(transport)
        edge = self.factory.edge
        self._timer = edge.clock.callLater(edge.limits.header_timeout, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        if self not in self.factory.connections:
            return
        transport: Any = self.transport
        if not self.factory.recount(self):
            transport.abortConnection()
            return
        negotiated = getattr(transport, "negotiatedProtocol", None)
        self._first += data
        if negotiated is None and self._first != PREFACE and PREFACE.startswith(self._first):
            return  # could still be either
        http2 = negotiated == b"h2" or (negotiated is None and self._first.startswith(PREFACE))
        first, self._first = self._first, b""
        edge = self.factory.edge
        kind: Any = EdgeHttp2 if http2 else LlhttpChannel if edge.limits.http_parser == "llhttp" else TwistedChannel
        channel = self.channel = kind(edge, EdgeRequest)
        stop(self._timer)
        channel.makeConnection(transport)
        if http2:
            transport.registerProducer(channel, True)
        self.dataReceived = channel.dataReceived  # type: ignore[method-assign]  # from now on without a detour
        channel.dataReceived(first)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        stop(self._timer)
        self.factory.forget(self)
        if self.channel is not None:
            self.channel.connectionLost(reason)

    def drain(self) -> None:
        """Close, at once or when the work under way is done."""
        if self.channel is not None:
            self.channel.drain()
        else:
            transport: Any = self.transport
            stop(self._timer)
            self._timer = self.factory.edge.clock.callLater(LINGER, transport.abortConnection)
            close(transport)

    def cut(self, error: EdgeError) -> None:
        """End the work under way with ``error``, and close."""
        if self.channel is not None:
            self.channel.cut(error)
        else:
            self.drain()


@implementer(IProtocolNegotiationFactory)
class EdgeSite(Factory):
    """All connections of one service.

    :param reactor: the clock of requests and connections.
    :param gate: see :class:`llmedge.web.edge.Edge`.
    :ivar edge: what the connections and requests are given.
    """

    noisy = False

    def __init__(
        self, resource: IResource, reactor: Any, limits: Server, gate: Gate = lambda request, path: None
    ) -> None:
        self.edge = Edge(reactor, resource, limits, gate, send_error)
        self.connections: set[EdgeProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        protocol = EdgeProtocol()
        protocol.factory = self
        return protocol

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may negotiate (ALPN)."""
        return [b"h2", b"http/1.1"]

    def admit(self, protocol: EdgeProtocol) -> bool:
        """Count a new connection; ``False`` where there are too many, in all or from its address."""
        edge, address = self.edge, _address(protocol)
        if edge.draining or len(self.connections) >= edge.limits.max_connections or self._is_full(address):
            return False
        self.connections.add(protocol)
        self._by_address[address] += 1
        protocol.address = address
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
        most = self.edge.limits.max_connections_per_address
        return bool(most) and self._by_address[address] >= most

    def _uncount(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def forget(self, protocol: EdgeProtocol) -> None:
        if protocol in self.connections:
            self.connections.remove(protocol)
            self._uncount(protocol.address)
            if not self.connections and self._empty is not None:
                empty, self._empty = self._empty, None
                empty.callback(None)

    def last_read(self) -> Deferred[None]:
        """Each connection is read once more: what its socket holds is still answered, and is its last. Fires when that
        is done."""
        self.edge.draining = True
        read: Deferred[None] = Deferred()
        # The reactor looks at sockets between two rounds of what is due at once.
        self.edge.clock.callLater(0, lambda: self.edge.clock.callLater(0, read.callback, None))
        return read

    def drain(self) -> None:
        """Keep no connection beyond the work it is doing."""
        self.edge.draining = True
        for protocol in tuple(self.connections):
            protocol.drain()

    def cut(self) -> None:
        """End the work of every connection: each client is told, and each request is on record."""
        for protocol in tuple(self.connections):
            protocol.cut(Stopping())

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


def _address(protocol: EdgeProtocol) -> str:
    transport: Any = protocol.transport
    return str(getattr(transport.getPeer(), "host", ""))
