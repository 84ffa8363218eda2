"""A client made of a real socket, which sends what it is told and sees every byte."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tests.e2e.service import PATIENCE
from tests.fakes import Response, parse_response

reactor: Any = _reactor


class Client(Protocol):
    """One connection. ``received`` is all that came; ``closed`` fires when it is gone."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._waiting: list[Deferred[None]] = []

    @classmethod
    async def connect(cls, port: int) -> Client:
        client: Client = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), cls())
        return client

    def send(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._wake()

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # by its timeout
                each.callback(None)

    async def wait_for(self, text: bytes) -> None:
        """Until ``text`` has been received."""
        while text not in self.received:
            assert not self.closed.called, f"closed; received {self.received!r}"
            await self.wait_for_more()

    async def wait_for_more(self) -> None:
        """Until something comes, or the end."""
        more: Deferred[None] = Deferred()
        self._waiting.append(more)
        more.addTimeout(PATIENCE, reactor)
        await more

    async def response(self) -> Response:
        """The answer of a connection that has been closed or is complete."""
        while True:
            if b"\r\n\r\n" in self.received:
                response, _ = parse_response(self.received)
                if response.complete or self.closed.called:
                    return response
            assert not self.closed.called, f"closed with {self.received!r}"
            await self.wait_for_more()

    def leave(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


def wait(seconds: float) -> Deferred[None]:
    from twisted.internet.task import deferLater

    return deferLater(reactor, seconds)
