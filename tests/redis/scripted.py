"""Servers in memory: what is said to them is read as they read it, and answered by a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from llmedge.config.redis_url import Address, parse_redis_url
from llmedge.redis.client import Redis
from llmedge.redis.connection import Connection
from llmedge.redis.places import Fixed, Sentinels
from llmedge.redis.refusals import Unavailable

OK, NIL, NILS = b"+OK\r\n", b"$-1\r\n", b"*2\r\n$-1\r\n$-1\r\n"


class Server:
    """:ivar answers: to commands, by their first word; ``b""`` for none yet, nor to what comes after it.

    :ivar away: why it cannot be reached, ``None``: for ever.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.answers: dict[bytes, bytes] = {b"AUTH": OK, b"SELECT": OK, b"SET": OK, b"MGET": NILS, b"GET": NIL}
        self.away: str | None = ""
        self.said: list[list[bytes]] = []
        self.connections: list[tuple[Connection, Wire]] = []

    async def connect(self, protocol: Callable[[], Connection]) -> Connection:
        if self.away is None:
            await Deferred()
        if self.away:
            raise Unavailable(self.away)
        connection = protocol()
        wire = Wire(self)
        self.connections.append((connection, wire))
        connection.makeConnection(wire)
        return connection

    def go_on(self) -> None:
        """Answer what was not answered yet."""
        for _, wire in self.connections:
            wire.go_on()

    def close(self) -> None:
        """All connections, as a server does that ends."""
        for connection, wire in self.connections:
            if not wire.disconnecting:
                connection.connectionLost(Failure(ConnectionDone()))
        self.connections.clear()


class Wire(StringTransport):
    """Answers before anybody can wonder why not."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._reader = hiredis.Reader()
        self._asked: deque[bytes] = deque()

    def write(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self._server.said.append(command)
            self._asked.append(command[0])
        self.go_on()

    def go_on(self) -> None:
        while self._asked and (answer := self._server.answers[self._asked[0]]):
            self._asked.popleft()
            self._server._clock.callLater(0, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        for connection, wire in self._server.connections:
            if wire is self and not self.disconnecting:
                connection.dataReceived(answer)


class Network:
    """Servers by their addresses."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.servers: dict[str, Server] = {}

    def server(self, address: str) -> Server:
        return self.servers.setdefault(address, Server(self.clock))

    async def connect(self, address: Address, protocol: Callable[[], Connection]) -> Connection:
        return await self.server(str(address)).connect(protocol)

    def close(self) -> None: ...

    def client(self, text: str) -> Redis:
        url = parse_redis_url(text)
        endpoints: Any = self
        places = Sentinels(self.clock, url, endpoints) if url.master else Fixed(url.addresses[0])
        return Redis(self.clock, url, places, endpoints, 0.05, b"p:", Random(1))
