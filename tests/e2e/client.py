"""A client made of a real socket, which sends what it is told and sees every byte."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tests.fakes import Response, parse_response

reactor: Any = _reactor


class Client(Protocol):
    """One connection. ``received`` is all that came; ``closed`` fires when it is gone."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._waiters: list[tuple[bytes, Deferred[None]]] = []

    @classmethod
    async def connect(cls, port: int) -> Client:
        client: Client = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), cls())
        return client

    def send(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for waiter in [w for w in self._waiters if w[0] in self.received]:
            self._waiters.remove(waiter)
            waiter[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        for _, waiting in self._waiters:
            waiting.errback(AssertionError(f"closed; received {self.received!r}"))
        self._waiters.clear()
        self.closed.callback(None)

    async def wait_for(self, text: bytes) -> None:
        """Until ``text`` has been received."""
        if text in self.received:
            return
        waiting: Deferred[None] = Deferred()
        self._waiters.append((text, waiting))
        waiting.addTimeout(15, reactor)
        await waiting

    async def response(self) -> Response:
        """The answer of a connection that has been closed or is complete."""
        while True:
            if b"\r\n\r\n" in self.received:
                response, _ = parse_response(self.received)
                if response.complete or self.closed.called:
                    return response
            assert not self.closed.called, f"closed with {self.received!r}"
            await wait(0.01)

    def leave(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


def wait(seconds: float) -> Deferred[None]:
    from twisted.internet.task import deferLater

    return deferLater(reactor, seconds)
