"""A vendor's stream, read for a client of another dialect."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.model import EventKind, Usage
from tests.dialects.anthropic.streams import CLAUDE, EVENTS, LAST, START, STOP, WHOLE, begin, decode, end


class Decoding(SynchronousTestCase):
    def test_a_whole_stream(self) -> None:
        """Every event has its counterpart in the form."""
        self.assertEqual(decode(WHOLE), EVENTS)

    def test_split_at_every_byte(self) -> None:
        """How bytes come in is no part of what they mean."""
        for step in range(1, 80):
            self.assertEqual(decode(WHOLE, step), EVENTS)
        for at in range(len(WHOLE)):
            decoder = CLAUDE.decoder(choices=1, max_event=10000)
            self.assertEqual(decoder.feed(WHOLE[:at]) + decoder.feed(WHOLE[at:]), EVENTS)

    def test_every_reason(self) -> None:
        """Each reason to stop has its counterpart; a new one is a plain stop."""
        for theirs, ours in (
            ("end_turn", "stop"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop_sequence"),
            ("pause_turn", "pause"),
            ("refusal", "refusal"),
            ("model_context_window_exceeded", "context"),
            ("new", "stop"),
        ):
            events = decode(START + end(theirs, "x", input_tokens=11) + STOP)
            self.assertEqual(events[2:], [ir.Finish(ours, 0, "x"), ir.Counted(Usage(23, 20, 5, 0, 7, 3)), ir.End()])

    def test_the_explanation_of_a_refusal(self) -> None:
        """It is said as a block of the answer."""
        details = {"type": "refusal", "category": "bio", "explanation": "no"}
        events = decode(START + end("refusal", details=details) + STOP)
        self.assertEqual(
            events[2:6],
            [ir.Open(0, "refusal"), ir.Delta(0, "no"), ir.Close(0), ir.Finish("refusal")],
        )

    def test_what_compatible_vendors_do(self) -> None:
        """A block that begins with all it has, and one that nobody closes."""
        data = START + begin(0, "text", text="x") + begin(1, "tool_use", id="t", name="f", input={"a": 1})
        self.assertEqual(
            decode(data + end("tool_use") + STOP)[2:-3],
            [
                ir.Open(0, "text"),
                ir.Delta(0, "x"),
                ir.Open(1, "tool", 0, "t", "f"),
                ir.Close(0),
                ir.Delta(1, '{"a": 1}'),
                ir.Close(1),
            ],
        )

    def test_for_an_openai_client(self) -> None:
        """The stream ends as OpenAI's do, and its usage is known."""
        reader = TranslatedReader(
            CLAUDE.decoder(choices=1, max_event=9999),
            OpenAIChat().encoder(ResponseContext("m", wants_usage=True)),
            CallIds("1"),
        )
        events = reader.feed(WHOLE)
        self.assertIs(events[-1].kind, EventKind.DONE)
        self.assertEqual(reader.usage, LAST)
