"""Whole answers and errors; the ``anthropic`` package's types judge what clients get."""

import json

from anthropic.types import Message
from anthropic.types.shared import ErrorResponse
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.dialect import ResponseContext
from llmedge.errors import (
    DeadlineExceeded,
    EdgeError,
    Overloaded,
    RateLimited,
    RequestTooLarge,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from llmedge.model import Usage

CLAUDE = Anthropic()
ASKED = ResponseContext("asked", "msg_asked")
ANSWER = b"""{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[
 {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"enc"},
 {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
 {"type":"web_search_tool_result","tool_use_id":"s","content":[]},
 {"type":"text","text":"Hi","citations":[{"type":"char_location","cited_text":"q","document_index":0,
   "document_title":"t","start_char_index":1,"end_char_index":2,"file_id":"file_1"}]},
 {"type":"tool_use","id":"t1","name":"f","input":{"a": 1.0}},{"type":"tool_use","id":"t2","name":"g","input":{}}],
 "stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":null,
 "usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,
  "cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},"output_tokens":20,
  "output_tokens_details":{"thinking_tokens":6},"server_tool_use":null,"inference_geo":null,
  "service_tier":"standard"}}"""
USAGE = Usage(22, 20, 5, 6, 7, 3)
PARSED = ir.Answer(
    (
        ir.Choice(
            (
                ir.Thinking("hm", "sig"),
                ir.Thinking(signature="enc", redacted=True),
                ir.Text(
                    "Hi",
                    (ir.Citation("char", title="t", quote="q", file="file_1", document=0, start=1, end=2),),
                ),
                ir.ToolCall("t1", "f", '{"a": 1.0}'),
                ir.ToolCall("t2", "g", "{}"),
            ),
            "tool",
        ),
    ),
    "msg_1",
    "claude-x",
    0,
    USAGE,
    "default",
)


def finished(finish: ir.FinishReason, *parts: ir.Part, stop: str = "") -> ir.Answer:
    return ir.Answer((ir.Choice(parts, finish, stop_sequence=stop),))


class Answers(SynchronousTestCase):
    def test_a_whole_answer(self) -> None:
        """Every block with a place in the form is read and written back; the vendor's own tools are left out."""
        self.assertEqual(CLAUDE.parse_answer(ANSWER), PARSED)
        self.assertEqual(CLAUDE.read_answer(ANSWER), USAGE)
        said = CLAUDE.render_answer(PARSED, ASKED)
        self.assertEqual(CLAUDE.parse_answer(said), PARSED)
        document = json.loads(said)
        Message.model_validate(document, strict=True)
        original = json.loads(ANSWER)
        original["content"] = [block for block in original["content"] if "web" not in json.dumps(block)]
        self.assertEqual(document, original)

    def test_what_is_missing_is_filled(self) -> None:
        """The SDK's types require fields that other vendors never send."""
        document = json.loads(CLAUDE.render_answer(finished("stop", ir.Text("x")), ASKED))
        Message.model_validate(document, strict=True)
        self.assertEqual(
            document,
            {
                "id": "msg_asked",
                "type": "message",
                "role": "assistant",
                "model": "asked",
                "content": [{"type": "text", "text": "x"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "stop_details": None,
                "container": None,
                "usage": {
                    "input_tokens": 0,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                    "output_tokens_details": None,
                    "server_tool_use": None,
                    "inference_geo": None,
                    "service_tier": None,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                },
            },
        )

    def test_every_reason(self) -> None:
        """Each reason to stop has its counterpart, there and back."""
        for theirs, ours in (
            ("end_turn", "stop"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop_sequence"),
            ("tool_use", "tool"),
            ("pause_turn", "pause"),
            ("refusal", "refusal"),
            ("model_context_window_exceeded", "context"),
        ):
            raw = json.dumps({"content": [], "stop_reason": theirs, "stop_sequence": "x"}).encode()
            answer = CLAUDE.parse_answer(raw)
            self.assertEqual((answer.choices[0].finish, answer.choices[0].stop_sequence), (ours, "x"))
            said = json.loads(CLAUDE.render_answer(answer, ASKED))
            self.assertEqual((said["stop_reason"], said["stop_sequence"]), (theirs, "x"))
            Message.model_validate(said, strict=True)
        for ours, theirs in (("filter", "refusal"), ("context", "model_context_window_exceeded")):
            self.assertEqual(json.loads(CLAUDE.render_answer(finished(ours), ASKED))["stop_reason"], theirs)
        self.assertEqual(CLAUDE.parse_answer(b'{"content":[],"stop_reason":"new"}').choices[0].finish, "stop")

    def test_refusals(self) -> None:
        """A client reads a refusal as text; a vendor's explanation is a refusal to others."""
        said = json.loads(CLAUDE.render_answer(finished("stop", ir.Refusal("no")), ASKED))
        self.assertEqual((said["stop_reason"], said["content"][0]["text"]), ("refusal", "no"))
        raw = b'{"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"bio"}}'
        self.assertEqual(CLAUDE.parse_answer(raw), finished("refusal", ir.Refusal("bio")))

    def test_what_cannot_be_said_does_not_break_the_rest(self) -> None:
        """Bad arguments, sound and foreign citations become what the form can say."""
        parts = (
            ir.ToolCall("a", "f", "{no"),
            ir.ToolCall("b", "f", ""),
            ir.Audio(ir.Source("base64", "x"), "said"),
            ir.Text("x", (ir.Citation("file", file="f"), ir.Citation("url", url="https://x"))),
        )
        said = json.loads(CLAUDE.render_answer(finished("stop", *parts), ASKED))
        Message.model_validate(said, strict=True)
        self.assertEqual(said["content"][0]["input"], {"invalid_arguments": "{no"})
        self.assertEqual(said["content"][1]["input"], {})
        self.assertEqual(said["content"][2]["text"], "said")
        self.assertEqual([cite["url"] for cite in said["content"][3]["citations"]], ["https://x"])

    def test_what_is_no_answer(self) -> None:
        """Errors in a 200 are raised as such, anything else is malformed."""
        error = b'{"type":"error","error":{"type":"%b","message":"boom"}}'
        for kind, raised in (
            (b"api_error", VendorFailed),
            (b"overloaded_error", VendorUnavailable),
            (b"rate_limit_error", VendorRateLimited),
        ):
            self.assertIn("boom", self.assertRaises(raised, CLAUDE.parse_answer, error % kind).message)
            self.assertRaises(raised, CLAUDE.read_answer, error % kind)
        for raw in (b"", b"<html>", b"[]", b'{"x":1}', b'{"content":[{"type":"\xff"}]}', b'{"content":5}'):
            self.assertRaises(UpstreamMalformed, CLAUDE.parse_answer, raw)

    def test_usage_nobody_can_read(self) -> None:
        """It counts as unknown or as nothing, and the answer stands."""
        for strange in (b"5", b"null", b"[]"):
            self.assertIsNone(CLAUDE.read_answer(b'{"content":[],"usage":%b}' % strange))
        self.assertEqual(CLAUDE.read_answer(b'{"content":[],"usage":{"input_tokens":-1}}'), Usage())
        only = b'{"content":[],"usage":{"cache_creation":{"ephemeral_5m_input_tokens":3}}}'
        self.assertEqual(CLAUDE.read_answer(only), Usage(3, cache_write=3))

    def test_errors(self) -> None:
        for error, kind in (
            (ValidationError("x", param="p", details=[1]), "invalid_request_error"),
            (EdgeError("x", status=401), "authentication_error"),
            (EdgeError("x", status=402), "billing_error"),
            (EdgeError("x", status=403), "permission_error"),
            (EdgeError("x", status=404), "not_found_error"),
            (RequestTooLarge("x"), "request_too_large"),
            (RateLimited("x", scope="key", retry_after=1), "rate_limit_error"),
            (EdgeError("x"), "api_error"),
            (Overloaded("x"), "overloaded_error"),
            (DeadlineExceeded("x"), "timeout_error"),
        ):
            document = json.loads(CLAUDE.error_body(error))
            said = {"type": kind, "message": "x", "code": error.code, "param": error.param, "details": error.details}
            self.assertEqual(document, {"type": "error", "error": said})
            if kind != "request_too_large":  # documented, and not in the SDK's types
                ErrorResponse.model_validate(document, strict=True)
            self.assertEqual(CLAUDE.parse_error(CLAUDE.error_body(error)).type, kind)
        self.assertEqual(
            CLAUDE.error_frame(EdgeError("x")), b"event: error\ndata: " + CLAUDE.error_body(EdgeError("x")) + b"\n\n"
        )
        self.assertEqual(CLAUDE.parse_error(b"<html>").message, "")
