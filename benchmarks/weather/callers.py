"""Callers: each asks once and waits as long as he likes; others come at random times, whatever became of him."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol

from benchmarks.weather.sockets import LONG

_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
)


@attrs.frozen
class Load:
    """Calls that come: ``rate`` a second at random (Poisson), ``count`` of them at once, or of ``workers`` that ask
    again as soon as they are answered.

    :ivar begin: seconds after the beginning; ``seconds`` long.
    :ivar caller: whose key; ``long``: the prompt is, ``patience``: seconds until the caller leaves.
    :ivar judged: what becomes of it is what the scenario is about; of those only that begin after ``judged_from``.
    """

    rate: float = 0.0
    seconds: float = 0.0
    begin: float = 0.0
    count: int = 0
    workers: int = 0
    caller: str = ""
    stream: bool = False
    long: bool = False
    patience: float = 60.0
    judged: bool = True
    judged_from: float = 0.0


@attrs.define
class Call:
    """What became of one call. Times in seconds; ``began`` since the beginning, the others since then."""

    load: Load
    began: float
    status: int = 0
    first: float | None = None
    ended: float | None = None
    whole: bool = False

    @property
    def judged(self) -> bool:
        return self.load.judged and self.began >= self.load.judged_from

    @property
    def what(self) -> str:
        return "whole" if self.whole else str(self.status or "left")


class CallerProtocol(Protocol):
    """One call on a connection of its own."""

    def __init__(self, request: bytes, call: Call, clock: Any, began: float) -> None:
        self.call, self.done = call, Deferred[Call]()
        self._request, self._clock, self._began = request, clock, began
        self._received = b""
        self._patience = clock.callLater(call.load.patience, self._leave)

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if not self.call.status and len(self._received) > 12:
            self.call.status = int(self._received[9:12])
        if self.call.first is None and self._has_begun():
            self.call.first = self._took()

    def _has_begun(self) -> bool:
        if self.call.load.stream:
            return b'"content"' in self._received
        return b"\r\n\r\n" in self._received

    def connectionLost(self, reason: Any = None) -> None:
        if self._patience.active():
            self._patience.cancel()
        call = self.call
        call.ended = self._took()
        call.whole = call.status == 200 and self._is_whole()
        self._received = b""
        if not self.done.called:
            self.done.callback(call)

    def _is_whole(self) -> bool:
        head, _, body = self._received.partition(b"\r\n\r\n")
        if self.call.load.stream:
            return b"data: [DONE]" in body
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return bool(length) and len(body) == int(length[0][15:])

    def _took(self) -> float:
        took: float = self._clock.seconds() - self._began - self.call.began
        return took

    def _leave(self) -> None:
        self.transport.abortConnection()


class _One(ClientFactory):
    noisy = False

    def __init__(self, protocol: CallerProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: Any) -> CallerProtocol:
        return self._protocol

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._protocol.connectionLost()


class Crowd:
    """All callers of a run.

    :param keys: by caller's name.
    """

    def __init__(self, reactor: Any, port: int, keys: dict[str, str], random: Random) -> None:
        self.calls: list[Call] = []
        self._reactor, self._port, self._keys, self._random = reactor, port, keys, random
        self._began = reactor.seconds()
        self._left = 0
        self._over: Deferred[None] = Deferred()

    def come(self, loads: Sequence[Load]) -> Deferred[None]:
        """Fires when the last one has what he gets."""
        self._left = 1
        for load in loads:
            self._left += 1
            self._reactor.callLater(load.begin, self._start, load)
        self._one_less()
        return self._over

    def _start(self, load: Load) -> None:
        for _ in range(load.count):
            self._ask(load)
        for _ in range(load.workers):
            self._again(None, load)
        if load.rate:
            self._left += 1
            self._arrive(load, load.begin)
        self._one_less()

    def _arrive(self, load: Load, due: float) -> None:
        """Whoever was due by now, though this process may be late; and at another time the next one."""
        while due <= self._now():
            if due >= load.begin + load.seconds:
                self._one_less()
                return
            self._ask(load)
            due += self._random.expovariate(load.rate)
        self._reactor.callLater(max(0.0, due - self._now()), self._arrive, load, due)

    def _again(self, call: Call | None, load: Load) -> None:
        if self._now() >= load.begin + load.seconds:
            return
        if call is None or call.whole:
            self._ask(load).addCallback(self._again, load)
        else:
            self._left += 1
            self._reactor.callLater(0.05, self._after_a_while, load)

    def _after_a_while(self, load: Load) -> None:
        self._again(None, load)
        self._one_less()

    def _ask(self, load: Load) -> Deferred[Call]:
        call = Call(load, self._now())
        self.calls.append(call)
        self._left += 1
        content = LONG if load.long else "short"
        document = {"model": "m", "stream": load.stream, "messages": [{"role": "user", "content": content}]}
        body = json.dumps(document).encode()
        key = f"authorization: Bearer {self._keys[load.caller]}\r\n".encode() if load.caller else b""
        request = b"%b%bcontent-length: %d\r\n\r\n%b" % (_HEAD, key, len(body), body)
        protocol = CallerProtocol(request, call, self._reactor, self._began)
        self._reactor.connectTCP("127.0.0.1", self._port, _One(protocol))
        protocol.done.addCallback(self._ended)
        return protocol.done

    def _ended(self, call: Call) -> Call:
        self._reactor.callLater(0.0, self._one_less)  # after what the same call has others do
        return call

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._over.callback(None)

    def _now(self) -> float:
        now: float = self._reactor.seconds() - self._began
        return now


def share(calls: Sequence[Call]) -> float:
    """Of the calls, those that got their whole answer."""
    return sum(call.whole for call in calls) / max(1, len(calls))


def quantile(calls: Sequence[Call], at: float) -> float:
    """Seconds within which that share of the whole answers had begun (a stream), or was there."""
    found = sorted(call.first for call in calls if call.whole and call.first is not None)
    return found[min(len(found) - 1, int(len(found) * at))] if found else float("nan")


def ends(calls: Sequence[Call]) -> dict[str, int]:
    """How many ended how."""
    return dict(Counter(call.what for call in calls))
