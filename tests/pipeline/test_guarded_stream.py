"""Streams under detectors, and with placeholders: in whatever pieces they come, they say what the whole would."""

import json
import re
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import EdgeError
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable, GuardrailUnavailable
from llmedge.guards.verdicts import Tally
from llmedge.model import Event, EventKind
from llmedge.pipeline.guarded import RestoredStream, guarded_stream
from tests.effort import examples
from tests.guards.made import CANARY, Canaries, guard
from tests.pipeline.guarded import frames
from tests.pipeline.harness import Stream
from tests.pipeline.spoken import DIALECT_NAMES, Script, call_of, events_of, names, read

TEXTS = (
    f"Write to {CANARY}, or canary-2@leak.example; canary-x is none. \n\nEnd c",
    "nothing to see here, only words and a canary",
    CANARY,
    f"{CANARY}{CANARY} can canary-",
    'quotes " and \\ and \u00e9\U0001f600 ' + CANARY,
)
KINDS = ("text", "thinking", "tool")
MASK = re.compile(Canaries.pattern.pattern)


def pieces_of(text: str, random: Random) -> list[str]:
    cuts = sorted(random.randrange(len(text) + 1) for _ in range(random.randrange(9)))
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def through(stream: Any) -> list[list[Event]]:
    """All batches of a stream."""
    batches: list[list[Event]] = []
    reading = Deferred.fromCoroutine(frames(stream, batches.append))
    failed: list[Any] = []
    reading.addErrback(failed.append)
    if failed:
        raise failed[0].value
    return batches


class Splits(SynchronousTestCase):
    @settings(max_examples=examples(150), deadline=None)
    @given(st.integers(0, 2**32))
    def test_redacted_as_the_whole_would_be(self, seed: int) -> None:
        """In every dialect, in text, thoughts and arguments, however it is cut; and it ends as it should."""
        random = Random(seed)
        for dialect in DIALECT_NAMES:
            clock = Clock()
            call = call_of(dialect, clock)
            said = [(kind, random.choice(TEXTS)) for kind in random.sample(names(KINDS, dialect), 1)]
            said += [("text", random.choice(TEXTS))] if dialect != "openai_text" and said[0][0] != "text" else []
            texts = [arguments(text) if kind == "tool" else text for kind, text in said]
            blocks = [(kind, pieces_of(text, random)) for (kind, _), text in zip(said, texts, strict=True)]
            batches = events_of(call, blocks)
            if random.random() < 0.3:  # what one read of a socket brings
                batches = [[event for batch in batches for event in batch]]
            whole = read(call, batches)
            tally = Tally(guard(Canaries(), action="mask", on=("response",)), False)
            out = read(call, through(guarded_stream(call, Script(clock, *batches), [tally], lambda: None)))
            self.assertEqual(out.finish, whole.finish)
            want = [(kind, plain(kind, MASK.sub("[CANARY]", text))) for kind, text in whole.blocks]
            self.assertEqual([(kind, plain(kind, text)) for kind, text in out.blocks], want, dialect)
            self.assertNotIn("@leak", str(out))
            if want == [(kind, plain(kind, text)) for kind, text in whole.blocks] and dialect == "openai_responses":
                self.assertEqual(b"".join(out.frames), b"".join(whole.frames))

    @settings(max_examples=examples(150), deadline=None)
    @given(st.integers(0, 2**32))
    def test_restored_as_the_whole_would_be(self, seed: int) -> None:
        random = Random(seed)
        placeholders = Placeholders()
        for number in range(12):
            placeholders.put("EMAIL", f'v{number}"\\\n@x')
        text = "to <EMAIL_1>, <EMAIL_12> <EMAIL_13> < <EMAIL_ <EMAIL_2"
        for dialect in DIALECT_NAMES:
            call = call_of(dialect, Clock())
            kind = random.choice(names(KINDS, dialect))
            whole = json.dumps({"<EMAIL_3>": text, "n": 1}) if kind == "tool" else text
            batches = events_of(call, [(kind, pieces_of(whole, random))])
            out = read(call, through(RestoredStream(Script(call.deadline.clock, *batches), call, placeholders)))
            want = placeholders.restored(text)
            if kind == "tool":
                self.assertEqual(json.loads(out.blocks[0][1]), {'v2"\\\n@x': want, "n": 1})
            else:
                self.assertEqual(out.blocks, [(kind, want)], dialect)


def arguments(text: str) -> str:
    return json.dumps({"canary": text, "n": [1, {"q": text}]})


def plain(kind: str, text: str) -> Any:
    return json.loads(text) if kind == "tool" else text


class Streams(SynchronousTestCase):
    def stream(self, dialect: str, *blocks: Any, vendor: Any = None, **settings: Any) -> tuple[Any, list[list[Event]]]:
        self.clock = Clock()
        self.call = call_of(dialect, self.clock)
        self.tally = Tally(guard(Canaries(), on=("response",), **settings), False)
        self.over = 0
        script = events_of(self.call, blocks) if vendor is None else vendor
        self.vendor = Script(self.clock, *script)

        def over() -> None:
            self.over += 1

        return guarded_stream(self.call, self.vendor, [self.tally], over), script

    def test_what_is_clean_stays_bytes(self) -> None:
        """In every dialect; and nothing but what may grow waits."""
        for dialect in DIALECT_NAMES:
            stream, script = self.stream(dialect, ("text", ["one", " two", " can", "non", " three"]))
            out = through(stream)
            want = [event.frame for batch in script for event in batch]
            self.assertEqual([event.frame for batch in out for event in batch], want)
            self.assertGreaterEqual(self.over, 1)

    def test_what_may_grow_waits(self) -> None:
        stream, _ = self.stream("openai_chat", ("text", ["so can", "ary-17", "@leak.example", " ok"]), action="mask")
        seen = []
        while True:
            batch = stream.read_now()
            if batch is None:
                break
            seen.append(read(self.call, [batch]).blocks)
            if batch[-1].kind is EventKind.DONE:
                break
        self.assertNotIn("canary", str(seen))
        self.assertEqual("".join(text for each in seen for _, text in each), "so [CANARY] ok")

    def test_a_long_piece_does_not_wait_for_its_end(self) -> None:
        """What of it cannot grow any more goes on at once, for vendors that send much at a time."""
        stream, _ = self.stream(
            "gemini", ("text", ["a long piece of an answer that ends with can", "not, and goes on here"])
        )
        first = stream.read_now()
        self.assertEqual(read(self.call, [first]).blocks, [("text", "a long piece of an answer that ends with ")])
        rest = through(stream)
        out = read(self.call, [first, *rest])
        self.assertEqual(out.blocks, [("text", "a long piece of an answer that ends with cannot, and goes on here")])

    def test_blocked_before_anything_is_out(self) -> None:
        """A refusal in the client's dialect, whole, and the vendor is let go of; what it has said is charged."""
        for dialect in DIALECT_NAMES:
            stream, _ = self.stream(dialect, ("text", [CANARY, " and more"]))
            out = read(self.call, through(stream))
            self.assertIn(out.finish, ("filter", "refusal"), dialect)
            self.assertNotIn("canary-", str(out))
            self.assertIn("withheld" if dialect != "openai_text" else "", str(out.blocks))
            self.assertTrue(self.vendor.aborted)
            self.assertIsNotNone(stream.usage)
            self.assertEqual(self.tally.verdict, "block")

    def test_blocked_behind_the_beginning(self) -> None:
        """An error, and no end."""
        for dialect in DIALECT_NAMES:
            stream, _ = self.stream(dialect, ("text", ["Well, ", CANARY, " and more"]))
            out: list[list[Event]] = []
            with self.assertRaises(ContentBlocked):
                while (batch := stream.read_now()) is not None:
                    out.append(batch)
            self.assertNotIn("canary-", str(out))
            self.assertNotIn(EventKind.DONE, [event.kind for batch in out for event in batch])
            self.assertTrue(self.vendor.aborted)

    def test_blocked_as_an_error(self) -> None:
        stream, _ = self.stream("openai_chat", ("text", [CANARY]), block="error")
        self.assertRaises(ContentBlocked, through, stream)

    def test_names_of_arguments(self) -> None:
        """They cannot be masked; one that blocks sees them."""
        arguments = json.dumps({CANARY: 1})
        stream, _ = self.stream("openai_chat", ("tool", [arguments[:9], arguments[9:]]))
        self.assertRaises(ContentBlocked, through, stream)

    def test_in_shadow(self) -> None:
        """Nothing waits, nothing changes, and it is told."""
        stream, script = self.stream("openai_chat", ("text", ["can", "ary-17", "@leak.example"]), mode="shadow")
        self.assertEqual(through(stream), [list(batch) for batch in script])
        self.assertEqual((self.tally.verdict, self.tally.finds), ("block", {"CANARY": 1}))

    def test_what_no_dialect_knows(self) -> None:
        """Fields of an event that nobody reads are looked at as well, and go no further where something is in them."""
        odd = {
            "id": "c",
            "model": "x",
            "choices": [{"index": 0, "delta": {"content": "hi", "notes": [{"text": CANARY}]}}],
        }
        end = {"id": "c", "model": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = [Event(EventKind.CONTENT, b"data: " + json.dumps(each).encode() + b"\n\n") for each in (odd, end)]
        script = [*([event] for event in events), [Event(EventKind.DONE, b"data: [DONE]\n\n")]]
        stream, _ = self.stream("openai_chat", vendor=script, action="mask")
        out = read(self.call, through(stream))
        self.assertEqual((out.blocks, out.finish), ([("text", "hi")], "stop"))
        self.assertNotIn("canary-", str(out))

    def test_a_detector_that_breaks(self) -> None:
        """Closed ends the stream, open lets it go on: nothing of it is lost."""

        class Broken(Canaries):
            def find(self, text: str, start: int = 0) -> Any:
                if "boom" in text:
                    raise ZeroDivisionError
                return super().find(text, start)

        for rule in ("closed", "open"):
            clock = Clock()
            call = call_of("openai_chat", clock)
            script = events_of(call, [("text", ["so can", " boom", " on"])])
            tally = Tally(guard(Broken(), on=("response",), on_failure=rule, action="mask"), False)
            stream = guarded_stream(call, Script(clock, *script), [tally], lambda: None)
            if rule == "closed":
                self.assertRaises(GuardrailUnavailable, through, stream)
            else:
                self.assertEqual(read(call, through(stream)).blocks, [("text", "so can boom on")])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_something_else_was_between(self) -> None:
        """Clients of OpenAI's chats put a text together again: of a find over both of its parts the rest stays here."""
        tool = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for between in ({"tool_calls": [tool]}, {"reasoning_content": "hm"}, {"refusal": "no"}):
            deltas = [{"content": "to canary-17@"}, between, {"content": "leak.exa"}, {"content": "mple, and canary-1"}]
            for action in ("mask", "block"):
                call = call_of("openai_chat", clock := Clock())
                tally = Tally(guard(Canaries(), on=("response",), action=action), False)
                said = [{"id": "c", "model": "x", "choices": [{"index": 0, "delta": each}]} for each in deltas]
                script = [[Event(EventKind.CONTENT, b"data: %b\n\n" % json.dumps(each).encode())] for each in said]
                out: list[list[Event]] = []
                stream = guarded_stream(call, Script(clock, *script, *events_of(call, [])), [tally], lambda: None)
                reading = Deferred.fromCoroutine(frames(stream, out.append))
                if action == "block":
                    self.failureResultOf(reading, ContentBlocked)
                else:
                    self.assertIn(("text", "[CANARY], and canary-1"), read(call, out).blocks)
                self.assertNotIn("leak", str(out))
                self.assertEqual(tally.finds, {"CANARY": 1})

    def test_names_that_stand_twice(self) -> None:
        """The value that nobody has looked at does not go on."""
        call = call_of("openai_chat", clock := Clock())
        frame = b'data: {"choices":[{"index":0,"delta":{"content":"canary-17@leak.example","content":"fine"}}]}\n\n'
        script = [[Event(EventKind.CONTENT, frame)], *events_of(call, [])]
        tally = Tally(guard(Canaries(), on=("response",)), False)
        out = through(guarded_stream(call, Script(clock, *script), [tally], lambda: None))
        self.assertNotIn("canary", str(out))
        self.assertIn(("text", "fine"), read(call, out).blocks)

    def test_several_choices(self) -> None:
        """Each is a text of its own, whatever comes in between."""

        def piece(choice: int, text: str = "", finish: str | None = None) -> list[Event]:
            said = {"index": choice, "delta": {"content": text} if text else {}, "finish_reason": finish}
            frame = json.dumps({"id": "c", "model": "x", "choices": [said]}).encode()
            return [Event(EventKind.CONTENT, b"data: " + frame + b"\n\n")]

        clock = Clock()
        call = call_of("openai_chat", clock, choices=2)
        parts = [(0, "so can"), (1, "ary-17@leak.example? can"), (0, "ary-1@leak.example"), (1, "not"), (0, " on")]
        script = [piece(*each) for each in parts] + [piece(1, finish="stop"), piece(0, finish="stop")]
        script.append([Event(EventKind.DONE, b"data: [DONE]\n\n")])
        tally = Tally(guard(Canaries(), on=("response",), action="mask"), False)
        batches = through(guarded_stream(call, Script(clock, *script), [tally], lambda: None))
        texts = {0: "", 1: ""}
        for event in (each for batch in batches for each in batch):
            for choice in json.loads(event.frame[6:]).get("choices", []) if event.kind is EventKind.CONTENT else []:
                texts[choice["index"]] += choice["delta"].get("content") or ""
        self.assertEqual(texts, {0: "so [CANARY] on", 1: "ary-17@leak.example? cannot"})

    def test_a_stream_that_breaks(self) -> None:
        """What was held back of it does not go out."""
        clock = Clock()
        call = call_of("openai_chat", clock)
        script = events_of(call, [("text", ["well, can", "ary"])])[:2]
        tally = Tally(guard(Canaries(), on=("response",)), False)
        stream = guarded_stream(call, Stream(clock, *script, EdgeError("broke")), [tally], lambda: None)
        self.assertRaises(EdgeError, through, stream)

    def test_sounds(self) -> None:
        """They are no texts: they pass, and that is told, or are refused."""
        clock = Clock()
        call = call_of("gemini", clock)
        part = {"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        frame = b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\r\n\r\n"
        script = [[Event(EventKind.CONTENT, frame)], [Event(EventKind.DONE, b"")]]
        for rule in ("pass", "refuse"):
            tally = Tally(guard(Canaries(), on=("response",), on_unreadable=rule), False)
            stream = guarded_stream(call, Script(clock, *map(list, script)), [tally], lambda: None)
            if rule == "refuse":
                self.assertRaises(ContentUnreadable, through, stream)
            else:
                through(stream)
            self.assertEqual(tally.unread, ["audio"])


class Arguments(SynchronousTestCase):
    def through(self, dialect: str, blocks: Any, **settings: Any) -> tuple[Any, list[Any], list[Any]]:
        call = call_of(dialect, clock := Clock())
        script = events_of(call, blocks)
        tally = Tally(guard(Canaries(), on=("response",), **settings), False)
        out = through(guarded_stream(call, Script(clock, *script), [tally], lambda: None))
        return call, script, out

    def test_that_are_no_json(self) -> None:
        """Models write such; what is in them is found all the same."""
        for dialect in ("openai_chat", "openai_responses", "anthropic"):
            for text in (f"{{'to': '{CANARY}'}}", f"[{CANARY}]", f'{{"a": "b" {CANARY}}}', f'{{"a": {CANARY}'):
                for size in (1, 3, 99):
                    pieces = [text[at : at + size] for at in range(0, len(text), size)]
                    call, _, out = self.through(dialect, [("tool", pieces)], action="mask")
                    said = read(call, out).blocks[0][1]
                    self.assertNotIn("leak", said, text)
                    self.assertIn("[CANARY]", said)

    def test_clean_ones_stay_bytes(self) -> None:
        """However their strings are spelled, in shadow and enforced."""
        text = '{"q": "caf\\u00e9 can\\/ary \\u0026 \\ud83d\\ude00", "n": [1.50, true ]}'
        for dialect in ("openai_chat", "openai_responses", "anthropic"):
            for mode in ("shadow", "enforce"):
                pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
                _, script, out = self.through(dialect, [("text", ["hi"]), ("tool", pieces)], action="mask", mode=mode)
                self.assertEqual([e.frame for b in out for e in b], [e.frame for b in script for e in b])

    def test_of_tools_that_the_vendor_runs(self) -> None:
        """No dialect reads them: what is split over two of their pieces does not go on either."""

        def event(name: str, **more: Any) -> list[Event]:
            data = json.dumps({"type": name, "index": 1, **more}).encode()
            return [Event(EventKind.CONTENT, b"event: %b\ndata: %b\n\n" % (name.encode(), data))]

        block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
        pieces = ['{"q": "to canary-17@l', 'eak.example"}']
        own = [
            event("content_block_start", content_block=block),
            *(
                event("content_block_delta", delta={"type": "input_json_delta", "partial_json": each})
                for each in pieces
            ),
            event("content_block_stop"),
        ]
        for more in ({"action": "mask"}, {}, {"mode": "shadow"}):
            call = call_of("anthropic", clock := Clock())
            script = events_of(call, [("text", ["hello"])])
            script[-1:-1] = own
            tally = Tally(guard(Canaries(), on=("response",), **more), False)
            out: list[Any] = []
            stream = guarded_stream(call, Script(clock, *map(list, script)), [tally], lambda: None)
            try:
                out = through(stream)
            except ContentBlocked:
                self.assertEqual(more, {})
            self.assertEqual(tally.finds, {"CANARY": 1})
            self.assertEqual("canary" in str(out), "mode" in more)


class Told(SynchronousTestCase):
    def test_who_ends_it_is_told(self) -> None:
        """A guardrail that cannot say, or cannot read it, ends it: what it has said is told then."""

        class Broken(Canaries):
            def find(self, text: str, start: int = 0) -> Any:
                raise ZeroDivisionError

        call = call_of("openai_chat", clock := Clock())
        over: list[str] = []
        tally = Tally(guard(Broken(), on=("response",)), False)
        vendor = Script(clock, *events_of(call, [("text", ["well"])]))
        stream = guarded_stream(call, vendor, [tally], lambda: over.append(tally.verdict))
        self.assertRaises(GuardrailUnavailable, through, stream)
        self.assertEqual(over, ["unavailable"])
        self.assertTrue(vendor.aborted)
        self.flushLoggedErrors(ZeroDivisionError)
