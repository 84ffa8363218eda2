import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.sse import SseError, SseEvent, SseParser

STREAM = (
    b": comment\n\ndata: one\n\nevent: x\ndata: two\ndata: lines\n\n"
    b"data:no space\r\n\r\nid: 4\r\rdata: caf\xc3\xa9\r\r\n\ndata\n\n"
)
EVENTS = [
    SseEvent(b"", b"one"),
    SseEvent(b"x", b"two\nlines"),
    SseEvent(b"", b"no space"),
    SseEvent(b"", "café".encode()),  # and behind it one without data, which is none
]


class Sse(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.integers(0, len(STREAM)), max_size=8))
    def test_split_anywhere(self, cuts: list[int]) -> None:
        """The same events come out however the bytes are cut."""
        parser = SseParser(1000)
        events = []
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in itertools.pairwise(edges):
            events += parser.feed(STREAM[start:end])
        self.assertEqual(events, EVENTS)

    def test_byte_order_mark(self) -> None:
        parser = SseParser(1000)
        self.assertEqual(parser.feed(b"\xef\xbb"), [])
        self.assertEqual(parser.feed(b"\xbfdata: x\n\n"), [SseEvent(b"", b"x")])

    def test_an_event_over_the_limit(self) -> None:
        """Memory for one event is bounded, finished or not."""
        self.assertRaises(SseError, SseParser(10).feed, b"data: 12345678901")
        self.assertRaises(SseError, SseParser(10).feed, b"data: 12345678901\n\n")

    def test_close_gives_what_has_no_blank_line(self) -> None:
        parser = SseParser(100)
        parser.feed(b"data: [DONE]\n")
        self.assertEqual(parser.close(), [SseEvent(b"", b"[DONE]")])
        self.assertEqual(parser.close(), [])
