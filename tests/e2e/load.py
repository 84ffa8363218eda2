"""Callers who come at a steady pace, whatever becomes of their calls, each with an id of its own."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Iterable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall

reactor: Any = _reactor
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
BODY = json.dumps({"model": "mock/mock", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}).encode()
TICK = 0.01


class Load(Factory):
    """:param rate: calls a second. ``names``: what their ids begin with.

    :ivar answered: by their ids, when each was due, when its answer had come, and its status.
    """

    noisy = False

    def __init__(self, port: int, rate: float, names: str = "call", key: str = "") -> None:
        self._port, self._rate, self._names, self._key = port, rate, names, key
        self.answered: dict[str, tuple[float, float, int]] = {}
        self._numbers = itertools.count()
        self._due: deque[tuple[str, float]] = deque()
        self._idle: list[_Caller] = []
        self._connecting = 0
        self._owed = 0.0
        self._pace = LoopingCall.withCount(self._tick)
        self._stopped = False

    def start(self) -> Load:
        self._pace.start(TICK, now=False)
        return self

    def stop(self) -> None:
        """No more calls; those under way are left alone."""
        self._stopped = True
        if self._pace.running:
            self._pace.stop()
        self._due.clear()
        for caller in self._idle:
            caller.transport.loseConnection()  # type: ignore[union-attr]

    def ids(self, status: int = 200) -> set[str]:
        """Of calls that had this answer."""
        return {id for id, (_, _, had) in self.answered.items() if had == status}

    def took(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Seconds from when a call was due to its answer, of those that were due then; sorted."""
        return sorted(end - due for due, end, _ in self.answered.values() if since <= due < until)

    def _tick(self, ticks: int) -> None:
        now, wanted = reactor.seconds(), self._rate * TICK * ticks
        self._owed += wanted
        while self._owed >= 1:
            self._owed -= 1
            self._due.append((f"{self._names}-{next(self._numbers)}", now))
        self._serve()

    def _serve(self) -> None:
        while self._due and self._idle:
            self._idle.pop().ask(*self._due.popleft())
        for _ in range(min(len(self._due) - self._connecting, 50)):
            self._connecting += 1
            reactor.connectTCP("127.0.0.1", self._port, self)

    def request(self, id: str) -> bytes:
        key = f"Authorization: Bearer {self._key}\r\n" if self._key else ""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{key}X-Request-Id: {id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        return head.encode() + BODY

    def buildProtocol(self, address: Any) -> _Caller:
        return _Caller(self)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._connecting -= 1
        if self._due:
            self._due.popleft()  # nobody was asked

    def clientConnectionLost(self, connector: Any, reason: Any) -> None: ...

    startedConnecting = doStart = doStop = lambda *_: None

    def idle(self, caller: _Caller, new: bool = False) -> None:
        self._connecting -= new
        if self._stopped:
            caller.transport.loseConnection()  # type: ignore[union-attr]
            return
        self._idle.append(caller)
        self._serve()

    def gone(self, caller: _Caller) -> None:
        if caller in self._idle:
            self._idle.remove(caller)


class _Caller(Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._id, self._since = "", 0.0

    def connectionMade(self) -> None:
        self._load.idle(self, new=True)

    def ask(self, id: str, due: float) -> None:
        self._id, self._since, self._received = id, due, b""
        self.transport.write(self._load.request(id))  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and (length := _LENGTH.search(head)) and len(body) >= int(length[1]):
            self._load.answered[self._id] = (self._since, reactor.seconds(), int(head[9:12]))
            self._id = ""
            self._load.idle(self)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self._load.gone(self)


def share(took: list[float], of: float) -> float:
    """The time that this share of calls, ``took`` sorted, was answered within."""
    return took[min(len(took) - 1, int(len(took) * of))] if took else 0.0


def figures(name: str, took: Iterable[float]) -> str:
    """For whoever reads the test's output."""
    ordered = sorted(took)
    p50, p99 = share(ordered, 0.5) * 1000, share(ordered, 0.99) * 1000
    return f"{name}: {len(ordered)} calls, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {ordered[-1] * 1000:.0f} ms"
