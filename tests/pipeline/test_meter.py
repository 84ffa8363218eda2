"""How much text streams bring, in each dialect that clients speak, and that long ones cost no more than short ones."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Event, EventKind
from llmedge.pipeline.meter import LARGEST, SAMPLE, TEXT, Meter, TextMeter

WORDS = ["a", " word", " or", " two", "\n\n", ' "quoted"', " größer", " 漢字", " " + "long" * 20]


def frames(dialect: ChatDialect, kind: str, texts: list[str]) -> list[list[Event]]:
    """A stream that says ``texts``, in a batch each."""
    encoder = dialect.encoder(ResponseContext("m", "id", 0, False, {}, {}))
    opened = ir.Open(0, kind, tool_id="call_1", name="look") if kind == "tool" else ir.Open(0, kind)
    said: list[list[ir.StreamEvent]] = [[ir.Begin("id", "m"), opened], *[[ir.Delta(0, text)] for text in texts]]
    return [batch for batch in map(encoder.encode, said) if batch]


class Measured(SynchronousTestCase):
    dialects = [each for each in DIALECTS.values() if isinstance(each, ChatDialect) and each.name != "bedrock"]

    def measured(self, meter: Any, dialect: ChatDialect, kind: str, texts: list[str]) -> int:
        for batch in frames(dialect, kind, texts):
            meter.add(batch)
        said: int = meter.said
        return said

    def test_read(self) -> None:
        """Text by text, whatever is around it."""
        random = Random(3)
        texts = [random.choice(WORDS) for _ in range(500)]
        expected = len("".join(texts).encode())
        for dialect in self.dialects:
            for kind in ("text", "thinking"):
                meter = TextMeter()
                self.assertEqual(self.measured(meter, dialect, kind, texts), expected, (dialect.name, kind))
                self.assertAlmostEqual(meter.beyond * len(meter.text.encode()), expected, delta=1)

    def test_by_length(self) -> None:
        """Without a look at more than the first frames, within a sixth: what is around it differs, such as numbers."""
        random = Random(5)
        texts = [random.choice(WORDS) for _ in range(500)]
        expected = len("".join(texts).encode())
        for dialect in self.dialects:
            found = self.measured(Meter(), dialect, "text", texts)
            self.assertLess(abs(found - expected), expected / 6, (dialect.name, found, expected))

    def test_few_and_large(self) -> None:
        """Two events of 4,500 bytes, in each dialect; and one beyond what is ever kept."""
        for dialect in self.dialects:
            for meter in (Meter(), TextMeter()):
                self.assertEqual(self.measured(meter, dialect, "text", ["x" * 4500] * 2), 9000, dialect.name)
            found = self.measured(Meter(), dialect, "text", ["x" * LARGEST])
            self.assertLess(abs(found - LARGEST), 1000, dialect.name)

    def test_arguments(self) -> None:
        """A tool's arguments are written, too."""
        texts = ['{"place":"', "Paris", '"}'] * 20
        expected = len("".join(texts))
        for dialect in self.dialects:
            if dialect.name == "gemini":
                continue  # its calls come whole, at their end
            found = self.measured(TextMeter(), dialect, "tool", texts)
            self.assertLess(abs(found - expected), 10, (dialect.name, found, expected))

    def test_several_in_one(self) -> None:
        """Frames that came together are one event with their count."""
        one = b'data: {"choices":[{"delta":{"content":"four"}}]}\n\n'
        for meter in (Meter(), TextMeter()):
            meter.add([Event(EventKind.LIFECYCLE, b"data: {}\n\n"), Event(EventKind.CONTENT, one * 60, 60)])
            meter.add([Event(EventKind.CONTENT, one)])
            self.assertEqual((meter.count, meter.said), (61, 244))

    def test_nothing(self) -> None:
        for meter in (Meter(), TextMeter()):
            self.assertEqual((meter.count, meter.said), (0, 0))

    def test_bounded(self) -> None:
        """What is kept of a stream does not grow with it."""
        dialect = DIALECTS["openai_chat"]
        assert isinstance(dialect, ChatDialect)
        for meter in (Meter(), TextMeter()):
            self.measured(meter, dialect, "text", [f" word{number}" for number in range(20_000)])
            self.assertLessEqual(sum(len(event.frame) for event in meter._first), SAMPLE + 300)
            if isinstance(meter, TextMeter):
                self.assertLessEqual(len(meter.text), TEXT)
