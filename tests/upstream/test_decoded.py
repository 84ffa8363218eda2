"""Bodies that are compressed, however they come in, and what is refused of them."""

from __future__ import annotations

import gzip
import zlib

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import UpstreamCut, UpstreamMalformed, UpstreamTooLarge
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.connection import Connection
from llmedge.upstream.decoded import decoded
from llmedge.upstream.exchange import Body
from tests.fakes import Transport

TEXT = b"".join(b"data: %d\n\n" % number for number in range(100))
ZEROS = b"\0" * 1_000_000


def deflated(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


class Decoding(SynchronousTestCase):
    def begin(self, coding: str, length: int | None = None) -> Body:
        clock, self.limits = Clock(), Upstream(max_response_size=4096, max_event_size=2048, keepalive=20)
        self.idle: list[Connection] = []
        self.connection = Connection(clock, self.limits, self.idle.append, lambda _: None, secure=False)
        self.transport = Transport()
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        exchange = self.connection.start(b"x", Attempt(Target("p", "m"), 0.0), Routing())
        assert exchange is not None
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ncontent-encoding: {coding}\r\n{framing}\r\n\r\n"
        self.connection.dataReceived(head.encode())
        return decoded(exchange, self.limits)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.dataReceived(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        self.connection.dataReceived(b"0\r\n\r\n")

    def whole(self, body: Body) -> Deferred[bytes]:
        return Deferred.fromCoroutine(body.read_all())

    def test_codings(self) -> None:
        """As HTTP has them, and as some send them; whole and as it comes, in pieces of any size."""
        for coding, data in (
            ("gzip", gzip.compress(TEXT)),
            ("GZIP", gzip.compress(TEXT)),
            ("x-gzip", gzip.compress(TEXT)),
            ("gzip", gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]) + b"\0" * 10),
            ("deflate", zlib.compress(TEXT)),
            ("deflate", deflated(TEXT, -15)),
            ("identity", TEXT),
            ("none", TEXT),
            ("UTF-8", TEXT),
        ):
            body = self.begin(coding, len(data))
            self.connection.dataReceived(data)
            self.assertEqual(self.successResultOf(self.whole(body)), TEXT, coding)
            self.assertEqual(body.fields[b"content-type"], b"text/x")
            for size in (1, 7, 1000):
                body = self.begin(coding)
                parts: list[bytes] = []
                for start in range(0, len(data), size):
                    self.say(data[start : start + size])
                    while (part := body.take()) is not None:
                        self.assertTrue(part)  # b"" would be the end
                        parts.append(part)
                self.end()
                self.assertEqual((b"".join(parts), body.take()), (TEXT, b""), (coding, size))
                self.assertEqual(self.idle, [self.connection])

    def test_a_stream_is_read_as_it_comes(self) -> None:
        """What its vendor has flushed is there at once."""
        body, packer = self.begin("gzip"), zlib.compressobj(wbits=31)
        for text in (b"one", b"two"):
            self.say(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
            self.assertEqual((body.take(), body.take()), (text, None))

    def test_what_is_not_there_any_more(self) -> None:
        """Length and coding were those of what came."""
        body = self.begin("gzip", 10)
        self.assertEqual(set(body.fields), {b"content-type"})

    def test_bombs(self) -> None:
        """A thousandth of what they unpack to. No more is unpacked than may come, at once or piece by piece."""
        bomb = gzip.compress(ZEROS)
        for pieces in ((bomb,), [bomb[i : i + 1] for i in range(len(bomb))]):
            body = self.begin("gzip")
            reading = self.whole(body)
            for piece in pieces:
                if not self.transport.aborted:
                    self.say(piece)
            error = self.failureResultOf(reading, UpstreamTooLarge).value
            self.assertIn("4096 bytes (upstream.max_response_size)", error.message)
            self.assertTrue(self.transport.aborted)
        body = self.begin("gzip")
        self.say(bomb)
        self.assertRaises(UpstreamTooLarge, body.take)
        self.assertTrue(self.transport.aborted)
        body = self.begin("gzip")  # many small ones
        self.say(gzip.compress(ZEROS[:100]) * 100)
        self.failureResultOf(self.whole(body), UpstreamTooLarge)

    def test_as_much_as_may_come(self) -> None:
        for size, fits in ((4096, True), (4097, False)):
            body = self.begin("gzip")
            self.say(gzip.compress(ZEROS[:size]))
            self.end()
            reading = self.whole(body)
            if fits:
                self.assertEqual(len(self.successResultOf(reading)), size)
            else:
                self.failureResultOf(reading, UpstreamTooLarge)

    def test_announced(self) -> None:
        """Compressed it is too much already."""
        self.failureResultOf(self.whole(self.begin("gzip", 4097)), UpstreamTooLarge)
        self.assertTrue(self.transport.aborted)

    def test_broken(self) -> None:
        good = gzip.compress(TEXT)
        for coding, data, kind in (
            ("gzip", TEXT, UpstreamMalformed),
            ("gzip", good[:40] + b"\xff" * 20 + good[60:], UpstreamMalformed),
            ("gzip", good[:-9], UpstreamCut),
            ("deflate", good, UpstreamMalformed),
            ("br", good, UpstreamMalformed),
            ("gzip, gzip", good, UpstreamMalformed),
        ):
            body = self.begin(coding)
            self.say(data)
            self.end()
            self.failureResultOf(self.whole(body), kind)
            body = self.begin(coding)
            self.say(data)
            self.end()

            def read_on(body: Body = body) -> None:
                while body.take():
                    pass

            self.assertRaises(kind, read_on)

    def test_nothing_at_all(self) -> None:
        body = self.begin("gzip", 0)
        self.assertEqual(self.successResultOf(self.whole(body)), b"")
