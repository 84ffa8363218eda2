"""What ends an HTTP/2 connection or stream, and with which code (RFC 9113); in cleartext and within TLS."""

import struct
from collections.abc import Iterator
from typing import Any

from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame
from twisted.trial.unittest import SynchronousTestCase

from llmedge.web.http2 import PREFACE
from llmedge.web.refusals import LINGER
from tests.fakes import Edge
from tests.web.secure import TlsWire

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITISED = 4, 8, 32
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, _, STREAM_CLOSED, FRAME_SIZE_ERROR = range(7)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 7, 8, 9

GET = b"\x82\x86\x84\x41\x09localhost"  # :method GET, :scheme http, :path /, :authority (RFC 7541 appendix A)
POST = b"\x83\x86\x84\x41\x09localhost"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(block: bytes = GET, flags: int = END_STREAM | END_HEADERS, stream: int = 1) -> bytes:
    return frame(HEADERS, flags, stream, block)


def setting(identifier: int, value: int) -> bytes:
    return frame(SETTINGS, payload=struct.pack(">HI", identifier, value))


def window(increment: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def literal(name: bytes, value: bytes) -> bytes:
    """A header field that is not indexed (RFC 7541 section 6.2.2)."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


HELLO = PREFACE + frame(SETTINGS)
OPEN = headers(POST, END_HEADERS)  # a stream whose body is still to come
LARGEST = 2**31 - 1

CONNECTION_ERRORS: dict[str, tuple[bytes, int | None]] = {
    # The preface, section 3.4. What speaks no HTTP/2 is told nothing in it.
    "a broken preface": (PREFACE[:-2] + b"XX", None),
    "no SETTINGS first": (PREFACE + frame(PING, payload=b"12345678"), PROTOCOL_ERROR),
    "an acknowledgement first": (PREFACE + frame(SETTINGS, ACK), PROTOCOL_ERROR),
    # Frames and header blocks, sections 4.2 and 4.3
    "a frame over the limit": (HELLO + frame(DATA, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
    "index 0": (HELLO + headers(b"\x80"), COMPRESSION_ERROR),
    "an index that is none": (HELLO + headers(b"\xff\x7f"), COMPRESSION_ERROR),
    "a block that is cut": (HELLO + headers(b"\x41\x7f"), COMPRESSION_ERROR),
    "a table over the limit": (HELLO + headers(b"\x3f\xff\xff\x7f" + GET), COMPRESSION_ERROR),
    "bad Huffman code": (HELLO + headers(GET + b"\x40\x84\xff\xff\xff\xff\x01x"), COMPRESSION_ERROR),
    "a frame within a block": (HELLO + headers(flags=END_STREAM) + frame(PING, payload=bytes(8)), PROTOCOL_ERROR),
    "an unknown one within a block": (HELLO + headers(flags=END_STREAM) + frame(0x42), PROTOCOL_ERROR),
    "a block of another stream": (
        HELLO + headers(flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3, GET),
        PROTOCOL_ERROR,
    ),
    # Streams that are idle or closed, section 5.1
    "DATA on an idle stream": (HELLO + frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (HELLO + frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (HELLO + window(1, 1), PROTOCOL_ERROR),
    "CONTINUATION on an idle stream": (HELLO + frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL_ERROR),
    "an even stream": (HELLO + headers(stream=2), PROTOCOL_ERROR),
    "a lower stream": (HELLO + headers(stream=5) + headers(stream=3), PROTOCOL_ERROR),
    # Frames that belong to a stream, or to none, and how long they are, section 6
    "DATA on stream 0": (HELLO + frame(DATA, payload=b"x"), PROTOCOL_ERROR),
    "DATA with too much padding": (HELLO + OPEN + frame(DATA, PADDED, 1, b"\x05x"), PROTOCOL_ERROR),
    "HEADERS on stream 0": (HELLO + headers(stream=0), PROTOCOL_ERROR),
    "HEADERS with too much padding": (HELLO + headers(b"\xff" + GET, END_HEADERS | PADDED), PROTOCOL_ERROR),
    "HEADERS with half a priority": (HELLO + headers(b"xx", END_HEADERS | PRIORITISED), FRAME_SIZE_ERROR),
    "HEADERS that depend on themselves": (
        HELLO + headers(b"\0\0\0\1\x10" + GET, END_HEADERS | PRIORITISED),
        PROTOCOL_ERROR,
    ),
    "PRIORITY on stream 0": (HELLO + frame(PRIORITY, payload=bytes(5)), PROTOCOL_ERROR),
    "PRIORITY of 4 bytes": (HELLO + frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    "PRIORITY on itself": (HELLO + frame(PRIORITY, 0, 3, b"\0\0\0\3\x10"), PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (HELLO + frame(RST_STREAM, payload=bytes(4)), PROTOCOL_ERROR),
    "RST_STREAM of 2 bytes": (HELLO + OPEN + frame(RST_STREAM, 0, 1, bytes(2)), FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (HELLO + frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS of 3 bytes": (HELLO + frame(SETTINGS, payload=bytes(3)), FRAME_SIZE_ERROR),
    "an acknowledgement that says something": (HELLO + frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "ENABLE_PUSH 2": (HELLO + setting(2, 2), PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE over the largest": (HELLO + setting(4, LARGEST + 1), FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE under the least": (HELLO + setting(5, 16383), PROTOCOL_ERROR),
    "MAX_FRAME_SIZE over the largest": (HELLO + setting(5, 2**24), PROTOCOL_ERROR),
    "PUSH_PROMISE": (HELLO + OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + GET), PROTOCOL_ERROR),
    "PUSH_PROMISE on an idle stream": (
        HELLO + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + GET),
        PROTOCOL_ERROR,
    ),
    "PING on a stream": (HELLO + frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "PING of 6 bytes": (HELLO + frame(PING, payload=bytes(6)), FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (HELLO + frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY of 3 bytes": (HELLO + frame(GOAWAY, payload=bytes(3)), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 3 bytes": (HELLO + frame(WINDOW_UPDATE, payload=bytes(3)), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE by 0": (HELLO + window(0), PROTOCOL_ERROR),
    "a connection's window over the largest": (HELLO + window(LARGEST), FLOW_CONTROL_ERROR),
    "a setting that makes a stream's window too large": (
        HELLO + OPEN + window(LARGEST - 65535, 1) + setting(4, LARGEST),
        FLOW_CONTROL_ERROR,
    ),
    "CONTINUATION on stream 0": (HELLO + frame(CONTINUATION, END_HEADERS, 0, GET), PROTOCOL_ERROR),
    "CONTINUATION behind the end": (HELLO + headers() + frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL_ERROR),
    # Malformed requests, section 8.1.1: an error of the stream, or of the connection, as h2 has it
    "a capital in a header's name": (HELLO + headers(GET + literal(b"X", b"y")), PROTOCOL_ERROR),
    "Connection": (HELLO + headers(GET + literal(b"connection", b"close")), PROTOCOL_ERROR),
    "TE other than trailers": (HELLO + headers(GET + literal(b"te", b"gzip")), PROTOCOL_ERROR),
    "no path": (HELLO + headers(b"\x82\x86"), PROTOCOL_ERROR),
    "two methods": (HELLO + headers(b"\x82" + GET), PROTOCOL_ERROR),
    "a pseudo-header behind the others": (HELLO + headers(b"\x82\x86" + literal(b"a", b"b") + b"\x84"), PROTOCOL_ERROR),
    "a pseudo-header that is none": (HELLO + headers(GET + literal(b":a", b"b")), PROTOCOL_ERROR),
    "more than Content-Length": (
        HELLO + headers(POST + literal(b"content-length", b"1"), END_HEADERS) + frame(DATA, END_STREAM, 1, b"xx"),
        PROTOCOL_ERROR,
    ),
}

STREAM_ERRORS: dict[str, tuple[bytes, int]] = {
    "DATA behind the end (5.1)": (headers() + frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
    "HEADERS behind the end (5.1)": (headers() + headers(), STREAM_CLOSED),
    "a stream's window over the largest (6.9.1)": (OPEN + window(LARGEST, 1), FLOW_CONTROL_ERROR),
    "more streams than may be (5.1.2)": (OPEN + headers(stream=3), REFUSED_STREAM),
    "extended CONNECT, which is not offered (RFC 8441 section 3)": (
        headers(
            literal(b":method", b"CONNECT") + literal(b":protocol", b"websocket") + b"\x86\x84\x41\x09localhost",
            END_HEADERS,
        ),
        PROTOCOL_ERROR,
    ),
    "CONNECT (8.5)": (
        headers(literal(b":method", b"CONNECT") + literal(b":authority", b"a:1"), END_HEADERS),
        PROTOCOL_ERROR,
    ),
}


def errors_in(data: bytes) -> Iterator[tuple[type[Frame], int, int]]:
    """The kind, stream and code of each frame that ends something."""
    while data:
        found, length = Frame.parse_frame_header(memoryview(data[:9]))
        found.parse_body(memoryview(data[9 : 9 + length]))
        if isinstance(found, GoAwayFrame | RstStreamFrame):
            yield type(found), found.stream_id, found.error_code
        data = data[9 + length :]


def cleartext(edge: Edge) -> Any:
    return edge.wire()


CONNECTIONS = {"h2c": cleartext, "TLS": TlsWire}


class ConnectionErrors(SynchronousTestCase):
    def test_each(self) -> None:
        """GOAWAY with its code, and the connection is closed at once (section 5.4.1)."""
        for where, connect in CONNECTIONS.items():
            for name, (data, code) in CONNECTION_ERRORS.items():
                wire = connect(Edge())
                wire.send(data)
                expected = [] if code is None else [(GoAwayFrame, 0, code)]
                ends = [error for error in errors_in(wire.received()) if error[0] is GoAwayFrame]
                self.assertEqual((ends, wire.transport.gone), (expected, True), (where, name))

    def test_flow_control(self) -> None:
        """More than the window holds, before we could open it."""
        wire = Edge().wire()
        wire.send(HELLO + OPEN + frame(DATA, 0, 1, bytes(16384)) * 5)
        self.assertEqual(list(errors_in(wire.received())), [(GoAwayFrame, 0, FLOW_CONTROL_ERROR)])
        self.assertTrue(wire.transport.gone)

    def test_a_client_that_stays(self) -> None:
        """Who does not take what is written last is cut off after LINGER seconds, and not read until then."""
        edge = Edge()
        wire = TlsWire(edge, polite=False, stuck=True)
        wire.send(HELLO + headers(b"\x80"))
        self.assertFalse(wire.transport.gone)
        wire.send(headers(stream=3))
        wire.advance(LINGER)
        self.assertTrue(wire.transport.gone)
        self.assertEqual(edge.records, [])
        self.assertEqual(edge.site.connections, set())

    def test_those_under_way_are_over(self) -> None:
        """An error ends the streams of its connection: nobody works for them any more."""
        for where, connect in CONNECTIONS.items():
            edge = Edge("[server]\nbody_timeout = 50\n")
            wire = connect(edge)
            wire.send(HELLO + OPEN)
            (protocol,) = edge.site.connections
            self.assertEqual(len(protocol.channel.streams), 1)
            wire.send(headers(b"\x80", stream=3))
            edge.reactor.advance(0)
            self.assertEqual((protocol.channel.streams, edge.reactor.pending()), ({}, []), where)


class StreamErrors(SynchronousTestCase):
    def test_each(self) -> None:
        """RST_STREAM with its code; the connection stays, for other streams."""
        for where, connect in CONNECTIONS.items():
            for name, (data, code) in STREAM_ERRORS.items():
                wire = connect(Edge("[server]\nmax_streams = 1\n"))
                wire.send(HELLO + data)
                stream = 3 if code == REFUSED_STREAM else 1
                self.assertEqual(list(errors_in(wire.received())), [(RstStreamFrame, stream, code)], (where, name))
                self.assertFalse(wire.transport.gone)
                wire.send((frame(RST_STREAM, 0, 1, bytes(4)) if stream == 3 else b"") + headers(stream=5))
                self.assertNotIn(5, [stream for _, stream, _ in errors_in(wire.received())], (where, name))
                self.assertFalse(wire.transport.gone)

    def test_a_body_that_drips(self) -> None:
        wire = Edge("[server]\nbody_timeout = 5\n").wire()
        wire.send(HELLO + OPEN)
        wire.protocol.factory.edge.clock.advance(6)
        self.assertEqual(list(errors_in(wire.received())), [(RstStreamFrame, 1, CANCEL)])

    def test_a_flood_of_refused_streams(self) -> None:
        """Refusing is not free: who goes on opening streams is sent away."""
        wire = Edge("[server]\nmax_streams = 1\n").wire()
        wire.send(HELLO + OPEN)
        for start in range(3, 6003, 200):
            if not wire.transport.gone:
                wire.send(b"".join(headers(stream=stream) for stream in range(start, start + 200, 2)))
        self.assertTrue(wire.transport.gone)
