"""The stream that a client gets; the ``anthropic`` package puts it together."""

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.dialect import TranslatedReader
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.model import Event, Usage
from tests.dialects.anthropic.streams import (
    ASKED,
    CITE,
    CLAUDE,
    EVENTS,
    PING,
    STREAMED,
    decode,
    documents,
    encode,
    joined,
)


def together(events: list[Event]) -> dict[str, Any]:
    """What the SDK makes of a stream."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    for document in documents(events):
        event = STREAMED.validate_python(document)
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
    said: dict[str, Any] = message.to_dict()
    return said


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
            "server_tool_use": None,
            "inference_geo": None,
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
                "container": None,
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
        self.assertEqual(said(ir.Delta(1, "{b1"), ir.Delta(0, "{a1"), tool(2)), [("delta", 0, "{a1")])
        self.assertEqual(said(ir.Delta(2, "{c1"), ir.Close(2), ir.Delta(1, "b2")), [])
        self.assertEqual(
            said(ir.Close(0)),
            [("stop", 0, None), ("start", 1, None), ("delta", 1, "{b1"), ("delta", 1, "b2")],
        )
        self.assertEqual(said(ir.Delta(1, "b3")), [("delta", 1, "b3")])
        self.assertEqual(
            said(ir.Close(1)), [("stop", 1, None), ("start", 2, None), ("delta", 2, "{c1"), ("stop", 2, None)]
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
            decoder, encoder = OpenAIChat().decoder(choices=1, max_event=9999), CLAUDE.encoder(ASKED)
            reader = TranslatedReader(decoder, encoder, CallIds("1"))
            events = [out for at in range(0, len(data), step) for out in reader.feed(data[at : at + step])]
            message = together(events)
            self.assertEqual(
                message["content"],
                [
                    {"type": "text", "text": "Let"},
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
                {"type": "text", "text": "no"},
            ],
        )
        self.assertEqual((message["id"], message["model"]), ("msg_asked", "asked"))
        self.assertEqual(message["stop_reason"], "refusal")

    def test_an_empty_answer(self) -> None:
        """It has a beginning and an end, and no block."""
        events = encode([ir.Begin("a", "m"), ir.Finish("length", 0), ir.End()])
        self.assertEqual(
            [each["type"] for each in documents(events)], ["message_start", "message_delta", "message_stop"]
        )

    def test_heartbeats_and_errors_are_events(self) -> None:
        """The heartbeat is the vendor's own ping."""
        self.assertEqual(CLAUDE.heartbeat, PING)
