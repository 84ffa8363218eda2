"""An upstream that costs next to nothing: answers every POST with a fixed completion, or 60 events at once.

``python -m benchmarks.stub [PORT]`` prints its port.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httptools
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol

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


class Stub(Protocol):
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        self._parser = httptools.HttpRequestParser(self)
        self._stream = False

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._stream = b'"stream":true' in body

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER_STREAM if self._stream else ANSWER)  # type: ignore[union-attr]


def main() -> None:
    factory = Factory.forProtocol(Stub)
    factory.noisy = False
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    port = reactor.listenTCP(wanted, factory, interface="127.0.0.1", backlog=512)
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
