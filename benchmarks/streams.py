"""A load client for thousands of connections, cheap enough that it is the gateway that is measured.

``python -m benchmarks.streams URL BODY --count N --seconds S`` opens N connections, sends BODY on each as JSON, and
prints a line of JSON when all are open. With ``--seconds`` they are streams that drip (``benchmarks/stub.py``): it
reads them for so long and prints a second line, with the delay of the events, from the time in their text until they
were received here. Then it keeps all connections open, unread, until a line comes in or standard input ends.

Raw epoll, nothing parsed: an event costs it some 5 us.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import signal
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

AT_ONCE = 200
"""Connections that wait for their answer while they are opened."""
SENT = re.compile(rb"at=(\d+);")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
PATIENCE = 30.0
"""Seconds until what has not opened counts as failed."""
SETTLED = 20_000_000
"""Nanoseconds: with half of the events quicker than that, nothing is left of the rush at the beginning."""
SETTLING = 8.0
"""Seconds it may take until then; after that the delays are measured as they are."""
LIFE = 300
"""Seconds after which this process ends in any case."""


class Crowd:
    """Many connections that ask the same.

    :ivar lost: connections that were closed, or refused with another status than 200.
    :ivar example: what the first of these said.
    """

    def __init__(self, url: str, key: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._request = (
            b"POST %b HTTP/1.1\r\nhost: %b\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b"
            % (parts.path.encode(), parts.netloc.encode(), key.encode(), len(body), body)
        )
        self._epoll = select.epoll()
        self._waiting: dict[int, bytes] = {}  # what has come of an answer, by descriptor
        self._open: dict[int, socket.socket] = {}
        self._parts: dict[int, bytes] = {}  # beginnings of events
        self.lost = 0
        self.example = ""

    @property
    def size(self) -> int:
        return len(self._open) - len(self._waiting)

    def open(self, count: int) -> float:
        """Open ``count`` connections, a few at once; the seconds it took until each had its answer, or had failed."""
        began = time.monotonic()
        asked = 0
        while (asked < count or self._waiting) and time.monotonic() < began + PATIENCE:
            while asked < count and len(self._waiting) < AT_ONCE:
                asked += 1
                self._ask()
            self.read(None, 0.1)
        for descriptor in tuple(self._waiting):
            self._lose(descriptor, b"no answer in time")
        return time.monotonic() - began

    def listen(self, seconds: float) -> list[int]:
        """Nanoseconds each event took that came within ``seconds``."""
        delays: list[int] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.read(delays, left)
        return delays

    def settle(self) -> float:
        """Let go by what had to wait while the connections were opened; the seconds it took."""
        began = time.monotonic()
        self.listen(0.5)
        while time.monotonic() < began + SETTLING:
            delays = sorted(self.listen(0.5))
            if delays and delays[len(delays) // 2] < SETTLED:
                break
        return time.monotonic() - began

    def read(self, delays: list[int] | None, timeout: float) -> None:
        """Take what is there, or comes first; ``delays`` grows by that of each event."""
        connections, parts, now = self._open, self._parts, time.monotonic_ns
        for descriptor, _ in self._epoll.poll(timeout, 512):
            try:
                data = connections[descriptor].recv(65536)
            except OSError as error:
                self._lose(descriptor, str(error).encode())
                continue
            received = now()
            if not data:
                self._lose(descriptor, self._waiting.get(descriptor) or b"closed")
                continue
            if descriptor in self._waiting:
                self._first(descriptor, data)
                continue
            if descriptor in parts:
                data = parts.pop(descriptor) + data
            if data[-1] != 10:  # the rest of an event is still to come
                parts[descriptor] = data
                continue
            if delays is not None:
                for sent in SENT.findall(data):
                    delays.append(received - int(sent))

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()

    def _ask(self) -> None:
        connection = socket.create_connection(self._address)
        connection.sendall(self._request)
        connection.setblocking(False)
        self._open[connection.fileno()] = connection
        self._waiting[connection.fileno()] = b""
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _first(self, descriptor: int, data: bytes) -> None:
        """The answer begins: a stream is open with its first event, any other answer when it is whole."""
        data = self._waiting[descriptor] + data
        head, found, body = data.partition(b"\r\n\r\n")
        self._waiting[descriptor] = data
        if not found:
            return
        if b" 200 " not in head[:16]:
            self._lose(descriptor, data)
            return
        length = LENGTH.search(head)
        if len(body) >= int(length[1]) if length else SENT.search(body):
            del self._waiting[descriptor]

    def _lose(self, descriptor: int, why: bytes) -> None:
        self.lost += 1
        self.example = self.example or why[:1000].decode(errors="replace")
        self._epoll.unregister(descriptor)
        self._open.pop(descriptor).close()
        self._waiting.pop(descriptor, None)
        self._parts.pop(descriptor, None)


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    options.add_argument("url")
    options.add_argument("body")
    options.add_argument("--key", default="none")
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=0.0)
    arguments = options.parse_args()
    signal.alarm(LIFE)
    crowd = Crowd(arguments.url, arguments.key, arguments.body.encode())
    took = crowd.open(arguments.count)
    settled = crowd.settle() if arguments.seconds else 0.0
    _say(open=crowd.size, lost=crowd.lost, example=crowd.example, seconds=round(took, 2), settled=round(settled, 2))
    if arguments.seconds:
        began = time.monotonic()
        delays = sorted(crowd.listen(arguments.seconds))
        took = time.monotonic() - began
        at = {name: delays[int(len(delays) * share)] / 1e6 for name, share in SHARES.items()} if delays else {}
        _say(open=crowd.size, lost=crowd.lost, example=crowd.example, seconds=took, events=len(delays), delay_ms=at)
    sys.stdin.readline()
    crowd.close()
    return 0


SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1 - 1e-9}

if __name__ == "__main__":
    sys.exit(main())
