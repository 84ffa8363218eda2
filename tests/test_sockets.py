import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase

from llmedge.sockets import BUFFER, UNSENT, limit_buffer, limit_unsent, unsent, write_now
from tests.fakes import Transport


class Reactor:
    """Notes who wants to write."""

    def __init__(self) -> None:
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None: ...

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)


class Limits(SynchronousTestCase):
    """What is held for a client that does not read."""

    def test_in_the_kernel(self) -> None:
        """Each connection of a port has the port's limit; what has none stays as it is."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        limit_unsent(SimpleNamespace(socket=listening))
        client = socket.create_connection(listening.getsockname())
        self.addCleanup(client.close)
        ours, _ = listening.accept()
        self.addCleanup(ours.close)
        self.assertEqual(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT), UNSENT)
        with socket.socket(socket.AF_UNIX) as unix:
            limit_unsent(SimpleNamespace(socket=unix))
        limit_unsent(SimpleNamespace())

    def test_in_the_transport(self) -> None:
        """Within TLS it is the transport below that holds."""
        plain = SimpleNamespace(bufferSize=65536, transport=None)
        for transport in (plain, SimpleNamespace(transport=plain)):
            plain.bufferSize = 65536
            limit_buffer(transport)
            self.assertEqual(plain.bufferSize, BUFFER)
        limit_buffer(SimpleNamespace())


class WriteNow(SynchronousTestCase):
    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.reactor = Reactor()
        server: Any = Server
        self.transport = server(ours, Protocol(), ("127.0.0.1", 1), None, 1, self.reactor)

    def received(self) -> bytes:
        data = b""
        try:
            while piece := self.theirs.recv(65536):
                data += piece
        except BlockingIOError:
            pass
        return data

    def test_at_once(self) -> None:
        """The reactor is not asked."""
        write_now(self.transport, b"hello")
        self.assertEqual((self.received(), self.reactor.writers), (b"hello", set()))

    def test_what_does_not_fit(self) -> None:
        """It waits its turn, and so does whatever comes behind it: no byte overtakes another."""
        sent = bytes(range(256)) * 20000
        write_now(self.transport, sent)
        self.assertEqual(self.reactor.writers, {self.transport})
        self.assertGreater(unsent(self.transport), 0)
        write_now(self.transport, b"behind")
        data = self.received()
        while self.reactor.writers:
            self.transport.doWrite()
            data += self.received()
        self.assertEqual(data, sent + b"behind")

    def test_other_transports(self) -> None:
        """TLS, UNIX sockets and tests are written to as ever."""
        transport = Transport()
        write_now(transport, b"hello")
        self.assertEqual(transport.value(), b"hello")
