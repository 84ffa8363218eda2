"""An event that cannot be read is a break, passed on and translated; what says nothing is none."""

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.passthrough import PassedEvents
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import UpstreamMalformed, VendorFailed
from llmedge.model import EventKind, Usage
from tests.dialects.test_surrogates import SSE

SAID = [
    ir.Begin("i", "m", 1),
    ir.Open(0, "text"),
    ir.Delta(0, "Take "),
    ir.Delta(0, "do NOT "),
    ir.Delta(0, "the pills."),
    ir.Close(0),
    ir.Finish("stop"),
    ir.Counted(Usage(1, 1)),
    ir.End(),
]
NOTHING = (
    b": comment\n\n",
    b"data:\n\n",
    b"data\n\n",
    b"event: ping\ndata: 2026-01-01 still here\n\n",
    b"event: keepalive\ndata: {half\n\n",
    b"id: 7\nretry: 10\n\n",
)


def streams(dialect: str) -> tuple[list[bytes], list[Any]]:
    """A stream's frames, and who reads them."""
    made: Any = DIALECTS[dialect]
    plain = [event.frame for event in made.encoder(ResponseContext("m", wants_usage=True)).encode(SAID)]
    readers = [made.decoder(choices=1, max_event=1 << 16), made.reader(strip_usage=True, choices=1, max_event=1 << 16)]
    return plain, readers


class Breaks(SynchronousTestCase):
    def test_an_event_that_is_cut(self) -> None:
        """What was before it is given; nothing behind it is, and the end is none."""
        for dialect in SSE:
            plain, readers = streams(dialect)
            at = next(index for index, frame in enumerate(plain) if b"do NOT" in frame)
            for bad in (
                plain[at][:-20] + b"\n\n",
                plain[at].replace(b"do NOT", b"do \xff NOT"),
                b'data: "do NOT"\n\n',
                b"data: do NOT\n\n",
                b"data: <html>\n\n",
            ):
                for kind in range(len(readers)):
                    reader = streams(dialect)[1][kind]
                    given = reader.feed(b"".join([*plain[:at], bad, *plain[at + 1 :]]))
                    self.assertIn("Take ", repr(given), dialect)
                    self.assertNotIn("pills", repr(given))
                    self.assertIsInstance(reader.broken, UpstreamMalformed, (dialect, bad))
                    self.assertRaises(UpstreamMalformed, reader.feed, plain[-1])
                    self.assertRaises(UpstreamMalformed, reader.end)

    def test_before_content(self) -> None:
        """Nothing is given that would be shown."""
        for dialect in SSE:
            for kind in range(2):
                plain, readers = streams(dialect)
                reader = readers[kind]
                self.assertRaises(UpstreamMalformed, reader.feed, b'data: {"half\n\n' + b"".join(plain))

    def test_what_says_nothing(self) -> None:
        """Comments, empty events and pings, wherever they stand."""
        for dialect in SSE:
            for kind in range(2):
                plain, readers = streams(dialect)
                reader = readers[kind]
                given: list[Any] = []
                for frame in plain:
                    given += reader.feed(b"".join(NOTHING))
                    given += reader.feed(frame)
                if not reader.done:
                    given += reader.end()
                last = given[-1]
                self.assertTrue(isinstance(last, ir.End) or last.kind is EventKind.DONE)
                self.assertIsNone(reader.broken)
                for word in ("Take ", "do NOT ", "pills."):
                    self.assertIn(word, repr(given), dialect)

    def test_names_that_are_new(self) -> None:
        """Anthropic and OpenAI add events to these two, and tell clients to let them pass."""
        for dialect in ("anthropic", "openai_responses"):
            for kind in range(2):
                plain, readers = streams(dialect)
                new = (
                    b'event: new_thing\ndata: {"type":"new_thing","x":1}\n\n',
                    b'data: {"type":"new_thing","delta":5,"output_index":"a","index":"b"}\n\n',
                    b'event: new_thing\ndata: {"delta":[],"item_id":7}\n\n',
                )
                given = readers[kind].feed(b"".join([plain[0], *new, *plain[1:]]))
                self.assertIsNone(readers[kind].broken, dialect)
                passed = b"".join(getattr(each, "frame", b"") for each in given).count(b"event: new_thing")
                self.assertEqual(passed, 0 if kind == 0 else 3 if dialect == "anthropic" else 2)

    def test_a_type_in_the_name_alone(self) -> None:
        """Servers that say what an event is in one of the two places; in neither it is a break."""
        for dialect in ("anthropic", "openai_responses"):
            plain, _ = streams(dialect)
            bare = [re.sub(rb'"type":"(response|content_block|message)[._][^"]*",?', b"", each) for each in plain]
            self.assertNotIn(b'"type":"message_stop"', b"".join(bare))
            for kind, word in ((0, "End()"), (1, "DONE")):
                reader = streams(dialect)[1][kind]
                self.assertIn(word, repr(reader.feed(b"".join(bare))), dialect)
                reader = streams(dialect)[1][kind]
                reader.feed(plain[0] + b'data: {"text":"do NOT"}\n\n')
                self.assertIsInstance(reader.broken, UpstreamMalformed)

    def test_an_end_of_another_api(self) -> None:
        """Servers that end a stream of Gemini's with [DONE], or put a blank behind it."""
        plain, readers = streams("gemini")
        for reader in readers:
            reader.feed(b"".join(plain) + b"data: [DONE]\n\n")
            self.assertTrue(reader.end())
        plain, readers = streams("openai_chat")
        for reader in readers:
            given = reader.feed(b"".join(plain[:-1]) + b"data: [DONE] \n\n")
            self.assertTrue(reader.done)
            self.assertTrue(given)

    def test_what_is_passed_through(self) -> None:
        """JSON that is cut breaks a stream of a transcription, say, too; what is no JSON is its client's."""
        for data, breaks in (({"type": "transcript.text.delta", "delta": "do NOT"}, True), ("do NOT", False)):
            reader = PassedEvents(1000, 1)
            frame = b"data: " + (json.dumps(data).encode()[:-3] if breaks else b"do NOT") + b"\n\n"
            given = reader.feed(b'data: {"type":"transcript.text.delta","delta":"Take"}\n\n' + frame)
            self.assertEqual(len(given), 1 if breaks else 2)
            self.assertEqual(isinstance(reader.broken, UpstreamMalformed), breaks)


class FailedEnds(SynchronousTestCase):
    """Within OpenAI's own dialect, too, a stream that ends with an error is no whole one."""

    def test_streamed(self) -> None:
        reader = DIALECTS["openai_chat"].reader(strip_usage=True, choices=1, max_event=9999)
        reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"so far"},"finish_reason":null}]}\n\n')
        with self.assertRaises(VendorFailed):
            reader.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\ndata: [DONE]\n\n')
