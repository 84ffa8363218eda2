"""Reads and writes at a steady pace, and how long each read took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

reactor: Any = _reactor
EVERY = 0.004
"""Seconds between two reads."""


class Load:
    """A read and a write every few milliseconds, until it is stopped.

    :ivar latest: seconds that a read took at most; ``worst``: less those for which the reactor itself was held up.
    :ivar skipped: reads that were not asked.
    """

    def __init__(self, read: Callable[[], Deferred[Any] | None], write: Callable[[], None]) -> None:
        self._read, self._write = read, write
        self.worst = self.latest = 0.0
        self.asked = self.skipped = self.under_way = 0
        self.last: Any = None
        self._held_up = 0.0
        self._due = reactor.seconds()
        self._pace = LoopingCall(self._turn)

    def start(self) -> None:
        self._due = reactor.seconds()
        self._pace.start(EVERY, now=False)

    def stop(self) -> None:
        if self._pace.running:
            self._pace.stop()

    def forget(self) -> None:
        """Measure anew."""
        self.worst = self.latest = 0.0
        self.asked = self.skipped = 0

    def _turn(self) -> None:
        now = reactor.seconds()
        self._held_up += max(0.0, now - self._due - EVERY)
        self._due = now
        answer = self._read()
        if answer is None:
            self.skipped += 1
        else:
            self.asked += 1
            self.under_way += 1
            answer.addCallback(self._answered, now, self._held_up)
        self._write()

    def _answered(self, reply: Any, began: float, before: float) -> None:
        """:param before: seconds for which the reactor had been held up when it was asked."""
        self.under_way -= 1
        self.last = reply
        now = reactor.seconds()
        took, held_up = now - began, self._held_up - before + max(0.0, now - self._due - EVERY)
        self.latest = max(self.latest, took)
        self.worst = max(self.worst, took - held_up)


def logged(test: TestCase) -> list[str]:
    """What the client says in the log from now on."""
    lines: list[str] = []

    def log(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "llmedge.redis.client":
            lines.append(str(event["log_format"]).format(**event))

    globalLogPublisher.addObserver(log)
    test.addCleanup(globalLogPublisher.removeObserver, log)
    return lines


async def until(holds: Callable[[], object], what: str, patience: float = 60.0) -> float:
    """Seconds until something holds."""
    began = reactor.seconds()
    while not holds():
        assert reactor.seconds() - began < patience, what
        await pause(0.01)
    return float(reactor.seconds() - began)


async def pause(seconds: float) -> None:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    await done


class Delayed(Factory):
    """A port before another one, from which every answer takes longer.

    :ivar seconds: so much.
    """

    def __init__(self, test: TestCase, port: int) -> None:
        self.seconds = 0.0
        self._port = port
        self._front = reactor.listenTCP(0, self, interface="127.0.0.1")
        self._ends: list[Protocol] = []
        test.addCleanup(self._close)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._front.getHost().port}"

    def buildProtocol(self, address: Any) -> Protocol:
        asker, server = _End(), _End()
        asker.to = lambda data: server.write(data)
        server.to = lambda data: reactor.callLater(self.seconds, asker.write, data)
        asker.other, server.other = server, asker
        self._ends += [asker, server]
        TCP4ClientEndpoint(reactor, "127.0.0.1", self._port).connect(_Only(server))
        return asker

    async def _close(self) -> None:
        await self._front.stopListening()
        for end in self._ends:
            if end.transport is not None and end.connected:
                end.transport.abortConnection()  # type: ignore[attr-defined]
        await until(lambda: not any(end.connected for end in self._ends), "the connections are closed")
        await pause(self.seconds + 0.01)


class _Only(Factory):
    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: Any) -> Protocol:
        return self._protocol


class _End(Protocol):
    to: Callable[[bytes], object]
    other: _End

    def __init__(self) -> None:
        self._early = b""

    def connectionMade(self) -> None:
        self.write(b"")

    def write(self, data: bytes) -> None:
        self._early += data
        if self.connected:
            early, self._early = self._early, b""
            self.transport.write(early)

    def dataReceived(self, data: bytes) -> None:
        self.to(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.connected = 0
        if self.other.connected:
            self.other.transport.loseConnection()
