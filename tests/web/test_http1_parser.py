"""The parser alone: bytes in, heads and bodies out."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.server import Server
from llmedge.errors import ValidationError
from llmedge.web.edge import Edge
from llmedge.web.http1_parser import Body, RequestParser

HEAD = b"POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"PUT /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


def edge(**server: Any) -> Edge:
    return Edge(Clock(), None, Server(**server), lambda request, path: None, lambda request, error: None)


class Parsing(SynchronousTestCase):
    def read(self, parser: RequestParser, data: bytes) -> list[object]:
        """What ``data`` has come to: ``(method, target, length)`` of heads, bytes of bodies, and how these are."""
        parser.buffer += data
        found: list[object] = []
        while parser.buffer:
            if parser.body is Body.COMING:
                found += [parser.next_data(), parser.body]
            elif (head := parser.next_head()) is not None:
                found.append((head[0].method, head[0].target, head[2]))
            else:
                break
        return found

    def test_requests_follow_each_other(self) -> None:
        """Of both framings."""
        found = self.read(RequestParser(edge()), HEAD + b"hello" + CHUNKED + HEAD)
        self.assertEqual(
            found,
            [
                (b"POST", b"/a?b", 5),
                b"hello",
                Body.COMPLETE,
                (b"PUT", b"/c", None),
                b"hello",
                Body.COMPLETE,
                (b"POST", b"/a?b", 5),
            ],
        )

    def test_byte_by_byte(self) -> None:
        """A head comes when it is complete, a body as it does."""
        parser = RequestParser(edge())
        for number in range(len(HEAD) - 1):
            self.assertEqual(self.read(parser, HEAD[number : number + 1]), [])
        self.assertEqual(self.read(parser, HEAD[-1:]), [(b"POST", b"/a?b", 5)])
        self.assertEqual(self.read(parser, b"hell"), [b"hell", Body.COMING])
        self.assertEqual(self.read(parser, b"o"), [b"o", Body.COMPLETE])

    def test_a_known_head_brings_its_body(self) -> None:
        """If it is there, and not too large to be judged first."""
        shared = edge(max_request_size=4)
        parser = RequestParser(shared)
        parser.buffer = HEAD + b"hello"
        first = parser.next_head()
        assert first is not None
        self.assertEqual((first[3], parser.next_data()), (None, b"hello"))
        first[0].checked_with = shared.limits
        for length, body in ((b"4", b"four"), (b"5", None)):
            parser.buffer = HEAD.replace(b"5", length) + b"four" + b"5"
            found = parser.next_head()
            assert found is not None
            self.assertIs(found[0], first[0])
            self.assertEqual((found[1][b"Content-Length"], found[3]), ([length], body))

    def test_broken_bodies(self) -> None:
        """What came before is given out; nothing behind it can be found."""
        found = self.read(RequestParser(edge()), CHUNKED.replace(b"3\r\n", b"x\r\n"))
        self.assertEqual(found[1:], [b"he", Body.BROKEN])

    def test_what_is_known_of_a_refused_head(self) -> None:
        """Its first line and the headers before the fault, where the line is one."""
        for data, target in (
            (b"GET /a HTTP/1.1\r\nhost: h\r\nx : y\r\n\r\n", b"/a"),
            (b"GET /a\r\n\r\n", None),
            (b"\x16\x03\x01", None),
        ):
            parser = RequestParser(edge())
            parser.buffer = data
            self.assertRaises(ValidationError, parser.next_head)
            head = parser.broken_head()
            self.assertEqual(None if head is None else head.target, target)
