"""AWS's framing of events."""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.bedrock.eventstream import EventStreamError, EventStreamParser, Message, encode
from tests.dialects.bedrock.cases import WHOLE
from tests.effort import examples

try:
    from botocore.eventstream import EventStreamBuffer  # type: ignore[import-not-found]
except ImportError:
    EventStreamBuffer = None


class EventStreams(SynchronousTestCase):
    def test_every_type_of_header(self) -> None:
        """As botocore reads them, all ten types."""
        raw = b"".join(
            bytes([1]) + name + rest
            for name, rest in (
                (b"a", b"\x02\xff"),
                (b"b", b"\x03\xff\xfe"),
                (b"c", b"\x04\x00\x00\x00\x07"),
                (b"d", b"\x08\x00\x00\x00\x00\x00\x00\x00\x09"),
                (b"e", b"\x09" + bytes(range(16))),
                (b"f", b"\x07\x00\x02hi"),
            )
        )
        message = encode({"x": "y"}, b"")
        self.assertEqual(list(EventStreamParser(100).feed(message)), [Message({"x": "y"}, b"")])
        head = struct.pack(">II", 16 + len(raw), len(raw))
        whole = head + struct.pack(">I", crc32(head)) + raw
        whole += struct.pack(">I", crc32(whole))
        expected = {"a": -1, "b": -2, "c": 7, "d": 9, "e": bytes(range(16)), "f": "hi"}
        (read_message,) = EventStreamParser(1000).feed(whole)
        self.assertEqual(read_message.headers, expected)
        if EventStreamBuffer is not None:
            buffer = EventStreamBuffer()
            buffer.add_data(whole)
            self.assertEqual(next(buffer).headers, expected)

    def test_bad_headers(self) -> None:
        """Headers that are cut, of no type or not text break the stream."""
        for raw in (b"\x05a", b"\x01a", b"\x01a\x07\x00\x09hi", b"\x01a\x63", b"\x01a\x05\x00", b"\x01\xff\x00"):
            head = struct.pack(">II", 16 + len(raw), len(raw))
            whole = head + struct.pack(">I", crc32(head)) + raw
            whole += struct.pack(">I", crc32(whole))
            self.assertRaises(EventStreamError, list, EventStreamParser(1000).feed(whole))

    @settings(max_examples=examples(150), deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.dictionaries(
                    st.text(min_size=1, max_size=20),
                    st.text(max_size=30) | st.binary(max_size=30) | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
                    max_size=4,
                ),
                st.binary(max_size=200),
            ),
            max_size=5,
        ),
        st.integers(1, 50),
    )
    def test_round_trip(self, messages: list[tuple[dict[str, Any], bytes]], step: int) -> None:
        """Written and read in pieces; botocore reads the same."""
        data = b"".join(encode(headers, payload) for headers, payload in messages)
        parser = EventStreamParser(10_000)
        read_messages = [m for at in range(0, len(data), step) for m in parser.feed(data[at : at + step])]
        self.assertEqual([(dict(m.headers), m.payload) for m in read_messages], messages)
        self.assertFalse(parser.partial)
        if EventStreamBuffer is not None:
            buffer = EventStreamBuffer()
            buffer.add_data(data)
            self.assertEqual([(event.headers, event.payload) for event in buffer], messages)

    def test_against_botocore(self) -> None:
        """The whole stream above, as AWS's own client reads it."""
        if EventStreamBuffer is None:
            self.skipTest("botocore is not installed")
        buffer = EventStreamBuffer()
        buffer.add_data(WHOLE)
        theirs = [(event.headers, event.payload) for event in buffer]
        ours = [(m.headers, m.payload) for m in EventStreamParser(10_000).feed(WHOLE)]
        self.assertEqual(ours, theirs)
        self.assertEqual(len(ours), 22)
