"""Our client on the real reactor, and servers of a few lines."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.upstream.client import Client
from tests.e2e.service import PATIENCE

reactor: Any = _reactor


def client(test: TestCase, limits: Upstream) -> Client:
    """A client that leaves the reactor clean: the timer that a pool's connections share ends with the test."""
    made = Client(reactor, limits)

    def close() -> None:
        made.close()
        for pool in made._pools.values():
            timer: Any = pool._deadlines._timer
            if timer is not None and timer.active():
                timer.cancel()

    test.addCleanup(close)
    return made


class PlainServer:
    """A socket that answers whatever comes first with ``answer``, one connection after the other, and closes.

    :ivar heard: what came first on each.
    """

    def __init__(self, answer: bytes, path: str = "") -> None:
        """:param path: of a unix socket to listen on, in the place of a port."""
        self._answer = answer
        self.heard: list[bytes] = []
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
            self.port = 0
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(PATIENCE)
                self.heard.append(connection.recv(65536))
                connection.sendall(self._answer)

    def stop(self) -> Deferred[None]:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        return deferToThread(self._thread.join, PATIENCE)


class Tunnels(Factory):
    """A proxy that opens a tunnel to whatever port is asked for, on this machine.

    :ivar heads: what it was asked.
    """

    noisy = False

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Near(self.heads)


class _End(Protocol):
    """One end of a tunnel."""

    transport: Any
    other: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is not None:
            self.other.transport.loseConnection()


class _Near(_End):
    def __init__(self, heads: list[bytes]) -> None:
        self._heads = heads
        self._head = b""

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            super().dataReceived(data)
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._heads.append(self._head)
            port = int(self._head.split(b" ")[1].rpartition(b":")[2])
            far = TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(_End))
            far.addCallback(self._open)

    def _open(self, far: Any) -> None:
        self.other, far.other = far, self
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
