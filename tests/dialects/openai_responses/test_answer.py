"""Whole answers, read and written."""

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Citation, Text, Thinking
from llmedge.errors import (
    UpstreamMalformed,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from tests.dialects.openai_responses.cases import (
    COUNTED,
    DIALECT,
    REASONING,
    TOOL,
    URL,
    call,
    message,
    output_text,
    packed,
    raw,
    response,
)


class Answers(SynchronousTestCase):
    def test_whole(self) -> None:
        """Reasoning, text with citations, parallel calls, usage."""
        body = packed(
            response(
                output=[
                    REASONING,
                    message(output_text("Hello", URL)),
                    call("call_1", "weather", '{"city": "Oslo"}'),
                    call("call_2", "weather", '{"city": "Rome"}'),
                    {"type": "web_search_call", "id": "ws", "status": "completed"},
                ],
                service_tier="default",
            )
        )
        self.assertEqual(
            DIALECT.parse_answer(body),
            ir.Answer(
                (
                    ir.Choice(
                        (
                            Thinking("First.\n\nSecond.", "gAAA=", id="rs_1"),
                            Text("Hello", (Citation("url", "https://a.example", "A", text_start=0, text_end=5),)),
                            ir.ToolCall("call_1", "weather", '{"city": "Oslo"}'),
                            ir.ToolCall("call_2", "weather", '{"city": "Rome"}'),
                        ),
                        "tool",
                    ),
                ),
                "resp_67ccd2bed1ec8190",
                "gpt-4.1-2025-04-14",
                1741476542,
                COUNTED,
                "default",
            ),
        )
        self.assertEqual(DIALECT.read_answer(body), COUNTED)

    def test_why_it_ended(self) -> None:
        """Status, reason and items together say it."""
        for said, finish in (
            (response(output=[message(output_text("a"))]), "stop"),
            (response(output=[message({"type": "refusal", "refusal": "No"})]), "refusal"),
            (response("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
            (response("incomplete", incomplete_details={"reason": "content_filter"}), "filter"),
        ):
            self.assertEqual(DIALECT.parse_answer(packed(said)).choices[0].finish, finish)

    def test_failures(self) -> None:
        """A failure behind a status of 200 is one."""
        error = {"code": "server_error", "message": "Boom"}
        for said, kind in (
            (response("failed", error=error), VendorFailed),
            (response("failed", error={"code": "rate_limit_exceeded", "message": "slow"}), VendorRateLimited),
            (response("failed", error={"code": "server_is_overloaded", "message": "x"}), VendorUnavailable),
            (response("cancelled"), VendorFailed),
            ({"error": {"message": "Boom"}}, VendorFailed),
            ({"object": "response"}, UpstreamMalformed),
            ([], UpstreamMalformed),
        ):
            for read in (DIALECT.parse_answer, DIALECT.read_answer):
                self.assertRaises(kind, read, packed(said))
        self.assertRaises(UpstreamMalformed, DIALECT.parse_answer, packed(response("in_progress")))
        self.assertRaises(UpstreamMalformed, DIALECT.parse_answer, b"\xff")
        self.assertEqual(DIALECT.parse_error(packed({"error": error})).code, "server_error")

    def test_for_a_client(self) -> None:
        """The object in full; what was asked is repeated."""
        asked = ResponseContext(
            "m", "7", 5, fields=raw(packed({"tools": [TOOL], "temperature": 0.5, "text": {"verbosity": "low"}}))
        )
        answer = ir.Answer((ir.Choice((Thinking("t", "s"), Text("a"), ir.ToolCall("c", "f", '{"a":')), "length"),))
        self.assertEqual(
            json.loads(DIALECT.render_answer(answer, asked)),
            {
                "id": "resp_7",
                "object": "response",
                "created_at": 5,
                "completed_at": None,
                "model": "m",
                "status": "incomplete",
                "error": None,
                "incomplete_details": {"reason": "max_output_tokens"},
                "output": [
                    {
                        "id": "rs_7_0",
                        "type": "reasoning",
                        "summary": [{"type": "summary_text", "text": "t"}],
                        "encrypted_content": "s",
                    },
                    {
                        "id": "msg_7_1",
                        "type": "message",
                        "status": "completed",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}],
                    },
                    {
                        "id": "fc_7_2",
                        "type": "function_call",
                        "status": "incomplete",
                        "arguments": '{"a":',
                        "call_id": "c",
                        "name": "f",
                    },
                ],
                "usage": None,
                "background": False,
                "instructions": None,
                "max_output_tokens": None,
                "max_tool_calls": None,
                "metadata": {},
                "frequency_penalty": 0,
                "parallel_tool_calls": True,
                "presence_penalty": 0,
                "previous_response_id": None,
                "prompt_cache_key": None,
                "reasoning": {"effort": None, "summary": None},
                "safety_identifier": None,
                "temperature": 0.5,
                "text": {"format": {"type": "text"}, "verbosity": "low"},
                "tool_choice": "auto",
                "tools": [{"strict": None, "description": None, **TOOL}],
                "top_logprobs": 0,
                "top_p": 1.0,
                "truncation": "disabled",
                "service_tier": "default",
                "store": False,
            },
        )
