"""A vendor's stream, passed on as it came."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.model import EventKind, Usage
from tests.dialects.openai_responses.cases import COUNTED, DIALECT, HELLO, Maker, thinking_and_tools


class Passing(SynchronousTestCase):
    def read(self, stream: bytes, size: int = 0) -> tuple[list[Any], Usage | None]:
        reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
        events = []
        size = size or len(stream)
        for start in range(0, len(stream), size):
            events += reader.feed(stream[start : start + size])
        return events + reader.end(), reader.usage

    def test_frames_as_they_came(self) -> None:
        """Nothing is content before something is said; usage is in the last event."""
        stream = Maker([*HELLO.events]).end()
        events, usage = self.read(stream)
        self.assertEqual(b"".join(event.frame for event in events), stream)
        self.assertEqual(usage, COUNTED)
        kinds = [event.kind for event in events]
        self.assertEqual(kinds, [EventKind.LIFECYCLE] * 4 + [EventKind.CONTENT] * (len(kinds) - 5) + [EventKind.DONE])
        for size in (1, 3, 50):
            self.assertEqual(self.read(stream, size), (events, usage))
        for at in range(len(stream)):
            reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]) + reader.end(), events)
        self.assertEqual(self.read(stream + b"data: [DONE]\n\n")[0], events)
        self.assertEqual(self.read(stream[:-2])[0], events)

    def test_a_call_is_content(self) -> None:
        """So is a thought; only what comes before says nothing."""
        events, _ = self.read(thinking_and_tools())
        self.assertEqual(sum(event.kind is EventKind.LIFECYCLE for event in events), 4)

    def test_without_names_and_over_lines(self) -> None:
        """Servers that leave the event's name out; JSON over several lines."""
        stream = b'data: {"type":\ndata: "response.new"}\n\n' + Maker().end()
        events, _ = self.read(stream)
        self.assertEqual(events[0].frame, b'data: {"type":\ndata: "response.new"}\n\n')
