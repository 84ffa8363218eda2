"""Streams that are not whole, passed on or translated."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import (
    UpstreamCut,
    UpstreamMalformed,
    UpstreamTooLarge,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from tests.dialects.anthropic.streams import CLAUDE, START, STOP, WHOLE, begin, decode, delta, frame, read, stop


class Broken(SynchronousTestCase):
    """What is not a whole stream, passed on or translated."""

    def test_a_cut_is_never_an_end(self) -> None:
        """Wherever it is cut before ``message_stop``, and where there is nothing but that."""
        for reading in (read, decode):
            for at in range(len(WHOLE) - 3):
                self.assertRaises(UpstreamCut, reading, WHOLE[:at])
            self.assertRaises(UpstreamCut, reading, START + STOP)
            self.assertRaises(UpstreamCut, reading, STOP)

    def test_malformed_events_are_never_forwarded(self) -> None:
        """They break the stream, after what was good."""
        for bad in (
            b'data: {"type":7}\n\n',
            b"event: message_delta\ndata: {}\n\n" + b'data: {"type":"message_delta","delta":7}\n\n',
            b'data: {"type":"content_block_start","index":0}\n\n',
            b"data: {nope\n\n",
            b"data: 5\n\n",
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}\n\n',
        ):
            for make in (CLAUDE.decoder, lambda **kw: CLAUDE.reader(strip_usage=False, **kw)):
                reader: Any = make(choices=1, max_event=1000)
                self.assertNotEqual(reader.feed(START + bad), [])
                self.assertRaises(UpstreamMalformed, reader.feed, b"")
        for data in (delta(0, "text_delta", text="x"), begin(0, "text") * 2, stop(0)):
            self.assertRaises(UpstreamMalformed, decode, START + data)
        self.assertRaises(UpstreamMalformed, read, delta(0, "text_delta", text="x"))
        self.assertRaises(UpstreamTooLarge, read, b"data: " + b"x" * 20000)

    def test_error_events(self) -> None:
        """A vendor's error is raised with its words, wherever in the stream it comes."""
        for kind, raised in (
            ("overloaded_error", VendorUnavailable),
            ("rate_limit_error", VendorRateLimited),
            ("api_error", VendorFailed),
        ):
            said = frame("error", error={"type": kind, "message": "boom"})
            for reading in (read, decode):
                late = WHOLE[: WHOLE.index(b"event: message_delta")]
                for data in (said, START + said, late + said, said.replace(b"event: error\n", b"")):
                    self.assertIn("boom", self.assertRaises(raised, reading, data).message)
        for reading in (read, decode):
            self.assertRaises(VendorFailed, reading, START + b"event: error\ndata: oops\n\n")
