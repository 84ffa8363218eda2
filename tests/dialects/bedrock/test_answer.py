"""Answers of Converse, read and written."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.errors import (
    EdgeError,
    UpstreamMalformed,
    VendorFailed,
)
from llmedge.model import Usage
from tests.dialects.bedrock.cases import COUNTED, DIALECT, REASONS, USAGE


def answer(content: list[Any], reason: str = "end_turn", **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    body = {"output": {"message": message}, "stopReason": reason, "metrics": {"latencyMs": 1}, **more}
    return json.dumps(body).encode()


class Answers(SynchronousTestCase):
    maxDiff = None

    def test_whole(self) -> None:
        """Thoughts, text with citations, parallel tool calls; cached tokens are part of the input."""
        content = [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "eHl6"}},
            {"text": "Hello"},
            {"text": ""},
            {
                "citationsContent": {
                    "content": [{"text": "A "}, {"text": "fact"}],
                    "citations": [
                        {"title": "w", "location": {"web": {"url": "https://x", "domain": "x"}}},
                        {"location": {"documentChar": {"documentIndex": 1, "start": 0, "end": 9}}},
                        {
                            "source": "https://s",
                            "location": {"searchResultLocation": {"searchResultIndex": 2, "start": 0, "end": 1}},
                        },
                    ],
                }
            },
            {"toolUse": {"toolUseId": "s", "name": "web", "input": {}, "type": "server_tool_use"}},
            {"toolResult": {"toolUseId": "s", "content": [{"text": "found"}]}},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
            {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
        ]
        parts = (
            ir.Thinking("hm", "s"),
            ir.Thinking(signature="eHl6", redacted=True),
            ir.Text("Hello"),
            ir.Text(
                "A fact",
                (
                    ir.Citation("url", url="https://x", title="w"),
                    ir.Citation("char", document=1, start=0, end=9),
                    ir.Citation("block", url="https://s", document=2, start=0, end=1),
                ),
            ),
            ir.ToolCall("t1", "f", '{"a": 1}'),
            ir.ToolCall("t2", "g", "{}"),
        )
        body = answer(content, "tool_use", usage=USAGE, serviceTier={"type": "flex"})
        counted = ir.replace(COUNTED, tier="flex")
        expected = ir.Answer((ir.Choice(parts, "tool"),), usage=counted, service_tier="flex")
        self.assertEqual(DIALECT.parse_answer(body), expected)
        self.assertEqual(DIALECT.read_answer(body), counted)
        self.assertEqual(json.loads(DIALECT.render_answer(expected, ResponseContext("m")))["usage"], USAGE)

    def test_reasons(self) -> None:
        """Each reason to stop has its counterpart; a new one is a plain stop."""
        for reason, finish in REASONS.items():
            self.assertEqual(DIALECT.parse_answer(answer([], reason)).choices, (ir.Choice((), finish),))  # type: ignore[arg-type]
        stopped = answer([], "stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
        self.assertEqual(DIALECT.parse_answer(stopped).choices[0].stop_sequence, "END")

    def test_what_is_no_answer(self) -> None:
        """Errors in a 200 are raised as such, anything else is malformed; usage that makes no sense breaks nothing."""
        error = self.assertRaises(VendorFailed, DIALECT.parse_answer, b'{"message":"boom"}')
        self.assertIn("boom", error.message)
        for raw in (b"", b"<html>", b"[]", b"{}", b'{"output":{}}', b'{"output":5}', b'{"output":"\xff"}'):
            self.assertRaises(UpstreamMalformed, DIALECT.parse_answer, raw)
        self.assertEqual(DIALECT.read_answer(answer([], usage={"inputTokens": -1, "outputTokens": "x"})), Usage())
        self.assertIsNone(DIALECT.read_answer(answer([], usage=5)))

    def test_errors(self) -> None:
        """Message and code, however AWS spells them."""
        for raw, message, code in (
            (b'{"message":"The model is busy"}', "The model is busy", ""),
            (b'{"Message":"User is not authorized"}', "User is not authorized", ""),
            (b'{"__type":"com.amazon.coral#ValidationException:http://x","message":"m"}', "m", "ValidationException"),
            (b"<html>", "", ""),
            (b"[1]", "", ""),
            (b'{"message":5}', "", ""),
        ):
            error = DIALECT.parse_error(raw)
            self.assertEqual((error.message, error.code), (message, code))
        self.assertEqual(DIALECT.parse_error(DIALECT.error_body(EdgeError("x"))).message, "x")
