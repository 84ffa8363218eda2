"""What a client asks in the Messages dialect. Written from platform.claude.com/docs/en/api/messages."""

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    ValidationError,
)

CLAUDE = Anthropic()


def body(**fields: Any) -> bytes:
    base = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**base, **fields}).encode()


def parse(**fields: Any) -> ir.Request:
    return CLAUDE.parse(CLAUDE.parse_request(body(**fields)).fields)


def messages(*blocks: Any, role: str = "user") -> tuple[ir.Message, ...]:
    return parse(messages=[{"role": role, "content": list(blocks)}]).messages


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
CACHED = {"type": "ephemeral", "ttl": "1h"}


def checked(raw: bytes) -> None:
    CLAUDE.check(CLAUDE.parse_request(raw).fields)


class Requests(SynchronousTestCase):
    def test_what_is_wrong_is_named(self) -> None:
        """The error names the field."""
        for raw, param in (
            (b"{}", "model"),
            (b'{"model":"m","max_tokens":1}', "messages"),
            (b'{"model":"m","messages":[]}', "max_tokens"),
            (body(messages=[]), "messages"),
            (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
            (body(messages=[{"role": "user"}]), "messages[0].content"),
            (body(messages=[{"role": "user", "content": 1}]), "messages[0].content"),
            (body(max_tokens="9"), "max_tokens"),
            (body(temperature="hot"), "temperature"),
            (body(stop_sequences=[1]), "stop_sequences[0]"),
            (body(system=5), "system"),
            (body(model=" "), "model"),
        ):
            self.assertEqual(self.assertRaises(ValidationError, checked, raw).param, param, raw)

    def test_what_is_wrong_inside_is_named(self) -> None:
        """The error names the field by its whole path."""

        def block(value: Any, role: str = "user") -> dict[str, Any]:
            return {"messages": [{"role": role, "content": [value]}]}

        at = "messages[0].content[0]"
        for fields, param in (
            (block({"type": "image", "source": {"type": "x"}}), f"{at}.source"),
            (block({"type": "document"}), f"{at}.source"),
            (block({"type": "tool_use", "id": "a", "name": "b", "input": []}, "assistant"), f"{at}.input"),
            (block({"type": "tool_result", "tool_use_id": "a"}, "assistant"), "messages[0].content"),
            ({"tool_choice": {"type": "x"}}, "tool_choice.type"),
            ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
            ({"output_config": {"format": {"type": "x"}}}, "output_config.format.type"),
        ):
            self.assertEqual(self.assertRaises(ValidationError, parse, **fields).param, param)

    def test_one_level(self) -> None:
        """What routing needs is read off the top of the body."""
        request = CLAUDE.parse_request(body(stream=True))
        self.assertEqual(
            (request.model, request.stream, request.wants_usage, request.choices, request.message_count),
            ("m", True, True, 1, 1),
        )

    def test_the_body_passes_through(self) -> None:
        """Only the model changes; unknown fields, number forms and order inside values are the bytes received."""
        raw = b'{"model":"a","x":{"b":1.0,"a":1e2},"max_tokens":5,"messages":[{"role":"user","content":"x"}]}'
        fields = CLAUDE.parse_request(raw).fields
        said = CLAUDE.forward(fields, "b", stream=True, ask_usage=True)
        self.assertEqual(said, raw.replace(b'"model":"a"', b'"model":"b"'))
        self.assertEqual(CLAUDE.forward_count(fields, "b"), said)

    def test_settings(self) -> None:
        """Every field there is a place for, and the others by name."""
        request = parse(
            system=[{"type": "text", "text": "be", "cache_control": CACHED}],
            tools=[
                {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True},
                {"name": "g", "type": "custom", "input_schema": {"a": 1.0}, "cache_control": {"type": "ephemeral"}},
                {"name": "web_search", "type": "web_search_20250305"},
            ],
            tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            stop_sequences=["a", "b"],
            temperature=0.5,
            top_p=0.9,
            top_k=7,
            metadata={"user_id": "u", "other": 1},
            service_tier="standard_only",
            container="c",
            stream=True,
        )
        self.assertEqual(
            request,
            ir.Request(
                messages=(
                    ir.Message("system", (ir.Text("be", cache="1h"),), at="system"),
                    ir.Message("user", (ir.Text("hi"),), at="messages[0]"),
                ),
                tools=(
                    ir.Tool("f", "d", b'{"type": "object"}', True),
                    ir.Tool("g", "", b'{"a": 1.0}', cache="5m"),
                ),
                tool_choice=ir.ToolChoice("named", ("f",)),
                parallel_tools=False,
                output=ir.Output("json_schema", b'{"type": "object"}'),
                reasoning=ir.Reasoning(True, "high", 2000, False),
                max_tokens=9,
                temperature=0.5,
                top_p=0.9,
                top_k=7,
                stop=("a", "b"),
                user="u",
                service_tier="default",
                hints=("tools[2] (web_search_20250305)", "metadata.other", "container"),
            ),
        )

    def test_ways_to_think(self) -> None:
        """Each has its place in the form; a new one is a hint."""
        for fields, reasoning in (
            ({"thinking": {"type": "disabled"}}, ir.Reasoning(False)),
            ({"thinking": {"type": "adaptive", "display": "summarized"}}, ir.Reasoning(True, "", -1, True)),
            ({"output_config": {"effort": "max"}}, ir.Reasoning(effort="max")),
            ({}, None),
        ):
            self.assertEqual(parse(**fields).reasoning, reasoning)
        between = parse(thinking={"type": "between_tools"})
        self.assertEqual((between.reasoning, between.hints), (None, ("thinking",)))

    def test_the_beta_form_of_structured_output(self) -> None:
        """It means the same as the one in ``output_config``."""
        request = parse(output_format={"type": "json_schema", "schema": {}})
        self.assertEqual((request.output, request.extra), (ir.Output("json_schema", b"{}"), ()))

    def test_what_a_user_says(self) -> None:
        """Every block a user may send is read."""
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
        said = messages(
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": ""},
            {"type": "image", "source": PNG},
            {"type": "image", "source": {"type": "url", "url": "https://x/y"}, "cache_control": CACHED},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "document", "source": source, "title": "t", "context": "c", "citations": {"enabled": True}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "e"}]}},
            {"type": "document", "source": {"type": "content", "content": "f"}},
        )
        plain = "text/plain"
        parts = (
            ir.Text("a", cache="5m"),
            ir.Image(ir.Source("base64", "iVBO", "image/png")),
            ir.Image(ir.Source("url", "https://x/y"), cache="1h"),
            ir.Image(ir.Source("file", "file_1")),
            ir.File(ir.Source("base64", "JVBE", "application/pdf"), "t", "c", True),
            ir.File(ir.Source("text", "d", plain)),
            ir.File(ir.Source("text", "e", plain)),
            ir.File(ir.Source("text", "f", plain)),
        )
        self.assertEqual(said, (ir.Message("user", parts, at="messages[0]"),))

    def test_what_the_assistant_said(self) -> None:
        """Arguments byte for byte; thoughts with their signatures; all kinds of citations."""
        raw = b"""{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"enc"},
            {"type":"text","text":"x","citations":[
              {"type":"char_location","cited_text":"q","document_index":0,"document_title":"t",
               "start_char_index":1,"end_char_index":2},
              {"type":"page_location","cited_text":"q","document_index":1,"document_title":null,
               "start_page_number":3,"end_page_number":4},
              {"type":"content_block_location","cited_text":"q","document_index":2,"document_title":null,
               "start_block_index":0,"end_block_index":1},
              {"type":"web_search_result_location","cited_text":"q","encrypted_index":"e","title":"t","url":"https://x"},
              {"type":"search_result_location","cited_text":"q","search_result_index":5,"source":"s","title":"t",
               "start_block_index":0,"end_block_index":1}]},
            {"type":"tool_use","id":"t1","name":"f","input":{"b": 1.0,  "a":"\\u00e9"},"caller":{"type":"direct"}},
            {"type":"server_tool_use","id":"s1","name":"web_search","input":{}}]}]}"""
        request = CLAUDE.parse(CLAUDE.parse_request(raw).fields)
        cites = (
            ir.Citation("char", title="t", quote="q", document=0, start=1, end=2),
            ir.Citation("page", quote="q", document=1, start=3, end=4),
            ir.Citation("block", quote="q", document=2, start=0, end=1),
            ir.Citation("url", url="https://x", title="t", quote="q", opaque="e"),
            ir.Citation("block", url="s", title="t", quote="q", document=5, start=0, end=1),
        )
        parts = (
            ir.Thinking("hm", "sig"),
            ir.Thinking(signature="enc", redacted=True),
            ir.Text("x", cites),
            ir.ToolCall("t1", "f", '{"b": 1.0,  "a":"\\u00e9"}'),
        )
        self.assertEqual(request.messages, (ir.Message("assistant", parts, at="messages[0]"),))
        self.assertEqual(request.hints, ("messages.content (server_tool_use)",))
        said = CLAUDE.render(msgspec.structs.replace(request, hints=()), "m", RenderContext({}, "refuse"), stream=False)
        self.assertIn(b'"input":{"b": 1.0,  "a":"\\u00e9"}', said)

    def test_tool_results_stand_alone(self) -> None:
        """In messages of role tool, which merge; what the user says beside them stays in order."""
        result = {"type": "tool_result", "tool_use_id": "a", "content": "x", "is_error": True}
        other = {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "image", "source": PNG}]}
        text = {"type": "text", "text": "and"}
        request = parse(
            messages=[
                {"role": "user", "content": "go"},
                {"role": "user", "content": [result]},
                {"role": "user", "content": [other, text, result, text, text]},
            ]
        )
        one = ir.ToolResult("a", (ir.Text("x"),), error=True)
        two = ir.ToolResult("b", (ir.Image(ir.Source("base64", "iVBO", "image/png")),))
        self.assertEqual(
            request.messages,
            (
                ir.Message("user", (ir.Text("go"),), at="messages[0]"),
                ir.Message("tool", (one, two), at="messages[1]"),
                ir.Message("user", (ir.Text("and"),), at="messages[2]"),
                ir.Message("tool", (one,), at="messages[2]"),
                ir.Message("user", (ir.Text("and"), ir.Text("and")), at="messages[2]"),
            ),
        )

    def test_nothing_is_lost_silently(self) -> None:
        """What has no place in the form is named with its path."""
        blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        source = {"type": "content", "content": blocks}
        request = parse(
            cache_control=CACHED,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "container_upload", "file_id": "f"},
                        {"type": "document", "source": source, "citations": {"enabled": True}},
                        {"type": "text", "text": "x", "new": 1},
                        {"type": "image", "source": PNG, "transformations": {"oversized_image": "x"}},
                    ],
                }
            ],
        )
        at = "messages[0].content"
        self.assertEqual(request.extra, (f"{at}[1].source.content", f"{at}[2].new"))
        self.assertEqual(request.hints, ("messages.content.transformations", "cache_control"))
        self.assertEqual(request.lost, (f"{at}[0] (container_upload)",))
