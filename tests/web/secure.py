"""A client's connection within TLS, in memory: OpenSSL on both ends, the clock turned by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from llmedge.tls import Identity, ServerTls
from tests.e2e.certificates import Authority


@cache
def server_tls() -> ServerTls:
    return ServerTls([Identity(*Authority().issue("server", "localhost"))])


class Socket(StringTransport):
    """Below TLS. Closes in the reactor's next turn, when all is written, as a socket does; never if it is ``stuck``.

    :ivar gone: it is closed, ``aborted`` if at once.
    """

    gone = aborted = False
    protocol: Any

    def __init__(self, clock: Any, peer: IPv4Address, stuck: bool) -> None:
        super().__init__(peerAddress=peer)
        self._stuck = stuck
        self._clock = clock

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def loseConnection(self) -> None:
        if not self.disconnecting and not self._stuck:
            self.disconnecting = True
            self._clock.callLater(0, self._close, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = self.disconnecting = True
        self._close(ConnectionLost())

    def _close(self, why: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(why))


class TlsWire:
    """One client connection to a site.

    :param polite: whether the client answers when TLS is closed.
    :param stuck: whether it takes nothing of what is written last, so that the socket cannot be closed.
    """

    def __init__(self, edge: Any, alpn: bytes = b"h2", polite: bool = True, stuck: bool = False) -> None:
        self._clock = edge.reactor
        self._polite = polite
        self.transport = Socket(self._clock, IPv4Address("TCP", "127.0.0.1", 40000), stuck)
        factory = TLSMemoryBIOFactory(server_tls(), False, edge.site, self._clock)
        self.transport.protocol = factory.buildProtocol(self.transport.getPeer())
        self.transport.protocol.makeConnection(self.transport)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([alpn])
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self._plain = bytearray()
        self.closed = False  # by TLS's own word for it
        self._move(self._shake)

    def _shake(self) -> None:
        self.tls.do_handshake()

    def _move(self, step: Any = None) -> None:
        """Exchange bytes until nothing moves."""
        for _ in range(1000):
            if step is not None:
                try:
                    step()
                    step = None
                except SSL.WantReadError:
                    pass
            self._read()
            moved = self._deliver()
            self._clock.advance(0)
            received = self.transport.value()
            self.transport.clear()
            if received:
                self.tls.bio_write(received)
                self._read()
            elif not moved:
                return

    def _deliver(self) -> bool:
        try:
            data = self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return False
        if not self.transport.gone:
            self.transport.protocol.dataReceived(data)
        return True

    def _read(self) -> None:
        while not self.closed:
            try:
                self._plain += self.tls.recv(1 << 16)
            except SSL.ZeroReturnError:
                self.closed = True
                if self._polite:
                    self.tls.shutdown()
            except (SSL.WantReadError, SSL.Error):
                return

    def send(self, data: bytes) -> None:
        if data and not self.transport.gone and not self.closed:
            self.tls.sendall(data)
        self._move()

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._move()

    def received(self) -> bytes:
        """What the client has read so far, since it was last asked."""
        self._move()
        data = bytes(self._plain)
        self._plain.clear()
        return data

    def leave(self) -> None:
        self.transport.abortConnection()
