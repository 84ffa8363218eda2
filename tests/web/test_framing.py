"""How long a request is, and what is none: vectors by section of RFC 9112 (6, 7, 11.2), and the lines around it.

Each is tried on both parsers, in one read and byte by byte, with a request behind it that must not be smuggled: seen
once where the framing is good, never where it is not.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.web.bare import BareEdge

NEXT = b"GET /next HTTP/1.1\r\nhost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nhost: h\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

GOOD: dict[str, tuple[bytes, bytes]] = {
    "6.3 no body is announced": (POST + b"\r\n", b""),
    "6.3 a length of 0": (POST + b"content-length: 0\r\n\r\n", b""),
    "6.2 a length": (POST + b"content-length: 5\r\n\r\nhello", b"hello"),
    "6.2 with zeros in front": (POST + b"Content-Length: 005\r\n\r\nhello", b"hello"),
    "6.2 with blanks around it": (POST + b"content-length: \t5 \t\r\n\r\nhello", b"hello"),
    "6.2 a body that looks like a request": (POST + b"content-length: %d\r\n\r\n" % len(NEXT) + NEXT, NEXT),
    "6.2 of a method that has none": (b"GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "7.1 chunks": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n" + END, b"hello"),
    "7.1 no chunk but the last": (CHUNKED + END, b""),
    "7.1 hexadecimal": (CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\nB\r\n" + b"x" * 11 + b"\r\n" + END, b"x" * 21),
    "7.1 zeros in front": (CHUNKED + b"0000000000000005\r\nhello\r\n" + END, b"hello"),
    "7.1 zeros only": (CHUNKED + b"5\r\nhello\r\n000\r\n\r\n", b"hello"),
    "7.1 a chunk that looks like the last": (CHUNKED + b"5\r\n" + END + b"\r\n" + END, END),
    "7 the coding's name in any case": (POST + b"Transfer-Encoding: Chunked\r\n\r\n" + END, b""),
    "7.1.1 an extension": (CHUNKED + b"5;a=b\r\nhello\r\n" + END, b"hello"),
    "7.1.1 a quoted one": (CHUNKED + b'5;a="b;c"\r\nhello\r\n' + END, b"hello"),
    "7.1.1 behind the last": (CHUNKED + b"5\r\nhello\r\n0;a=b\r\n\r\n", b"hello"),
    "7.1.2 trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n", b"hello"),
    "2.2 an empty line before it": (b"\r\n" + POST + b"content-length: 5\r\n\r\nhello", b"hello"),
}
BAD: dict[str, bytes] = {
    "6.1 a coding that is not known": POST + b"transfer-encoding: gzip\r\n\r\n" + END,
    "6.1 one before chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + END,
    "6.1 chunked is not the last": POST + b"transfer-encoding: chunked, identity\r\n\r\n" + END,
    "6.1 chunked twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n" + END,
    "6.1 twice, in two headers": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "6.1 no coding": POST + b"transfer-encoding:\r\n\r\n" + END,
    "6.1 an empty element": POST + b"transfer-encoding: chunked,\r\n\r\n" + END,
    "6.1 with a parameter": POST + b"transfer-encoding: chunked;a=b\r\n\r\n" + END,
    "6.1 in quotes": POST + b'transfer-encoding: "chunked"\r\n\r\n' + END,
    "6.1 a vertical tab": POST + b"transfer-encoding: \x0bchunked\r\n\r\n" + END,
    "6.1 another letter": POST + b"transfer-encoding: chun\xe7ed\r\n\r\n" + END,
    "6.3 both, the length first": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "6.3 both, the length last": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + END,
    "6.3 both, the coding unknown": POST + b"transfer-encoding: x\r\ncontent-length: 5\r\n\r\nhello",
    "6.3 two lengths": POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "6.3 the same length twice": POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "6.3 a list of lengths": POST + b"content-length: 5, 5\r\n\r\nhello",
    "6.2 a sign": POST + b"content-length: +5\r\n\r\nhello",
    "6.2 a negative length": POST + b"content-length: -5\r\n\r\nhello",
    "6.2 hexadecimal": POST + b"content-length: 0x5\r\n\r\nhello",
    "6.2 an exponent": POST + b"content-length: 5e0\r\n\r\nhello",
    "6.2 a fraction": POST + b"content-length: 5.0\r\n\r\nhello",
    "6.2 an underscore": POST + b"content-length: 1_0\r\n\r\n0123456789",
    "6.2 digits of another script": POST + "content-length: \u0665\r\n\r\nhello".encode(),
    "6.2 nothing": POST + b"content-length:\r\n\r\nhello",
    "6.2 two numbers": POST + b"content-length: 5 5\r\n\r\nhello",
    "5.1 a blank before the colon": POST + b"content-length : 5\r\n\r\nhello",
    "5.1 a tab before the colon": POST + b"transfer-encoding\t: chunked\r\n\r\n" + END,
    "5.1 no colon": POST + b"content-length\r\n\r\nhello",
    "5 a NUL in a name": POST + b"content-length\0: 5\r\n\r\nhello",
    "5 a bare CR": POST + b"x: a\rcontent-length: 5\r\n\r\nhello",
    "2.2 a bare LF between headers": POST + b"x: a\ncontent-length: 5\r\n\r\nhello",
    "7.1 no size": CHUNKED + b"\r\nhello\r\n" + END,
    "7.1 a sign": CHUNKED + b"+5\r\nhello\r\n" + END,
    "7.1 a negative size": CHUNKED + b"-5\r\nhello\r\n" + END,
    "7.1 a prefix": CHUNKED + b"0x5\r\nhello\r\n" + END,
    "7.1 an underscore": CHUNKED + b"0_5\r\nhello\r\n" + END,
    "7.1 no digit": CHUNKED + b"g\r\nhello\r\n" + END,
    "7.1 a blank behind": CHUNKED + b"5 \r\nhello\r\n" + END,
    "7.1 a blank in front": CHUNKED + b" 5\r\nhello\r\n" + END,
    "7.1 a NUL behind": CHUNKED + b"5\0\r\nhello\r\n" + END,
    "7.1 less than is there": CHUNKED + b"4\r\nhello\r\n" + END,
    "7.1 more than is there": CHUNKED + b"6\r\nhello\r\n" + END,
    "7.1 no end of a chunk": CHUNKED + b"5\r\nhello" + END,
    "7.1 an end that is LF": CHUNKED + b"5\r\nhello\n" + END,
    "7.1.1 a line feed in an extension": CHUNKED + b"5;a\nb\r\nhello\r\n" + END,
    "7.1.1 a carriage return in one": CHUNKED + b"5;a\rb\r\nhello\r\n" + END,
    "7.1.1 one without an end": CHUNKED + b"5;" + b"a" * 2000 + b"\r\nhello\r\n" + END,
}
OURS: dict[str, bytes] = {  # where twisted's parser is lenient, or waits for a CR that never comes
    "6.1 identity": POST + b"transfer-encoding: identity\r\n\r\n",
    "2.2 a bare LF behind the first line": b"POST /a HTTP/1.1\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
    "2.2 a bare LF at the end of the head": b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\nhello",
    "5.2 a folded line": POST + b"x: a\r\n content-length: 5\r\n\r\nhello",
    "6.1 HTTP/1.0 in chunks": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + END,
    "7.1 a size that ends in LF": CHUNKED + b"5\nhello\r\n" + END,
    "7.1.2 a length among the trailers": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "7.1.2 a coding among them": CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "7.1.2 a trailer that is none": CHUNKED + b"0\r\nnothing\r\n\r\n",
    "7.1.2 a trailer with a bare LF": CHUNKED + b"0\r\nx: y\nz: 1\r\n\r\n",
}
TOO_MUCH = {
    "6.2 a length": POST + b"content-length: 1001\r\n\r\n",
    "6.2 one beyond 64 bits": POST + b"content-length: 18446744073709551621\r\n\r\n",
    "7.1 a size": CHUNKED + b"3e9\r\n",
    "7.1 one with a byte of its chunk": CHUNKED + b"3e9\r\nx",
    "7.1 one behind others": CHUNKED + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n",
    "7.1 one beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\n",
    "7.1 one that would wrap around": CHUNKED + b"1000000000000003c\r\n",
}
VERSIONS = {
    b"HTTP/2.0": 505,
    b"HTTP/9.9": 505,
    b"HTTP/0.9": 505,
    b"HTTP/1.2": 400,
    b"HTTP/1.10": 400,
    b"HTTP/11.1": 400,
    b"HTTP/1": 400,
    b"http/1.1": 400,
    b"HTTP/1.1\xff": 400,
    b"HTTP/1.1;set-cookie:a": 400,
    b"<script>": 400,
    b"ICAP/1.0": 400,
}
STATUS_LINE = re.compile(rb"HTTP/1\.1 \d{3} [A-Z][A-Za-z ]+\r\n")


class Framing(SynchronousTestCase):
    def seen(self, parser: str, pieces: list[bytes], **limits: int) -> tuple[list[tuple[bytes, bytes]], bytes, bool]:
        """The targets and bodies that ``pieces`` were taken for, what was answered, and whether that was the end."""
        edge = BareEdge(parser, **limits)
        wire = edge.wire()
        for piece in pieces:
            if not wire.transport.gone:
                wire.send(piece)
        edge.clock.advance(0)
        return [(uri, body) for _, uri, _, body in edge.resource.seen], wire.received(), wire.transport.gone

    def test_good(self) -> None:
        for name, (data, body) in GOOD.items():
            for parser in ("llhttp", "twisted"):
                for pieces in ([data + NEXT], [data, NEXT], [bytes((byte,)) for byte in data + NEXT]):
                    seen, _, gone = self.seen(parser, pieces)
                    self.assertEqual((seen, gone), ([(b"/a", body), (b"/next", b"")], False), (name, parser))

    def test_bad(self) -> None:
        """A 400 and the end: what follows is no request."""
        for name, data in BAD.items() | OURS.items():
            for parser in ("llhttp", "twisted") if name in BAD else ("llhttp",):
                for pieces in ([data + NEXT], [bytes((byte,)) for byte in data + NEXT]):
                    seen, received, gone = self.seen(parser, pieces)
                    self.assertEqual((seen, gone, received.count(b"HTTP/1.1 ")), ([], True, 1), (name, parser))
                    self.assertTrue(received.startswith(b"HTTP/1.1 400 "), (name, parser))

    def test_too_much(self) -> None:
        """More than may be is refused when it is announced, not when it has come."""
        for name, data in TOO_MUCH.items():
            for parser in ("llhttp", "twisted"):
                seen, received, gone = self.seen(parser, [data], max_request_size=1000)
                self.assertIn(received[:13], (b"HTTP/1.1 413 ", b"HTTP/1.1 400 "), (name, parser))
                self.assertEqual((seen, gone), ([], True), (name, parser))

    def test_as_much_as_may_be(self) -> None:
        body = b"x" * 1000
        for data in (POST + b"content-length: 1000\r\n\r\n" + body, CHUNKED + b"3e8\r\n" + body + b"\r\n" + END):
            for parser in ("llhttp", "twisted"):
                seen, _, _ = self.seen(parser, [data[:100], data[100:]], max_request_size=1000)
                self.assertEqual(seen, [(b"/a", body)])

    def test_versions(self) -> None:
        """The status line is ours whatever the client's third word: HTTP/1.1 (RFC 9110 section 2.5), 505 for another
        major version."""
        for version, status in VERSIONS.items():
            for parser in ("llhttp", "twisted"):
                for headers in (b"\r\n", b"host: h\r\n\r\n"):
                    _, received, gone = self.seen(parser, [b"GET /a " + version + b"\r\n" + headers, NEXT])
                    self.assertTrue(received.startswith(b"HTTP/1.1 %d " % status), (version, parser, received[:30]))
                    self.assertIsNotNone(STATUS_LINE.match(received))
                    self.assertEqual((received.count(b"HTTP/1.1 %d" % status), gone), (1, True), (version, parser))

    def test_an_old_client(self) -> None:
        """HTTP/1.0 is answered in HTTP/1.1, with an end that it knows."""
        for parser in ("llhttp", "twisted"):
            seen, received, gone = self.seen(parser, [b"GET /a HTTP/1.0\r\n\r\n", NEXT])
            self.assertEqual((seen, gone), ([(b"/a", b"")], True))
            self.assertTrue(received.startswith(b"HTTP/1.1 200 OK\r\n"), received)
            self.assertIn(b"\r\nconnection: close\r\n", received.lower())
            head = b"POST /a HTTP/1.0\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n"
            self.assertEqual(self.seen(parser, [head])[1], b"")  # knows no 100 (RFC 9110 section 10.1.1)
            self.assertTrue(self.seen(parser, [head, b"abc"])[1].startswith(b"HTTP/1.1 200 OK\r\n"))
