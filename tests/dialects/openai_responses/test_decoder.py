"""A vendor's stream, read for a client of another dialect."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.ir import Begin, Citation, Close, Counted, Delta, End, Finish, Open, Sign
from llmedge.errors import (
    UpstreamCut,
    UpstreamMalformed,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from tests.dialects.openai_responses.cases import (
    BEGIN,
    COUNTED,
    DIALECT,
    HELLO,
    URL,
    USAGE,
    Maker,
    call,
    decoded,
    message,
    output_text,
    response,
    sse,
    thinking_and_tools,
)


class Decoding(SynchronousTestCase):
    def test_text(self) -> None:
        """A block opens with its first delta."""
        self.assertEqual(
            decoded(Maker([*HELLO.events]).end()),
            [
                BEGIN,
                Open(0, "text"),
                Delta(0, "Hel"),
                Delta(0, "lo"),
                Close(0),
                Finish("stop"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_thoughts_and_parallel_calls(self) -> None:
        """Arguments that mix stay apart, and byte for byte."""
        self.assertEqual(
            decoded(thinking_and_tools()),
            [
                BEGIN,
                Open(0, "thinking"),
                Delta(0, "First."),
                Delta(0, "\n\nSecond."),
                Sign(0, "gAAA="),
                Close(0),
                Open(1, "tool", 0, "call_1", "weather"),
                Open(2, "tool", 0, "call_2", "weather"),
                Delta(1, '{"a"'),
                Delta(2, "{"),
                Delta(1, ":1}"),
                Delta(2, "}"),
                Close(2),
                Close(1),
                Finish("tool"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_what_only_comes_when_done_is_not_lost(self) -> None:
        """Servers that stream little: whole items, or the last event alone. A thought that is only its proof."""
        items = [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            message(output_text("Hello", URL)),
            call("c", "f", "{}"),
        ]
        expected = [
            BEGIN,
            Open(0, "thinking", signature="x", redacted=True),
            Close(0),
            Open(1, "text"),
            Delta(1, "Hello"),
            ir.Cite(1, Citation("url", "https://a.example", "A", text_start=0, text_end=5)),
            Close(1),
            Open(2, "tool", 0, "c", "f"),
            Delta(2, "{}"),
            Close(2),
            Finish("tool"),
            Counted(COUNTED),
            End(),
        ]
        self.assertEqual(decoded(Maker().end(output=items)), expected)
        maker = Maker().begin()
        for index, item in enumerate(items):
            maker.say("response.output_item.done", output_index=index, item=item)
        self.assertEqual(decoded(maker.end(output=items)), expected)

    def test_without_indices(self) -> None:
        """As llama.cpp streams: no index, no number, a call's item has no id but the call's, all is done at the end."""
        bare = {"type": "function_call", "arguments": "", "status": "in_progress"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress"}},
            {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_1", "summary": []}},
            {"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "Hm"},
            {"type": "response.output_item.added", "item": message()},
            {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"},
        ]
        for each in ("fc_a", "fc_b"):
            events.append({"type": "response.output_item.added", "item": {**bare, "call_id": each, "name": "f"}})
            events.append({"type": "response.function_call_arguments.delta", "item_id": each, "delta": "{}"})
        thought = {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
            "encrypted_content": "",
        }
        events += [
            {"type": "response.output_item.done", "item": thought},
            {"type": "response.output_text.done", "item_id": "msg_1", "text": "Hi"},
            {"type": "response.content_part.done", "item_id": "msg_1", "part": output_text("Hi")},
            {"type": "response.output_item.done", "item": message(output_text("Hi"))},
        ]
        for each in ("fc_a", "fc_b"):
            item = {**bare, "call_id": each, "name": "f", "arguments": "{}", "status": "completed"}
            events.append({"type": "response.output_item.done", "item": item})
        events.append({"type": "response.completed", "response": {"id": "resp_1", "output": [], "usage": USAGE}})
        self.assertEqual(
            decoded(sse(*events)),
            [
                Begin("resp_1"),
                Open(0, "thinking"),
                Delta(0, "Hm"),
                Close(0),
                Open(1, "text"),
                Delta(1, "Hi"),
                Close(1),
                Open(2, "tool", 0, "fc_a", "f"),
                Delta(2, "{}"),
                Close(2),
                Open(3, "tool", 0, "fc_b", "f"),
                Delta(3, "{}"),
                Close(3),
                Finish("tool"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_incomplete(self) -> None:
        """What is still open is closed first."""
        maker = Maker(HELLO.events[:5])
        stream = maker.end("incomplete", incomplete_details={"reason": "content_filter"})
        self.assertEqual(
            decoded(stream),
            [BEGIN, Open(0, "text"), Delta(0, "Hel"), Close(0), Finish("filter"), Counted(COUNTED), End()],
        )

    def test_refusals_and_logprobs(self) -> None:
        """A refusal is a block of its own; tokens keep their likelihood."""
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        tokens = [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}]
        maker = Maker().say("response.output_text.delta", **place, delta="a", logprobs=tokens)
        maker.say("response.refusal.delta", **{**place, "content_index": 1}, delta="No")
        likely = ir.TokenLogprob("a", -1, None, (ir.TokenLogprob("b", -2),))
        self.assertEqual(
            decoded(maker.end()),
            [
                Begin(),
                Open(0, "text"),
                Delta(0, "a", 0, (likely,)),
                Open(1, "refusal"),
                Delta(1, "No"),
                Close(0),
                Close(1),
                Finish("refusal"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_broken(self) -> None:
        """Only the two terminal events end a stream well, for the form and for what is passed on."""
        hello = sse(*HELLO.events)
        delta = HELLO.events[4]
        for stream, kind in (
            (hello, UpstreamCut),
            (hello + b"data: [DONE]\n\n", UpstreamCut),
            (hello + Maker().end()[:-30], UpstreamCut),
            (b"", UpstreamCut),
            (hello + b"data: {\n\n", UpstreamMalformed),
            (hello + b'data: {"x":1}\n\n', UpstreamMalformed),
            (hello + sse({"type": "response.completed"}), UpstreamMalformed),
            (hello + sse({"type": "response.failed", "response": response("failed")}), VendorFailed),
            (
                sse({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}),
                VendorRateLimited,
            ),
            (sse({"type": "error", "code": "server_error", "message": "Boom"}), VendorFailed),
            (sse({"type": "error", "error": {"type": "overloaded_error", "message": "Boom"}}), VendorUnavailable),
            (b'data: {"error": {"message": "Boom"}}\n\n', VendorFailed),
        ):
            self.assertRaises(kind, decoded, stream)
            reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
            with self.assertRaises(kind):
                reader.feed(stream)
                if reader.broken is not None:
                    raise reader.broken
                reader.end()
        for stream in (
            hello + sse(delta),  # more of what was done
            sse({**delta, "type": "response.function_call_arguments.delta"}),  # nobody began it
            sse(delta, {**delta, "type": "response.refusal.delta"}),
            sse({**delta, "delta": 5}),
            sse({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call"}}),
        ):
            self.assertRaises(UpstreamMalformed, decoded, stream)

    def test_split_anywhere(self) -> None:
        """The same events, wherever the bytes are split."""
        for stream in (thinking_and_tools(), Maker([*HELLO.events]).end()):
            whole = decoded(stream)
            for size in (1, 2, 7):
                self.assertEqual(decoded(stream, size), whole)
            for at in range(len(stream)):
                decoder = DIALECT.decoder(choices=1, max_event=1 << 20)
                self.assertEqual(decoder.feed(stream[:at]) + decoder.feed(stream[at:]) + decoder.end(), whole)

    def test_cut_behind_the_event_of_a_whole_one(self) -> None:
        """Some servers say ``incomplete`` in the response only."""
        hello = {"type": "response.output_item.done", "item": message(output_text("Hi"))}
        end = {"type": "response.completed", "response": {"status": "incomplete", "output": []}}
        self.assertIn(Finish("length"), decoded(sse(hello, end)))
