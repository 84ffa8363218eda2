"""Messages streams, both directions, and round trips. The ``anthropic`` package puts together what clients get."""

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    UpstreamCut,
    UpstreamMalformed,
    UpstreamTooLarge,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from llmedge.model import Event, EventKind, Usage
from tests.effort import examples

CLAUDE = Anthropic()
ASKED = ResponseContext("asked", "msg_asked")
STREAMED: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def begin(index: int, kind: str, **fields: Any) -> bytes:
    return frame("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return frame("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return frame("content_block_stop", index=index)


def end(reason: str, sequence: str | None = None, details: Any = None, **counts: int) -> bytes:
    said = {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}
    return frame("message_delta", delta=said, usage={"output_tokens": 20, **counts})


START = frame(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP = frame("message_stop")
CITE = {
    "type": "char_location",
    "cited_text": "q",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 1,
    "end_char_index": 2,
    "file_id": None,
}
WHOLE = b"".join(
    (
        START,
        begin(0, "thinking", thinking="", signature=""),
        PING,
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="sig"),
        stop(0),
        begin(1, "redacted_thinking", data="enc"),
        stop(1),
        begin(2, "server_tool_use", id="s", name="web_search", input={}),
        delta(2, "input_json_delta", partial_json='{"q":1}'),
        stop(2),
        begin(3, "text", text=""),
        delta(3, "text_delta", text="Hé"),
        delta(3, "citations_delta", citation=CITE),
        stop(3),
        begin(4, "tool_use", id="t1", name="f", input={}),
        delta(4, "input_json_delta", partial_json=""),
        delta(4, "input_json_delta", partial_json='{"a": '),
        delta(4, "input_json_delta", partial_json="1.0}"),
        stop(4),
        begin(5, "tool_use", id="t2", name="g", input={}),
        stop(5),
        frame("something_new", x=1),
        end("tool_use", output_tokens_details={"thinking_tokens": 6}),
        STOP,
    )
)
FIRST, LAST = Usage(22, 1, 5, 0, 7, 3), Usage(22, 20, 5, 6, 7, 3)
EVENTS: list[ir.StreamEvent] = [
    ir.Begin("msg_1", "claude-x", 0, "default"),
    ir.Counted(FIRST),
    ir.Open(0, "thinking"),
    ir.Delta(0, "hm"),
    ir.Sign(0, "sig"),
    ir.Close(0),
    ir.Open(1, "thinking", signature="enc", redacted=True),
    ir.Close(1),
    ir.Open(2, "text"),
    ir.Delta(2, "Hé"),
    ir.Cite(2, ir.Citation("char", quote="q", document=0, start=1, end=2)),
    ir.Close(2),
    ir.Open(3, "tool", 0, "t1", "f"),
    ir.Delta(3, '{"a": '),
    ir.Delta(3, "1.0}"),
    ir.Close(3),
    ir.Open(4, "tool", 0, "t2", "g"),
    ir.Delta(4, "{}"),
    ir.Close(4),
    ir.Finish("tool"),
    ir.Counted(LAST),
    ir.End(),
]


def decode(data: bytes, step: int = 10**9) -> list[ir.StreamEvent]:
    decoder = CLAUDE.decoder(choices=1, max_event=10000)
    events: list[ir.StreamEvent] = []
    for first in range(0, len(data), step):
        events += decoder.feed(data[first : first + step])
    if not decoder.done:
        events += decoder.end()
    return events


def read(data: bytes, step: int = 10**9) -> tuple[list[Event], Usage | None]:
    reader = CLAUDE.reader(strip_usage=True, choices=1, max_event=10000)
    events: list[Event] = []
    for first in range(0, len(data), step):
        events += reader.feed(data[first : first + step])
    if not events or events[-1].kind is not EventKind.DONE:
        events += reader.end()
    return events, reader.usage


def encode(events: list[ir.StreamEvent]) -> list[Event]:
    encoder = CLAUDE.encoder(ASKED)
    return [out for event in events for out in encoder.encode([event])]


def joined(events: list[Event]) -> bytes:
    return b"".join(event.frame for event in events)


def documents(events: list[Event]) -> list[Any]:
    """The events, each strictly what the SDK's types say."""
    out = []
    for event in events:
        name, _, data = event.frame.partition(b"\n")
        document = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode(), event.frame
        STREAMED.validate_python(document, strict=True)
        out.append(document)
    return out


def together(events: list[Event]) -> dict[str, Any]:
    """What the SDK makes of a stream."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    for document in documents(events):
        event = STREAMED.validate_python(document)
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
    said: dict[str, Any] = message.to_dict()
    return said


class Reading(SynchronousTestCase):
    """A vendor's stream passed on."""

    def test_frames_stay_as_they_came(self) -> None:
        """Pings and unknown events too; what comes before content is held back as lifecycle."""
        events, usage = read(WHOLE)
        self.assertEqual(joined(events), WHOLE)
        self.assertEqual(usage, LAST)
        kinds = [event.kind for event in events]
        content = kinds[3:-1]
        self.assertEqual(kinds[:3] + kinds[-1:], [EventKind.LIFECYCLE] * 3 + [EventKind.DONE])
        self.assertEqual(set(content), {EventKind.CONTENT})

    def test_split_at_every_byte(self) -> None:
        whole = read(WHOLE)
        for step in range(1, 80):
            self.assertEqual(read(WHOLE, step), whole)
        for at in range(len(WHOLE)):
            reader = CLAUDE.reader(strip_usage=False, choices=1, max_event=10000)
            self.assertEqual(reader.feed(WHOLE[:at]) + reader.feed(WHOLE[at:]), whole[0])

    def test_what_counts_as_content(self) -> None:
        for data, content in (
            (START, False),
            (PING, False),
            (begin(0, "text", text=""), False),
            (begin(0, "text", text="x"), True),
            (begin(0, "thinking", thinking=""), False),
            (begin(0, "redacted_thinking", data="x"), True),
            (begin(0, "tool_use", id="a", name="b", input={}), True),
            (begin(0, "server_tool_use", id="a", name="b", input={}), True),
            (end("end_turn"), True),
        ):
            event = CLAUDE.reader(strip_usage=False, choices=1, max_event=9999).feed(START + data)[-1]
            self.assertEqual(event.kind is EventKind.CONTENT, content, data)

    def test_a_name_that_is_missing(self) -> None:
        """SDKs skip events without one."""
        bare = WHOLE.replace(b"event: message_stop\n", b"").replace(b"event: content_block_delta\n", b"")
        self.assertEqual(joined(read(bare)[0]), WHOLE)

    def test_without_the_last_blank_line(self) -> None:
        for reading in (read, decode):
            self.assertEqual(reading(WHOLE[:-1]), reading(WHOLE))


class Broken(SynchronousTestCase):
    """What is not a whole stream, passed on or translated."""

    def test_a_cut_is_never_an_end(self) -> None:
        for reading in (read, decode):
            for at in range(len(WHOLE) - 3):
                self.assertRaises(UpstreamCut, reading, WHOLE[:at])
            self.assertRaises(UpstreamCut, reading, START + STOP)
            self.assertRaises(UpstreamCut, reading, STOP)

    def test_malformed_events_are_never_forwarded(self) -> None:
        """What can be read and makes no sense breaks the stream, after what was good; the rest is left out."""
        for bad in (
            b'data: {"type":7}\n\n',
            b"event: message_delta\ndata: {}\n\n" + b'data: {"type":"message_delta","delta":7}\n\n',
            b'data: {"type":"content_block_start","index":0}\n\n',
        ):
            for make in (CLAUDE.decoder, lambda **kw: CLAUDE.reader(strip_usage=False, **kw)):
                reader: Any = make(choices=1, max_event=1000)
                self.assertNotEqual(reader.feed(START + bad), [])
                self.assertRaises(UpstreamMalformed, reader.feed, b"")
        for bad in (b"data: {nope\n\n", b"data: 5\n\n", b"event: ping\ndata: \xff\n\n"):
            for make in (CLAUDE.decoder, lambda **kw: CLAUDE.reader(strip_usage=False, **kw)):
                reader = make(choices=1, max_event=1000)
                self.assertNotEqual(reader.feed(START + bad), [])
                self.assertEqual((reader.skipped, reader.broken), (1, None))
        for data in (delta(0, "text_delta", text="x"), begin(0, "text") * 2, stop(0)):
            self.assertRaises(UpstreamMalformed, decode, START + data)
        self.assertRaises(UpstreamMalformed, read, delta(0, "text_delta", text="x"))
        self.assertRaises(UpstreamTooLarge, read, b"data: " + b"x" * 20000)

    def test_error_events(self) -> None:
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


class Decoding(SynchronousTestCase):
    def test_a_whole_stream(self) -> None:
        self.assertEqual(decode(WHOLE), EVENTS)

    def test_split_at_every_byte(self) -> None:
        for step in range(1, 80):
            self.assertEqual(decode(WHOLE, step), EVENTS)
        for at in range(len(WHOLE)):
            decoder = CLAUDE.decoder(choices=1, max_event=10000)
            self.assertEqual(decoder.feed(WHOLE[:at]) + decoder.feed(WHOLE[at:]), EVENTS)

    def test_every_reason(self) -> None:
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
        reader = TranslatedReader(
            CLAUDE.decoder(choices=1, max_event=9999), OpenAIChat().encoder(ResponseContext("m", wants_usage=True))
        )
        events = reader.feed(WHOLE)
        self.assertIs(events[-1].kind, EventKind.DONE)
        self.assertEqual(reader.usage, LAST)


class Encoding(SynchronousTestCase):
    def test_a_whole_stream(self) -> None:
        """The same events out as in, but for what is not said in the form."""
        events = encode(EVENTS)
        self.assertEqual(decode(joined(events)), EVENTS)
        kinds = [event.kind.name for event in events]
        self.assertEqual(kinds, ["LIFECYCLE", "LIFECYCLE", *["CONTENT"] * 5, "LIFECYCLE", *["CONTENT"] * 11, "DONE"])
        usage = {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 6},
            "service_tier": "standard",
        }
        self.assertEqual(
            together(events),
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-x",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "enc"},
                    {"type": "text", "text": "Hé", "citations": [CITE]},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.0}},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                ],
                "stop_reason": "tool_use",
                "stop_sequence": None,
                "stop_details": None,
                "usage": usage,
            },
        )

    def test_blocks_one_after_another(self) -> None:
        """What OpenAI's deltas may mix comes in order, and as soon as it can."""
        encoder = CLAUDE.encoder(ASKED)

        def said(*events: ir.StreamEvent) -> list[Any]:
            out = documents(encoder.encode(list(events)))
            return [
                (each["type"].removeprefix("content_block_"), each["index"], each.get("delta", {}).get("partial_json"))
                for each in out
                if "index" in each
            ]

        def tool(number: int) -> ir.Open:
            return ir.Open(number, "tool", 0, f"t{number}", "f")

        self.assertEqual(said(ir.Begin("a", "m"), tool(0), tool(1)), [("start", 0, None)])
        self.assertEqual(said(ir.Delta(1, "b1"), ir.Delta(0, "a1"), tool(2)), [("delta", 0, "a1")])
        self.assertEqual(said(ir.Delta(2, "c1"), ir.Close(2), ir.Delta(1, "b2")), [])
        self.assertEqual(
            said(ir.Close(0)),
            [("stop", 0, None), ("start", 1, None), ("delta", 1, "b1"), ("delta", 1, "b2")],
        )
        self.assertEqual(said(ir.Delta(1, "b3")), [("delta", 1, "b3")])
        self.assertEqual(
            said(ir.Close(1)), [("stop", 1, None), ("start", 2, None), ("delta", 2, "c1"), ("stop", 2, None)]
        )
        self.assertEqual(said(ir.Finish("tool")), [])
        kinds = [event.kind.name for event in encoder.encode([ir.Counted(Usage(5, 6)), ir.End()])]
        self.assertEqual(kinds, ["CONTENT", "DONE"])

    def test_from_an_openai_vendor(self) -> None:
        """Two tools at once, deltas mixed, usage after the end."""

        def chunk(said: Any, finish: str | None = None, **more: Any) -> bytes:
            choices = [] if said is None else [{"index": 0, "delta": said, "finish_reason": finish}]
            return b"data: " + json.dumps({"id": "c", "model": "gpt", "choices": choices, **more}).encode() + b"\n\n"

        def call(index: int, arguments: str, **more: Any) -> bytes:
            function = {"arguments": arguments, **({"name": "f"} if more else {})}
            return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

        usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
        data = (
            chunk({"role": "assistant", "content": "Let"})
            + call(0, "", id="c0")
            + call(1, "", id="c1")
            + call(0, '{"a":')
            + call(1, '{"b":')
            + call(0, "1}")
            + call(1, "2}")
            + chunk({}, "tool_calls")
            + chunk(None, usage=usage)
            + b"data: [DONE]\n\n"
        )
        for step in (1, 7, 10**6):
            reader = TranslatedReader(OpenAIChat().decoder(choices=1, max_event=9999), CLAUDE.encoder(ASKED))
            events = [out for at in range(0, len(data), step) for out in reader.feed(data[at : at + step])]
            message = together(events)
            self.assertEqual(
                message["content"],
                [
                    {"type": "text", "text": "Let", "citations": None},
                    {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": 1}},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 2}},
                ],
            )
            self.assertEqual(message["stop_reason"], "tool_use")
            counts = {name: message["usage"][name] for name in ("input_tokens", "cache_read_input_tokens")}
            self.assertEqual(counts, {"input_tokens": 6, "cache_read_input_tokens": 3})
            self.assertEqual(message["usage"]["output_tokens"], 4)

    def test_what_cannot_be_said(self) -> None:
        """Refusals become text and the reason; sound and other choices are left out."""
        events = encode(
            [
                ir.Begin(),
                ir.Open(0, "audio"),
                ir.Delta(0, "AAAA"),
                ir.Open(0, "text", 1),
                ir.Delta(0, "other", 1),
                ir.Close(0),
                ir.Open(1, "tool", 0, "t", "f"),
                ir.Sign(1, "gemini's"),
                ir.Close(1),
                ir.Open(2, "refusal"),
                ir.Delta(2, "no"),
                ir.Close(2),
                ir.Finish("stop"),
                ir.Finish("length", 1),
                ir.End(),
            ]
        )
        message = together(events)
        self.assertEqual(
            message["content"],
            [
                {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                {"type": "text", "text": "no", "citations": None},
            ],
        )
        self.assertEqual((message["id"], message["model"]), ("msg_asked", "asked"))
        self.assertEqual(message["stop_reason"], "refusal")

    def test_an_empty_answer(self) -> None:
        events = encode([ir.Begin("a", "m"), ir.Finish("length", 0), ir.End()])
        self.assertEqual(
            [each["type"] for each in documents(events)], ["message_start", "message_delta", "message_stop"]
        )

    def test_heartbeats_and_errors_are_events(self) -> None:
        self.assertEqual(CLAUDE.heartbeat, PING)


# Round trips: whatever this dialect can say comes back

words = st.text(max_size=8)
some = st.text(min_size=1, max_size=8)
counts = st.integers(0, 100)
marks = st.sampled_from(["", "5m", "1h"])
ranges = st.builds(
    ir.Citation,
    st.sampled_from(["char", "page", "block"]),
    title=words,
    quote=words,
    document=counts,
    start=counts,
    end=counts,
)
webs = st.builds(ir.Citation, st.just("url"), url=words, title=words, quote=words, opaque=some)
results = st.builds(
    ir.Citation, st.just("block"), url=some, title=words, quote=words, document=counts, start=counts, end=counts
)
texts = st.builds(ir.Text, some, cache=marks)
cited = st.builds(ir.Text, some, st.lists(ranges | webs | results, max_size=2).map(tuple), marks)
urls = st.builds(ir.Source, st.just("url"), words.map("https://".__add__))
files = st.builds(ir.Source, st.just("file"), some)
pictures = st.builds(ir.Source, st.just("base64"), words, st.sampled_from(["image/png", "image/webp"]))
papers = st.just(ir.Source("base64", "JVBE", "application/pdf")) | st.builds(
    ir.Source, st.just("text"), words, st.just("text/plain")
)
images = st.builds(ir.Image, urls | files | pictures, cache=marks)
papers_said = st.builds(ir.File, urls | files | papers, words, words, st.booleans(), marks)
objects = st.dictionaries(words, st.none() | st.integers() | words, max_size=3)
arguments = st.builds(json.dumps, objects, indent=st.sampled_from([None, 1]), ensure_ascii=st.booleans())
ids = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
calls = st.builds(ir.ToolCall, ids, some, arguments, cache=marks)
thoughts = st.builds(ir.Thinking, words, some) | st.builds(ir.Thinking, st.just(""), some, st.just(True))
contents = st.lists(texts | images | papers_said, max_size=2).map(tuple)
answers_of_tools = st.builds(ir.ToolResult, ids, contents, error=st.booleans(), cache=marks)


def message(role: ir.Role, part: Any, least: int = 1) -> st.SearchStrategy[ir.Message]:
    return st.builds(ir.Message, st.just(role), st.lists(part, min_size=least, max_size=3).map(tuple))


said_by_user = message("user", texts | images | papers_said)
said_by_model = message("assistant", cited | calls | thoughts)
turns = st.one_of(
    said_by_user.map(lambda each: (each,)),
    said_by_model.map(lambda each: (each,)),
    st.tuples(said_by_model, message("tool", answers_of_tools, 1), said_by_model),
    st.tuples(said_by_model, message("tool", answers_of_tools, 1), said_by_user, said_by_model),
    st.tuples(said_by_user, message("system", texts, 1), said_by_model),
)
tools = st.builds(ir.Tool, some, words, arguments.filter("{}".__ne__).map(str.encode), st.none() | st.just(True), marks)
choices = st.sampled_from([ir.ToolChoice("auto"), ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))])
ways_to_think = st.builds(ir.Reasoning, st.just(False), st.sampled_from(["", "low"])) | st.builds(
    ir.Reasoning,
    st.just(True),
    st.sampled_from(["", "low", "max"]),
    st.just(-1) | st.integers(1024, 5000),
    st.none() | st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    opening = draw(st.none() | message("system", texts, 1))
    kit = tuple(draw(st.lists(tools, max_size=2)))
    choice = draw(st.none() | choices) if kit else None
    reasoning = draw(st.none() | ways_to_think)
    conversation = [m for turn in draw(st.lists(turns, min_size=1, max_size=3)) for m in turn]
    thinks = reasoning is not None and reasoning.enabled
    if thinks and choice is not None and choice.mode != "auto":
        choice = None
    return ir.Request(
        messages=(*(() if opening is None else (opening,)), *conversation),
        tools=kit,
        tool_choice=choice,
        parallel_tools=draw(st.sampled_from([None, False])) if choice else None,
        output=draw(st.none() | st.builds(ir.Output, st.just("json_schema"), arguments.map(str.encode))),
        reasoning=reasoning,
        max_tokens=draw(st.integers(5001, 9999)),
        temperature=None if thinks else draw(st.none() | st.floats(0, 1)),
        top_p=None if thinks else draw(st.none() | st.floats(0, 0.99)),
        top_k=None if thinks else draw(st.none() | st.integers(0, 99)),
        stop=tuple(draw(st.lists(some, max_size=2))),
        user=draw(words),
        service_tier=draw(st.sampled_from(["", "default"])),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    fresh, cached, five, hour, reasoning, rest = (draw(counts) for _ in range(6))
    return Usage(fresh + cached + five + hour, reasoning + rest, cached, reasoning, five + hour, hour)


shown = st.builds(ir.Text, some, st.lists(ranges | webs | results, max_size=2).map(tuple))
answers = st.builds(
    ir.Answer,
    st.builds(
        ir.Choice,
        st.lists(shown | thoughts | st.builds(ir.ToolCall, some, some, arguments), max_size=4).map(tuple),
        st.sampled_from(["stop", "stop_sequence", "length", "tool", "refusal", "pause", "context"]),
        stop_sequence=words,
    ).map(lambda choice: (choice,)),
    some,
    some,
    usage=usages(),
    service_tier=st.sampled_from(["", "default", "priority", "batch"]),
)


def streamed(answer: ir.Answer) -> list[ir.StreamEvent]:
    """An answer as a stream."""
    assert answer.usage is not None
    events: list[ir.StreamEvent] = [ir.Begin(answer.id, answer.model, 0, answer.service_tier)]
    # The message begins with the first thing said, and with the usage known by then.
    events.append(ir.Counted(Usage(answer.usage.input) if answer.choices[0].parts else answer.usage))
    for number, part in enumerate(answer.choices[0].parts):
        if isinstance(part, ir.Text):
            events += (ir.Open(number, "text"), ir.Delta(number, part.text))
            events += (ir.Cite(number, cite) for cite in part.citations)
        elif isinstance(part, ir.ToolCall):
            events += (ir.Open(number, "tool", 0, part.id, part.name), ir.Delta(number, part.arguments[:5]))
            events += [ir.Delta(number, part.arguments[5:])] if part.arguments[5:] else []
        elif isinstance(part, ir.Thinking) and part.redacted:
            events.append(ir.Open(number, "thinking", signature=part.signature, redacted=True))
        elif isinstance(part, ir.Thinking):
            events.append(ir.Open(number, "thinking"))
            events += [ir.Delta(number, part.text)] if part.text else []
            events.append(ir.Sign(number, part.signature))
        events.append(ir.Close(number))
    choice = answer.choices[0]
    events += (ir.Finish(choice.finish, 0, choice.stop_sequence), ir.Counted(answer.usage), ir.End())
    return events


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(150), deadline=None)
    @given(requests())
    def test_requests(self, request: ir.Request) -> None:
        quirks = frozenset({"system_messages"})
        body = CLAUDE.render(request, "m", RenderContext({}, False), stream=True, quirks=quirks)
        again = CLAUDE.parse(CLAUDE.parse_request(body).fields)
        self.assertEqual(without_places(again), without_places(request))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers)
    def test_answers(self, answer: ir.Answer) -> None:
        self.assertEqual(CLAUDE.parse_answer(CLAUDE.render_answer(answer, ASKED)), answer)

    @settings(max_examples=examples(150), deadline=None)
    @given(answers, st.integers(1, 50))
    def test_streams(self, answer: ir.Answer, step: int) -> None:
        """Both ways, wherever the bytes are cut; and passed on unchanged."""
        events = streamed(answer)
        frames = encode(events)
        documents(frames)
        data = joined(frames)
        self.assertEqual(decode(data, step), events)
        passed, usage = read(data, step)
        self.assertEqual((joined(passed), usage), (data, answer.usage))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers, st.randoms())
    def test_mixed_blocks(self, answer: ir.Answer, random: Any) -> None:
        """However the events of blocks are mixed, a client gets the blocks one after another, whole and in order."""
        first, counted, *rest = streamed(answer)
        queues: dict[int, list[ir.StreamEvent]] = {}
        opened: list[ir.StreamEvent] = []
        for event in rest[:-3]:
            assert isinstance(event, ir.Open | ir.Delta | ir.Sign | ir.Cite | ir.Close)
            if isinstance(event, ir.Open):
                opened.append(event)
            else:
                queues.setdefault(event.block, []).append(event)
        mixed: list[ir.StreamEvent] = []
        ready: list[int] = []
        while opened or ready:
            if opened and (not ready or random.random() < 0.5):
                ready.append(opened[0].block)  # type: ignore[union-attr]
                mixed.append(opened.pop(0))
            else:
                number = random.choice(ready)
                mixed.append(queues[number].pop(0))
                if not queues[number]:
                    ready.remove(number)
        frames = encode([first, counted, *mixed, *rest[-3:]])
        self.assertEqual(joined(frames), joined(encode(streamed(answer))))


def without_places(request: ir.Request) -> ir.Request:
    """The request without its messages' paths, which belong to the body."""
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    fields["messages"] = tuple(ir.Message(each.role, each.parts) for each in request.messages)
    return ir.Request(**fields)
