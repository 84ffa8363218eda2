r"""Characters that vendors cut in two: ``\ud83d`` in one event, ``\ude00`` in the next."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.bedrock.eventstream import EventStreamParser, encode
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.surrogates import Halves, mark, mend, mending, restore
from llmedge.errors import UpstreamMalformed
from llmedge.model import EventKind, Usage

SSE = ("openai_chat", "openai_responses", "anthropic", "gemini")
SAID = [
    ir.Begin("i", "m", 1),
    ir.Open(0, "thinking"),
    ir.Delta(0, "hm @1"),
    ir.Delta(0, "@2."),
    ir.Sign(0, "c2ln"),
    ir.Close(0),
    ir.Open(1, "text"),
    ir.Delta(1, "smile @1"),
    ir.Delta(1, "@2 and @1"),
    ir.Delta(1, "@2"),
    ir.Close(1),
    ir.Open(2, "tool", tool_id="c1", name="f"),
    ir.Delta(2, '{"a":"@1'),
    ir.Delta(2, '@2"}'),
    ir.Close(2),
    ir.Finish("tool"),
    ir.Counted(Usage(1, 1)),
    ir.End(),
]


def frames(vendor: str, low: bytes = rb"\ude00") -> list[bytes]:
    """A vendor's stream, with halves for ``@1`` and ``@2``."""
    encoder: Any = DIALECTS[vendor].encoder(ResponseContext("m", wants_usage=True))  # type: ignore[attr-defined]
    plain = [event.frame for event in encoder.encode(SAID)]

    def halved(data: bytes) -> bytes:
        return data.replace(b"@1", rb"\uD83d").replace(b"@2", low)

    if vendor != "bedrock":
        return [halved(frame) for frame in plain]
    out = []
    for frame in plain:
        for message in EventStreamParser(1 << 20).feed(frame):
            out.append(encode({name: str(value) for name, value in message.headers.items()}, halved(message.payload)))
    return out


def texts(events: list[ir.StreamEvent]) -> dict[str, str]:
    """What is said, by kind of block."""
    kinds: dict[int, str] = {}
    out: dict[str, str] = {}
    for event in events:
        if isinstance(event, ir.Open):
            kinds[event.block] = event.kind
        elif isinstance(event, ir.Delta):
            out[kinds[event.block]] = out.get(kinds[event.block], "") + event.text
    return out


class Streams(SynchronousTestCase):
    def decoded(self, vendor: str, stream: list[bytes]) -> list[ir.StreamEvent]:
        decoder: Any = DIALECTS[vendor].decoder(choices=1, max_event=1 << 20)  # type: ignore[attr-defined]
        events: list[ir.StreamEvent] = []
        for frame in stream:
            events += decoder.feed(frame)
        if not decoder.done:
            events += decoder.end()
        return events

    def test_translated_they_are_joined(self) -> None:
        """Texts, thoughts and arguments, from every vendor to every client."""
        for vendor in (*SSE, "bedrock"):
            events = self.decoded(vendor, frames(vendor))
            said = texts(events)
            self.assertEqual(said["text"], "smile \U0001f600 and \U0001f600", vendor)
            self.assertEqual(said["thinking"], "hm \U0001f600.", vendor)
            self.assertEqual(json.loads(said["tool"]), {"a": "\U0001f600"}, vendor)
            self.assertIsInstance(events[-1], ir.End)
            for client in SSE:
                encoder: Any = DIALECTS[client].encoder(ResponseContext("m"))  # type: ignore[attr-defined]
                out = encoder.encode(events)
                self.assertEqual(texts(self.decoded(client, [each.frame for each in out]))["text"], said["text"])

    def test_one_that_is_left_alone(self) -> None:
        """It is U+FFFD, at the end of a block too."""
        for vendor in (*SSE, "bedrock"):
            said = texts(self.decoded(vendor, frames(vendor, low=b"")))
            self.assertEqual(said["text"], "smile \ufffd and \ufffd", vendor)
            self.assertEqual(said["thinking"], "hm \ufffd.", vendor)
            self.assertEqual(json.loads(said["tool"]), {"a": "\ufffd"}, vendor)

    def test_passed_on_they_stay_as_they_came(self) -> None:
        """The bytes, and all that is known of a stream besides."""
        for vendor in SSE:
            for low in (rb"\ude00", b""):
                stream = frames(vendor, low)
                reader: Any = DIALECTS[vendor].reader(strip_usage=False, choices=1, max_event=1 << 20)
                events: list[Any] = []
                for frame in stream:
                    events += reader.feed(frame)
                if not reader.done:
                    events += reader.end()
                self.assertEqual(b"".join(event.frame for event in events), b"".join(stream), vendor)
                self.assertIs(events[-1].kind, EventKind.DONE)
                self.assertEqual(reader.usage, Usage(1, 1), vendor)

    def test_in_chunks_that_are_changed(self) -> None:
        """What is left out of a chunk, or lies over lines, moves no other half."""
        reader: Any = DIALECTS["openai_chat"].reader(strip_usage=True, choices=1, max_event=1 << 20)
        choice = rb'"choices":[{"index":0,"delta":{"content":"\\ufffd \ufffd \uDE00"},"finish_reason":"stop"}]'
        (event, _) = reader.feed(b'data: {"usage":null,%b}\n\ndata: [DONE]\n\n' % choice)
        self.assertEqual(event.frame, b"data: {%b}\n\n" % choice)
        reader = DIALECTS["openai_chat"].reader(strip_usage=True, choices=1, max_event=1 << 20)
        over_lines = b"data: {\ndata: %b\ndata: }\n\n" % choice
        self.assertEqual(reader.feed(over_lines + b"data: [DONE]\n\n")[0].frame, over_lines)


class Answers(SynchronousTestCase):
    def test_whole_answers(self) -> None:
        """Passed on they are read all the same; translated, a half is U+FFFD."""
        said = (ir.Thinking("hm @1", "c2ln"), ir.Text("smile @1"), ir.ToolCall("c", "f", '{"a":"@1"}'))
        answer = ir.Answer((ir.Choice(said, "tool"),), "i", "m", 1, Usage(1, 1))
        for vendor in (*SSE, "bedrock"):
            dialect: Any = DIALECTS[vendor]
            body = dialect.render_answer(answer, ResponseContext("m")).replace(b"@1", rb"\ud83d")
            self.assertRaises(UpstreamMalformed, dialect.read_answer, body)
            self.assertEqual(mending(dialect.read_answer, body), Usage(1, 1), vendor)
            (choice,) = mending(dialect.parse_answer, body).choices
            found = {type(part): part for part in choice.parts}
            self.assertEqual(found[ir.Text].text, "smile \ufffd", vendor)
            self.assertEqual(json.loads(found[ir.ToolCall].arguments), {"a": "\ufffd"}, vendor)
        self.assertRaises(UpstreamMalformed, mending, DIALECTS["openai_chat"].read_answer, b"{nope")


class Json(SynchronousTestCase):
    def test_mend(self) -> None:
        """Only halves that stand alone, and only escapes."""
        for data, mended in (
            (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
            (rb'"\uD83D\uDE00\ud83d"', rb'"\uD83D\uDE00\ufffd"'),
            (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
            (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
            (rb'"\\ud83d"', rb'"\\ud83d"'),
            (rb'"\\\ud83d"', rb'"\\\ufffd"'),
            (rb'"\u00e9\n"', rb'"\u00e9\n"'),
            (rb'"\ud8', rb'"\ud8'),
        ):
            self.assertEqual(mend(data), mended)
            self.assertEqual(restore(mended, mended, data), data)
            self.assertEqual(mend(data) is data, mended == data)

    def test_marks(self) -> None:
        """They become what they stand for, wherever in an event."""
        high, low = (json.loads(mark(b'"%b"' % half)) for half in (rb"\udbff", rb"\udfff"))
        halves = Halves()
        cite = ir.Citation("url", title=f"a{high}")
        for event, expected in (
            (ir.Open(0, "text"), [ir.Open(0, "text")]),
            (ir.Delta(0, high), []),
            (ir.Delta(1, high), []),
            (ir.Cite(0, cite), [ir.Cite(0, ir.Citation("url", title="a\ufffd"))]),
            (ir.Delta(0, low), [ir.Delta(0, "\U0010ffff")]),
            (ir.Delta(1, "x"), [ir.Delta(1, "\ufffdx")]),
            (ir.Delta(0, high, 1), []),
            (ir.Close(0, 0), [ir.Close(0, 0)]),
            (ir.Close(0, 1), [ir.Delta(0, "\ufffd", 1), ir.Close(0, 1)]),
        ):
            self.assertEqual(halves.join([event]), expected)
