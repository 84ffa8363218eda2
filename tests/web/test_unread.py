"""Clients that do not read: their vendors are held back, over HTTP/1.1 and HTTP/2, in every dialect."""

import json

from llmedge.sockets import BUFFER
from llmedge.upstream.exchange import HIGH_WATER
from tests.fakes import CHAT, request
from tests.web.test_http2 import Http2
from tests.web.through import Asked, Through

READ = 65536  # bytes that a socket gives at once
ASKED = {
    "/v1/chat/completions": CHAT | {"stream": True},
    "/v1/messages": CHAT | {"stream": True, "max_tokens": 9},
    "/v1/responses": {"model": "m", "stream": True, "input": "hi"},
    "/v1beta/models/m:streamGenerateContent?alt=sse": {"contents": [{"parts": [{"text": "hi"}]}]},
}


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "c", "model": "m", "created": 1, "choices": [choice]}).encode()


class Unread(Through):
    def pour(self, asked: Asked) -> int:
        """Reads of the vendor's socket until it is paused."""
        asked.chunked("text/event-stream")
        piece = event("word ") * (READ // len(event("word ")))
        for count in range(100):
            if asked.transport.producerState == "paused":
                return count
            asked.chunk(piece)
            self.edge.reactor.advance(0)
        return 100

    def test_over_http1(self) -> None:
        """One read fills the client's transport, the next one is held: there the vendor is paused."""
        for path, body in ASKED.items():
            self.begin()
            wire = self.edge.wire()
            wire.transport.high_water = BUFFER
            wire.send(request("POST", path, body))
            self.assertLessEqual(self.pour(Asked(self.edge)), 3, path)

    def unread(self, path: str) -> tuple[Http2, Asked]:
        """A client whose windows take everything, while its socket takes nothing."""
        client = Http2(self.edge, window=2**31 - 1)
        client.h2.increment_flow_control_window(2**30)
        client.flush()
        client.ask(ASKED[path], path)
        client.wire.protocol.channel.pauseProducing()
        return client, Asked(self.edge)

    def test_over_http2(self) -> None:
        for path in ASKED:
            self.begin()
            client, asked = self.unread(path)
            self.assertLessEqual(self.pour(asked), 3, path)
            (stream,) = client.wire.protocol.channel.streams.values()
            held = sum(map(len, client.wire.protocol.channel._outboundStreamQueues[stream.streamID]))
            self.assertLess(held, 8 * READ)

    def test_reading_again(self) -> None:
        """Once the client reads, the vendor goes on, and nothing is missing."""
        self.begin()
        client, asked = self.unread("/v1/chat/completions")
        count = self.pour(asked) * (READ // len(event("word ")))
        client.wire.protocol.channel.resumeProducing()
        client.flush()
        self.assertEqual(asked.transport.producerState, "producing")
        asked.chunk(event("", "stop") + b"data: [DONE]\n\n")
        client.flush()
        self.assertEqual(client.body(1).count(b"word "), count)
        self.assertTrue(client.ended(1))

    def test_for_too_long(self) -> None:
        """Who takes nothing for ``write_timeout`` is cut off, though its windows are open, and the vendor is free."""
        self.begin("[server]\nwrite_timeout = 20\nheartbeat = 0\n")
        _, asked = self.unread("/v1/chat/completions")
        self.pour(asked)
        self.edge.reactor.advance(20)
        self.assertTrue(asked.transport.gone)
        self.assertEqual([record.outcome for record in self.edge.records], ["client_closed"])

    def test_answers_that_are_complete(self) -> None:
        """Over HTTP/2 they wait for a window while something is taken, and are reset then. Their siblings go on."""
        self.begin("[server]\nwrite_timeout = 20\nidle_timeout = 15\n")
        client = Http2(self.edge, window=10)
        slow, stuck = (client.ask(path="/", method="GET") for _ in range(2))
        for _ in range(5):
            client.h2.increment_flow_control_window(5, slow)
            client.flush()
            self.edge.reactor.advance(20)
            client.flush()
            self.edge.reactor.advance(1)
        self.assertEqual((client.reset(slow), client.reset(stuck)), (False, True))
        client.h2.increment_flow_control_window(100000, slow)
        client.flush()
        self.assertTrue(client.ended(slow))

    def test_figures(self) -> None:
        """What docs/security.rst says of an unread stream is reckoned from these."""
        self.assertEqual((BUFFER, HIGH_WATER), (32768, 16384))
