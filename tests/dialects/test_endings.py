"""A failed end is told as a failure, in every dialect, whole and in a stream."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.registry import DIALECTS
from llmedge.errors import VendorFailed
from llmedge.pipeline.verdicts import verdict_of
from tests.dialects.gist import chat, chunk, streamed, whole


def answers(dialect: str, reason: Any) -> tuple[Any, list[Any]]:
    """The same text and end, whole and in a stream."""
    if dialect == "openai_chat":
        return chat({"content": "Hm"}, reason), [chunk({"content": "Hm"}), chunk({}, reason)]
    if dialect == "anthropic":
        block = {"type": "text", "text": "Hm"}
        stream = [
            {"type": "message_start", "message": {}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "message_delta", "delta": {"stop_reason": reason}},
            {"type": "message_stop"},
        ]
        return {"content": [block], "stop_reason": reason}, stream
    if dialect == "gemini":
        parts = {"content": {"parts": [{"text": "Hm"}]}}
        body = {"candidates": [parts | {"finishReason": reason}]}
        return body, [{"candidates": [parts]}, {"candidates": [{"finishReason": reason}]}]
    if dialect == "bedrock":
        body = {"output": {"message": {"content": [{"text": "Hm"}]}}, "stopReason": reason}
        return body, [("contentBlockDelta", {"delta": {"text": "Hm"}}), ("messageStop", {"stopReason": reason})]
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hm"}]}]
    body = {"output": output, "status": reason}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hm"}
    return body, [delta, {"type": "response.completed", "response": body}]


FAILED = {
    "openai_chat": ["error", "ERROR", "abort", "network_error", "insufficient_system_resource"],
    "openai_responses": ["failed", "cancelled"],
    "anthropic": ["error"],
}
UNUSABLE = {
    "openai_chat": ["function_call_filter: MALFORMED_FUNCTION_CALL", "malformed_tool_use"],
    "gemini": [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "MALFORMED_RESPONSE",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    ],
    "bedrock": ["malformed_model_output", "malformed_tool_use"],
}
GOOD = {
    "openai_chat": [
        ("stop", "stop"),
        ("eos", "stop"),
        (None, ""),
        ("content_filter: SPII", "filter"),
        ("sensitive", "filter"),
    ],
    "anthropic": [("end_turn", "stop"), ("something_new", "stop")],
    "gemini": [("STOP", "stop"), ("SOMETHING_NEW", "stop"), ("SAFETY", "filter"), ("OTHER", "filter")],
    "bedrock": [("end_turn", "stop"), ("something_new", "stop")],
    "openai_responses": [("completed", "stop")],
}


class Endings(SynchronousTestCase):
    def test_failures(self) -> None:
        """What was said before is given first, and no good end behind it."""
        for reasons, healthy in ((FAILED, False), (UNUSABLE, True)):
            for dialect, each in reasons.items():
                for reason in each:
                    with self.subTest(f"{dialect}: {reason}"):
                        body, stream = answers(dialect, reason)
                        error = self.assertRaises(VendorFailed, whole, dialect, body)
                        self.assertEqual(verdict_of(error).unhealthy, not healthy)
                        self.assertRaises(VendorFailed, streamed, dialect, *stream)
                        self.assertRaises(VendorFailed, streamed, dialect, stream[-1] if len(stream) < 4 else stream[2])

    def test_one_of_several(self) -> None:
        """A choice that failed is no answer, whatever the others say."""
        body = chat({"content": "a"})
        body["choices"].append({"index": 1, "message": {}, "finish_reason": "error"})
        self.assertRaises(VendorFailed, whole, "openai_chat", body)

    def test_with_its_error(self) -> None:
        """OpenRouter tells why beside the reason."""
        more = {"error": {"code": 502, "message": "upstream gone"}}
        for read in (
            lambda: whole("openai_chat", chat({"content": ""}, "error", **more)),
            lambda: streamed("openai_chat", chunk({"content": "a"}), chunk({}, "error", **more)),
        ):
            self.assertIn("upstream gone", self.assertRaises(VendorFailed, read).message)

    def test_good_ends(self) -> None:
        """What a vendor adds is a normal end."""
        for dialect, reasons in GOOD.items():
            for reason, finish in reasons:
                with self.subTest(f"{dialect}: {reason}"):
                    body, stream = answers(dialect, reason)
                    self.assertEqual(whole(dialect, body).finish, finish or "stop")
                    if reason is not None:
                        self.assertEqual(streamed(dialect, *stream).finish, finish)

    def test_with_a_call(self) -> None:
        """An answer that calls a tool ends to have it called, though its vendor says that the model is done."""
        tool = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
        start = ("contentBlockStart", {"start": {"toolUse": {"toolUseId": "a", "name": "f"}}})
        block = {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}
        part = {"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}
        call = {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
        for reason, expected in (("end_turn", "tool"), ("something_new", "tool"), ("max_tokens", "length")):
            events = answers("anthropic", reason)[1]
            events[1] = {"type": "content_block_start", "index": 0, "content_block": tool}
            body = {"output": {"message": {"content": [block]}}, "stopReason": reason}
            for heard in (
                whole("anthropic", {"content": [tool], "stop_reason": reason}),
                streamed("anthropic", *events),
                whole("bedrock", body),
                streamed("bedrock", start, ("messageStop", {"stopReason": reason})),
            ):
                self.assertEqual((len(heard.calls), heard.finish), (1, expected))
        for heard in (
            whole("gemini", {"candidates": [part]}),
            streamed("gemini", {"candidates": [part]}),
            whole("openai_chat", chat(call)),
            streamed("openai_chat", chunk(call, "stop")),
        ):
            self.assertEqual((len(heard.calls), heard.finish), (1, "tool"))

    def test_told_first(self) -> None:
        """The text before a failure in a stream is the client's."""
        for dialect in ("openai_chat", "gemini"):
            parser: Any = DIALECTS[dialect]
            decoder = parser.decoder(choices=1, max_event=9999)
            reason = "error" if dialect == "openai_chat" else "MALFORMED_FUNCTION_CALL"
            data = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in answers(dialect, reason)[1])
            self.assertIn("Hm", [getattr(event, "text", "") for event in decoder.feed(data)])
            self.assertIsInstance(decoder.broken, VendorFailed)
