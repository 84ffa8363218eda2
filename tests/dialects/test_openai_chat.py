import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.openai_chunks import ChunkReader
from llmedge.dialects.openai_text import OpenAIText
from llmedge.dialects.weight import is_deeper
from llmedge.errors import EdgeError, UpstreamCut, UpstreamMalformed, ValidationError, VendorFailed
from llmedge.model import Event, EventKind, Usage
from tests.effort import examples

CHAT = OpenAIChat()
MESSAGE = {"role": "user", "content": "hi"}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": [MESSAGE], **fields}).encode()


def chunk(delta: dict | None = None, finish: str | None = None, index: int = 0, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "x", "choices": choices, **more}).encode() + b"\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
HELLO = chunk({"content": "Hello"})
STOP = chunk({}, "stop")
USAGE = chunk(None, usage={"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}})
DONE = b"data: [DONE]\n\n"


class Requests(SynchronousTestCase):
    def refused(self, raw: bytes) -> ValidationError:
        return self.assertRaises(ValidationError, lambda: CHAT.check(CHAT.parse_request(raw).fields))

    def test_what_is_wrong_is_named(self) -> None:
        """Each message says what to change, and param names the field."""
        for raw, param, words in (
            (b"", None, "no body"),
            (b"{", None, "ends too early, or has half an escape (byte 1)"),
            (b'{"model": nope}', None, "byte 11"),
            (b"[]", None, "must be a JSON object"),
            (b'{"a": "\xff"}', None, "not UTF-8: byte 7"),
            (b"[" * 100000, None, "nested more than 100 deep"),
            (b'{"model":"m","messages":' + b"[" * 100000, None, "nested more than 100 deep"),
            (b"{}", "model", "'model' is required"),
            (body(model=5), "model", "expected str, got int"),
            (body(model=" "), "model", "must not be empty"),
            (b'{"model":"m"}', "messages", "'messages' is required"),
            (body(messages=[]), "messages", "at least one"),
            (body(messages="hi"), "messages", "expected array, got str"),
            (body(messages=[{"content": "x"}]), "messages[0].role", "is required"),
            (body(messages=[MESSAGE, {"role": 1}]), "messages[1].role", "expected str"),
            (body(messages=[{"role": "user", "content": 1}]), "messages[0].content", "mistyped"),
            (body(stream="yes"), "stream", "expected bool"),
            (body(temperature="hot"), "temperature", "expected float"),
            (body(max_tokens=1.5), "max_tokens", "expected int"),
            (body(n=0), "n", "at least 1"),
            (body(stop=[1]), "stop[0]", "expected str"),
            (body(tools={}), "tools", "expected array"),
        ):
            error = self.refused(raw)
            self.assertEqual(error.param, param, raw[:60])
            self.assertIn(words, error.message)
            self.assertEqual((error.status, error.code), (400, "VALIDATION_ERROR"))

    def test_the_body_passes_through(self) -> None:
        """Only the model changes; unknown fields, number forms and order inside values are the bytes received."""
        raw = (
            b'{"model":"a","x_new":{"b":1.0,"a":1e2,"big":123456789012345678901234567890},"messages":[{"role":"user"}]}'
        )
        request = CHAT.parse_request(raw)
        rendered = CHAT.forward(request.fields, "b", stream=False, ask_usage=True)
        self.assertEqual(rendered, raw.replace(b'"model":"a"', b'"model":"b"'))

    def test_usage_is_always_asked_for(self) -> None:
        """Whatever else the client put into stream_options stays."""
        request = CHAT.parse_request(body(stream=True, stream_options={"include_obfuscation": False}))
        self.assertFalse(request.wants_usage)
        rendered = json.loads(CHAT.forward(request.fields, "m", stream=True, ask_usage=True))
        self.assertEqual(rendered["stream_options"], {"include_obfuscation": False, "include_usage": True})
        plain = json.loads(CHAT.forward(request.fields, "m", stream=True, ask_usage=False))
        self.assertEqual(plain["stream_options"], {"include_obfuscation": False})

    @settings(max_examples=examples(200), deadline=None)
    @given(
        st.recursive(
            st.none() | st.text(alphabet='[]{}"\\a'),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
            max_leaves=30,
        ),
        st.integers(0, 8),
    )
    def test_depth(self, document: object, limit: int) -> None:
        """Brackets in strings do not count; the others do."""

        def depth(value: object) -> int:
            if isinstance(value, dict):
                value = list(value.values())
            return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

        self.assertEqual(is_deeper(json.dumps(document).encode(), limit), depth(document) > limit)

    def test_text_prompts(self) -> None:
        """n answers for each prompt; a list of numbers is one prompt."""
        for prompt, choices in (("x", 2), (["a", "b", "c"], 6), ([1, 2], 2), ([[1], [2]], 4)):
            raw = json.dumps({"model": "m", "prompt": prompt, "n": 2}).encode()
            self.assertEqual(OpenAIText().parse_request(raw).choices, choices)
        for prompt in (5, None, [], {"a": 1}):
            fields = OpenAIText().parse_request(json.dumps({"model": "m", "prompt": prompt}).encode()).fields
            self.assertEqual(self.assertRaises(ValidationError, OpenAIText().check, fields).param, "prompt")


class Answers(SynchronousTestCase):
    def test_usage(self) -> None:
        answer = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,'
        answer += b'"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":6}}}'
        self.assertEqual(CHAT.read_answer(answer), Usage(7, 9, 4, 6))
        for none in (b"", b',"usage":null', b',"usage":5', b',"usage":[]', b',"usage":{"prompt_tokens":1e999}'):
            self.assertIsNone(CHAT.read_answer(b'{"choices":[]' + none + b"}"))
        for strange in (b"-1", b"1e30", b'"7"', b"null", b"{}", b"true"):
            usage = CHAT.read_answer(b'{"choices":[],"usage":{"completion_tokens":' + strange + b"}}")
            self.assertIn(usage.output, (0, 1), strange)

    def test_what_is_no_answer(self) -> None:
        """An error behind status 200, and what is not an answer at all, are failures, never a 200."""
        error = self.assertRaises(VendorFailed, CHAT.parse_answer, b'{"error":{"message":"boom"}}')
        self.assertIn("boom", error.message)
        for raw in (b"", b"<html>", b"[]", b'{"choices":[]', b'{"x":1}', b'{"choices":[{"x":"\xff"}]}'):
            self.assertRaises(UpstreamMalformed, CHAT.parse_answer, raw)

    def test_error_objects_of_many_servers(self) -> None:
        for raw, message, code in (
            (b'{"error":{"message":"m","code":"context_length_exceeded","type":"t"}}', "m", "context_length_exceeded"),
            (b'{"error":{"message":"m","code":400,"type":"exceed_context_size_error"}}', "m", ""),
            (b'{"detail":"not here"}', "not here", ""),
            (b'{"detail":[{"loc":["body","x",0],"msg":"bad"},{"msg":"worse"},5]}', "body.x.0: bad; worse", ""),
            (b'{"object":"error","message":{"detail":[{"loc":"x","msg":"bad"}]}}', "bad", ""),
            (b'[{"error":{"message":"in a list","code":"x"}}]', "in a list", "x"),
            (b'[{"error":{"message":"a"}},{}]', "", ""),
            (b'{"error":"plain"}', "plain", ""),
            (b"<html>", "", ""),
            (b"[1]", "", ""),
        ):
            error = CHAT.parse_error(raw)
            self.assertEqual((error.message, error.code), (message, code))


def read(data: bytes, *, strip: bool = True, choices: int = 1, step: int = 10**9) -> tuple[list[Event], ChunkReader]:
    reader = CHAT.reader(strip_usage=strip, choices=choices, max_event=10000)
    events: list[Event] = []
    for start in range(0, len(data), step):
        events += reader.feed(data[start : start + step])
        if events and events[-1].kind is EventKind.DONE:
            return events, reader
    return events + reader.end(), reader


class Streams(SynchronousTestCase):
    def test_a_whole_stream(self) -> None:
        """Roles are held back as lifecycle, usage is taken out and accounted."""
        events, reader = read(ROLE + HELLO + STOP + USAGE + DONE)
        kinds = [event.kind.name for event in events]
        self.assertEqual(kinds, ["LIFECYCLE", "CONTENT", "CONTENT", "DONE"])
        self.assertEqual(b"".join(event.frame for event in events), ROLE + HELLO + STOP + DONE)
        self.assertEqual(reader.usage, Usage(3, 5, 2))

    def test_usage_stays_for_a_client_that_asked(self) -> None:
        events, _ = read(ROLE + HELLO + STOP + USAGE + DONE, strip=False)
        self.assertEqual(b"".join(event.frame for event in events), ROLE + HELLO + STOP + USAGE + DONE)

    def test_usage_inside_other_chunks(self) -> None:
        """OpenAI's null on each chunk is there because usage was asked for; totals beside a choice are the vendor's."""
        last = chunk({}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2})
        events, reader = read(chunk({"content": "a"}, usage=None) + last + DONE)
        self.assertNotIn("usage", json.loads(events[0].frame[6:]))
        self.assertEqual(events[1].frame, last)
        self.assertEqual(reader.usage, Usage(1, 2))

    def test_what_a_usage_chunk_says_besides(self) -> None:
        """It is in the finishing chunk, which waits for it; without one in a chunk of its own."""
        counts = {"prompt_tokens": 3, "completion_tokens": 5}
        told = {"timings": {"ms": 1}, "system_fingerprint": "fp", "service_tier": None, "id": "other"}
        usage = chunk(usage=counts, **told)
        whole = json.loads(STOP[6:]) | {"timings": {"ms": 1}, "system_fingerprint": "fp"}
        for step in (1, 50, 10**9):
            events, reader = read(HELLO + STOP + usage + DONE, step=step)
            self.assertEqual([json.loads(each.frame[6:]) for each in events[1:-1]], [whole])
            self.assertEqual(reader.usage, Usage(3, 5))
        alone = chunk(usage=counts, timings={"ms": 1})
        events, _ = read(HELLO + alone + STOP + DONE)
        self.assertEqual(json.loads(events[1].frame[6:]), {"id": "x", "choices": [], "timings": {"ms": 1}})
        two = chunk({"content": "b"}, "stop", index=1)
        events, _ = read(HELLO + STOP + two + USAGE + DONE, choices=2)
        self.assertEqual([each.frame for each in events], [HELLO, STOP, two, DONE])

    def test_a_finishing_chunk_is_never_lost(self) -> None:
        """It comes before whatever else follows, also the end of the body, and an error."""
        for rest in (b"", DONE, chunk({}) + DONE, b": nothing\n\n" + DONE):
            events, _ = read(HELLO + STOP + rest)
            self.assertIn(STOP, [each.frame for each in events])
        reader = CHAT.reader(strip_usage=True, choices=1, max_event=1000)
        self.assertEqual([each.frame for each in reader.feed(HELLO + STOP)], [HELLO])
        self.assertEqual([each.frame for each in reader.feed(b"data: {nope\n\n")], [STOP])
        self.assertRaises(UpstreamMalformed, reader.feed, DONE)

    def test_the_word_usage_in_content_is_not_touched(self) -> None:
        text = chunk({"content": 'say "usage": null'})
        events, _ = read(text + STOP + DONE)
        self.assertEqual(events[0].frame, text)

    @settings(max_examples=examples(60), deadline=None)
    @given(st.integers(1, 60))
    def test_split_anywhere(self, step: int) -> None:
        data = ROLE + HELLO + chunk({"content": "é✓"}) + STOP + USAGE + DONE
        self.assertEqual(read(data, step=step)[0], read(data)[0])

    def test_a_cut_is_never_an_end(self) -> None:
        """Wherever a stream is cut before every choice has finished, it is broken, not ended."""
        whole = ROLE + HELLO + STOP
        for end in range(len(whole) - 2):
            self.assertRaises(UpstreamCut, read, whole[:end])
        self.assertRaises(UpstreamCut, read, ROLE + HELLO + STOP + chunk({"content": "b"}, index=1))
        self.assertRaises(UpstreamCut, read, ROLE + HELLO + STOP, choices=2)
        self.assertRaises(UpstreamCut, read, ROLE + HELLO + DONE)

    def test_done_does_not_complete_an_open_choice(self) -> None:
        """[DONE] while another choice is half said is a cut."""
        other = chunk({"content": "b"}, index=1)
        self.assertRaises(UpstreamCut, read, ROLE + HELLO + other + STOP + DONE, choices=2)
        events, _ = read(ROLE + HELLO + STOP + DONE, choices=2)  # the vendor knows no n
        self.assertEqual(events[-1].frame, DONE)

    def test_data_in_several_lines(self) -> None:
        """Each line keeps its field name."""
        events, _ = read(b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n' + STOP + DONE)
        self.assertEqual(events[0].frame, b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n')

    def test_a_complete_answer_without_done_is_complete(self) -> None:
        events, _ = read(ROLE + HELLO + STOP)
        self.assertEqual(events[-1].frame, DONE)

    def test_malformed_events_are_never_forwarded(self) -> None:
        """What was good goes on; what comes behind them does not, whatever its end says."""
        for bad in (b"data: {nope\n\n", b"data: 5\n\n", b"data: \xff\n\n", b'data: {"choices":7}\n\n'):
            reader = CHAT.reader(strip_usage=True, choices=1, max_event=1000)
            self.assertEqual([event.frame for event in reader.feed(HELLO + bad + STOP + DONE)], [HELLO])
            self.assertRaises(UpstreamMalformed, reader.feed, STOP)
            self.assertRaises(UpstreamMalformed, reader.end)

    def test_error_events(self) -> None:
        """An error in the stream is a failure with the vendor's words."""
        for bad in (
            b'data: {"error":{"message":"overloaded"}}\n\n',
            b'event: error\ndata: {"message":"overloaded"}\n\n',
        ):
            error = self.assertRaises(VendorFailed, read, ROLE + bad)
            self.assertIn("overloaded", error.message)

    def test_what_counts_as_content(self) -> None:
        """Reasoning, refusals and tool calls are content; empty deltas and filter results are not."""
        for delta, content in (
            ({"role": "assistant", "content": None}, False),
            ({}, False),
            ({"role": "assistant", "tool_calls": [], "content": ""}, False),
            ({"reasoning_content": "hm"}, True),
            ({"refusal": "no"}, True),
            ({"tool_calls": [{"index": 0}]}, True),
        ):
            events = CHAT.reader(strip_usage=True, choices=1, max_event=1000).feed(chunk(delta))
            self.assertEqual(events[0].kind is EventKind.CONTENT, content, delta)
        first = CHAT.reader(strip_usage=True, choices=1, max_event=1000).feed(chunk(None, prompt_filter_results=[]))
        self.assertIs(first[0].kind, EventKind.LIFECYCLE)

    def test_an_error_frame_reads_as_an_error(self) -> None:
        frame = CHAT.error_frame(EdgeError("x"))
        self.assertEqual(json.loads(frame.removeprefix(b"data: "))["error"]["code"], "INTERNAL_ERROR")

    def test_raw_values_survive(self) -> None:
        self.assertIsInstance(CHAT.parse_request(body()).fields["messages"], msgspec.Raw)
