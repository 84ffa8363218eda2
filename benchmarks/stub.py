"""An upstream that costs next to nothing: a fixed completion for every POST, 60 events at once, or events that drip.

A stream of the model ``drip`` never ends: an event every half second, whose text says when it was sent (``at=N;``, in
nanoseconds of the monotonic clock, which is one for all processes of a machine).

``python -m benchmarks.stub [PORT]`` prints its port.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import httptools
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

reactor: Any = _reactor

WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello " * 40}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60},
    }
).encode()


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


EVENTS = [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": f" word{i}"}) for i in range(58))]
USAGE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": []}
USAGE |= {"usage": {"prompt_tokens": 20, "completion_tokens": 58, "total_tokens": 78}}
STREAM = b"".join([*EVENTS, _chunk({}, "stop"), b"data: " + json.dumps(USAGE).encode() + b"\n\n", b"data: [DONE]\n\n"])
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE)
ANSWER_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER_STREAM += b"%x\r\n%b\r\n0\r\n\r\n" % (len(STREAM), STREAM)


DRIP_SECONDS = 0.5
"""Between two events of a stream that drips."""
SLOTS = 250
"""Moments within that time at which streams get theirs: as with real vendors, not all at once."""


def _drop() -> tuple[bytes, bytes]:
    """An event that drips, as a chunk of HTTP: what comes before the fifteen digits of its time, and after."""
    before, after = _chunk({"content": "at=;"}).split(b";", 1)
    return b"%x\r\n%b" % (len(before) + 15 + 1 + len(after), before), b";" + after + b"\r\n"


BEFORE, AFTER = _drop()
BEGIN_DRIPPING = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n" % (len(EVENTS[0]), EVENTS[0])
)


class Drips:
    """All streams that drip. One timer for them, since it is the gateway that is measured."""

    def __init__(self) -> None:
        self._slots: list[dict[Stub, None]] = [{} for _ in range(SLOTS)]
        self._next = itertools.cycle(self._slots)
        self._now = itertools.cycle(self._slots)
        self._timer = LoopingCall.withCount(self._tick)

    def add(self, stream: Stub) -> dict[Stub, None]:
        """Let it drip from now on; where it is kept."""
        slot = next(self._next)
        slot[stream] = None
        if not self._timer.running:
            self._timer.start(DRIP_SECONDS / SLOTS, now=False)
        return slot

    def _tick(self, due: int) -> None:
        for slot in itertools.islice(self._now, min(due, SLOTS)):
            for stream in tuple(slot):
                stream.drip()


class Stub(Protocol):
    drips = Drips()

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        self._parser = httptools.HttpRequestParser(self)
        self._stream = self._drips = False
        self._slot: dict[Stub, None] = {}
        self._behind = False

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._stream = b'"stream":true' in body
        self._drips = b'"drip"' in body

    def on_message_complete(self) -> None:
        transport: Any = self.transport
        if self._drips:
            transport.socket.send(BEGIN_DRIPPING)
            self._slot = self.drips.add(self)
            self.drip()
        else:
            transport.write(ANSWER_STREAM if self._stream else ANSWER)

    def drip(self) -> None:
        """Send an event, past Twisted's buffer as long as the socket takes it: a third of the work."""
        transport: Any = self.transport
        event = b"%b%015d%b" % (BEFORE, time.monotonic_ns(), AFTER)
        if self._behind:
            transport.write(event)
            return
        try:
            sent = transport.socket.send(event)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reactor hears of it too
        if sent < len(event):
            self._behind = True
            transport.write(event[sent:])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._slot.pop(self, None)


def main() -> None:
    factory = Factory.forProtocol(Stub)
    factory.noisy = False
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    port = reactor.listenTCP(wanted, factory, interface="127.0.0.1", backlog=4096)
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
