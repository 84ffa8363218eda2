"""Three parsers of HTTP/1.1 on the same bytes: ours, twisted.web's and h11.

Smuggling lives where two parsers on the way of a request read it differently. So ours serves nothing that one of the
others refuses or reads as something else; and what all three must take, ours takes.
"""

from itertools import pairwise
from typing import Any

import h11
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.effort import examples
from tests.web.bare import BareEdge

Seen = list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*+.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.text("".join(map(chr, range(0x21, 0x7F))) + " \t", max_size=20).map(lambda text: text.strip().encode())
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"host", b"expect", b"upgrade"}
HEADER = st.tuples(TOKEN.filter(lambda name: name.lower() not in FRAMING), VALUE)
METHOD = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"BREW", b"M-SEARCH"])
TARGET = st.text("abc123-._~!$&'()*+,;=:@/?", max_size=20).map(lambda text: b"/" + text.encode())
BODY = st.binary(max_size=40)


@st.composite
def requests(draw: Any) -> bytes:
    """A request that every parser has to take."""
    lines = [draw(METHOD) + b" " + draw(TARGET) + b" HTTP/1.1", b"Host: h"]
    lines += [name + b":" + draw(st.sampled_from([b"", b" ", b"\t", b"  "])) + value for name, value in draw(HEADERS)]
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = b""
    if framing == "length":
        body = draw(BODY)
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked"])))
        chunks = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
        extension = draw(st.sampled_from([b"", b";a=b"]))
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        body += b"0\r\n" + draw(st.sampled_from([b"", b"x-trailer: 1\r\n"])) + b"\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


HEADERS = st.lists(HEADER, max_size=4)
SPICE = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\x0b",
        b"\xff",
        b"0",
        b"1",
        b"a",
        b"+",
        b"0x",
        b"Content-Length: 3\r\n",
        b"content-length:0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
        b"Expect: 100-continue\r\n",
        b"Host: x\r\n",
        b" folded\r\n",
        b"HTTP/1.0",
        b"\r\n\r\n",
        b"0\r\n\r\n",
    ]
)


@st.composite
def mutated(draw: Any) -> bytes:
    """A request or two, with things put in, taken out and doubled."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        lines = [i for i in range(len(data)) if data.startswith(b"\r\n", i)]
        if lines and draw(st.booleans()):
            at = draw(st.sampled_from(lines)) + draw(st.sampled_from([0, 1, 2]))
        cut = draw(st.sampled_from([0, 0, 0, 1, 2]))
        data = data[:at] + draw(SPICE) + data[at + cut :]
    return data


def served(http_parser: str, pieces: list[bytes]) -> Seen:
    """What one of our channels takes ``pieces`` for; a refused request is not in it."""
    edge = BareEdge(http_parser)
    wire = edge.wire()
    for piece in pieces:
        if not wire.transport.gone:
            wire.send(piece)
    return edge.resource.seen


def by_h11(data: bytes) -> Seen:
    """What h11 takes ``data`` for, up to what it refuses. The empty line that servers should forgive before a request
    (RFC 9112 section 2.2), and h11 does not, is taken out."""
    data = data.removeprefix(b"\r\n")
    seen: Seen = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    head, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                fields = sorted((bytes(name), bytes(value)) for name, value in head.headers)
                seen.append((bytes(head.method), bytes(head.target), fields, body))
                connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return seen
                return seen + by_h11(connection.trailing_data[0])
            else:
                return seen
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return seen


NEXT = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + NEXT
TRAILERS = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\r\n\n" + NEXT
"""Twisted takes the next request for trailers of this one; hypothesis found it."""


class Differences(SynchronousTestCase):
    def tolerated(self, request: Any) -> Any:
        """As all three see it: the value of ``Transfer-Encoding`` has no case."""
        method, target, headers, body = request
        return method, target, sorted((n, v.lower() if n == b"transfer-encoding" else v) for n, v in headers), body

    @given(st.lists(requests(), min_size=1, max_size=3))
    @settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
    def test_what_all_take(self, sent: list[bytes]) -> None:
        """Method, target, headers and body are the same."""
        data = b"".join(sent)
        ours = [self.tolerated(request) for request in served("llhttp", [data])]
        self.assertEqual(len(ours), len(sent))
        self.assertEqual(ours, [self.tolerated(request) for request in by_h11(data)])
        self.assertEqual(ours, [self.tolerated(request) for request in served("twisted", [data])])

    @given(mutated())
    @example(UPGRADE)
    @example(TRAILERS)
    @example(b"POST /HTTP/1.+\n1: HTTP/1.1\r\nHost: h\r\n\r\n")
    @example(b"POST  /:HTTP/1.1\r\nHost: h\r\n\r\n")
    @example(
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n"
    )
    @settings(max_examples=examples(400), deadline=None, suppress_health_check=list(HealthCheck))
    @example(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    @example(
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    def test_what_one_refuses(self, data: bytes) -> None:
        """Ours serves it neither, nor anything behind it; and reads nothing as something else."""
        ours = [self.tolerated(request) for request in served("llhttp", [data])]
        for others in (by_h11(data), served("twisted", [data])):
            theirs = [self.tolerated(request) for request in others]
            self.assertEqual(ours, theirs[: len(ours)])

    @given(mutated(), st.lists(st.integers(1, 300), max_size=6))
    @settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
    def test_however_it_is_cut(self, data: bytes, cuts: list[int]) -> None:
        """How bytes come in is no part of what they mean."""
        bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        pieces = [data[start:end] for start, end in pairwise(bounds)]
        assume(len(pieces) > 1)
        self.assertEqual(served("llhttp", pieces), served("llhttp", [data]))
