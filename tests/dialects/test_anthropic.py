"""The Messages dialect, both directions. Fixtures are written from platform.claude.com/docs/en/api/messages and
platform.claude.com/docs/en/build-with-claude/streaming; the ``anthropic`` package's types judge what clients get."""

import json
from typing import Any

import msgspec
from anthropic.types import Message
from anthropic.types.shared import ErrorResponse
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    DeadlineExceeded,
    EdgeError,
    Overloaded,
    RateLimited,
    RequestTooLarge,
    Unsupported,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from llmedge.model import Usage

CLAUDE = Anthropic()
ASKED = ResponseContext("asked", "msg_asked")
ALL = frozenset({"system_messages"})


def body(**fields: Any) -> bytes:
    base = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**base, **fields}).encode()


def parse(**fields: Any) -> ir.Request:
    return CLAUDE.parse(CLAUDE.parse_request(body(**fields)).fields)


def messages(*blocks: Any, role: str = "user") -> tuple[ir.Message, ...]:
    return parse(messages=[{"role": role, "content": list(blocks)}]).messages


def render(request: ir.Request, drop: bool = False, quirks: frozenset[str] = frozenset()) -> tuple[Any, list[str]]:
    context = RenderContext({}, drop)
    return json.loads(CLAUDE.render(request, "m", context, stream=False, quirks=quirks)), context.dropped


def asked(*parts: ir.Part, role: ir.Role = "user", **fields: Any) -> ir.Request:
    return ir.Request((ir.Message(role, parts, at="messages[0]"),), max_tokens=9, **fields)


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
CACHED = {"type": "ephemeral", "ttl": "1h"}


class Requests(SynchronousTestCase):
    def test_what_is_wrong_is_named(self) -> None:
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
            self.assertEqual(self.assertRaises(ValidationError, CLAUDE.parse_request, raw).param, param, raw)

    def test_what_is_wrong_inside_is_named(self) -> None:
        def block(value: Any, role: str = "user") -> dict[str, Any]:
            return {"messages": [{"role": role, "content": [value]}]}

        at = "messages[0].content[0]"
        for fields, param in (
            (block({"type": "image", "source": {"type": "x"}}), f"{at}.source"),
            (block({"type": "document"}), f"{at}.source"),
            (block({"type": "tool_use", "id": "a", "name": "b", "input": []}, "assistant"), f"{at}.input"),
            (block({"type": "text", "text": "a", "cache_control": {"type": "x"}}), f"{at}.cache_control"),
            (block({"type": "tool_result", "tool_use_id": "a"}, "assistant"), "messages[0].content"),
            ({"tool_choice": {"type": "x"}}, "tool_choice.type"),
            ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
            ({"output_config": {"format": {"type": "x"}}}, "output_config.format.type"),
        ):
            self.assertEqual(self.assertRaises(ValidationError, parse, **fields).param, param)

    def test_one_level(self) -> None:
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
                extra=("metadata.other", "tools[2]", "container"),
            ),
        )

    def test_ways_to_think(self) -> None:
        for fields, reasoning in (
            ({"thinking": {"type": "disabled"}}, ir.Reasoning(False)),
            ({"thinking": {"type": "adaptive", "display": "summarized"}}, ir.Reasoning(True, "", -1, True)),
            ({"output_config": {"effort": "max"}}, ir.Reasoning(effort="max")),
            ({}, None),
        ):
            self.assertEqual(parse(**fields).reasoning, reasoning)
        between = parse(thinking={"type": "between_tools"})
        self.assertEqual((between.reasoning, between.extra), (None, ("thinking",)))

    def test_the_beta_form_of_structured_output(self) -> None:
        request = parse(output_format={"type": "json_schema", "schema": {}})
        self.assertEqual((request.output, request.extra), (ir.Output("json_schema", b"{}"), ()))

    def test_what_a_user_says(self) -> None:
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
        self.assertEqual(request.extra, ("messages[0].content[4]",))
        said = CLAUDE.render(msgspec.structs.replace(request, extra=()), "m", RenderContext({}, False), stream=False)
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
        blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        source = {"type": "content", "content": blocks}
        request = parse(
            cache_control=CACHED,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "search_result", "source": "s"},
                        {"type": "document", "source": source, "citations": {"enabled": True}},
                        {"type": "text", "text": "x", "new": 1},
                        {"type": "image", "source": PNG, "transformations": {}},
                    ],
                }
            ],
        )
        at = "messages[0].content"
        self.assertEqual(
            request.extra,
            (f"{at}[0]", f"{at}[1].source.content", f"{at}[2].new", f"{at}[3].transformations", "cache_control"),
        )


class Rendering(SynchronousTestCase):
    def test_a_request(self) -> None:
        request = ir.Request(
            messages=(
                ir.Message("system", (ir.Text("s"),)),
                ir.Message("developer", (ir.Text("d", cache="5m"),)),
                ir.Message("user", (ir.Text("hi"), ir.Image(ir.Source("url", "https://x")))),
                ir.Message("assistant", (ir.Text("ok"), ir.ToolCall("t", "f", '{"a": 1}'))),
                ir.Message("tool", (ir.ToolResult("t", (ir.Text("r"),), name="f", cache="1h"),)),
                ir.Message("user", (ir.Text("more"),)),
                ir.Message("assistant", (ir.Text("So"),)),
            ),
            tools=(ir.Tool("f"), ir.Tool("g", schema=b'{"type":"object","x":1.0}')),
            parallel_tools=False,
            output=ir.Output("json_schema", b"{}", name="ignored", strict=True),
            user="u",
            stop=("x",),
            temperature=1,
        )
        said, _ = render(request)
        self.assertEqual(
            said,
            {
                "model": "m",
                "max_tokens": 4096,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "hi"},
                            {"type": "image", "source": {"type": "url", "url": "https://x"}},
                        ],
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "text", "text": "ok"},
                            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t",
                                "content": "r",
                                "cache_control": {"type": "ephemeral", "ttl": "1h"},
                            },
                            {"type": "text", "text": "more"},
                        ],
                    },
                    {"role": "assistant", "content": "So"},
                ],
                "system": [
                    {"type": "text", "text": "s"},
                    {"type": "text", "text": "d", "cache_control": {"type": "ephemeral"}},
                ],
                "tools": [
                    {"name": "f", "input_schema": {"type": "object"}},
                    {"name": "g", "input_schema": {"type": "object", "x": 1.0}},
                ],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
                "stop_sequences": ["x"],
                "temperature": 1,
                "metadata": {"user_id": "u"},
            },
        )

    def test_how_much_to_think(self) -> None:
        """Efforts become budgets on the published scale, which fit below max_tokens."""

        def thinking(reasoning: ir.Reasoning, most: int | None = None, *quirks: str) -> Any:
            request = ir.Request((), reasoning=reasoning, max_tokens=most)
            said, _ = render(request, quirks=frozenset(quirks))
            return said.get("thinking"), said.get("output_config"), said["max_tokens"]

        def budget(tokens: int) -> dict[str, Any]:
            return {"type": "enabled", "budget_tokens": tokens}

        effort = ir.Reasoning(effort="low")
        adaptive = {"type": "adaptive"}
        off = {"type": "disabled"}
        for reasoning, most, quirks, expected in (
            (effort, None, (), (budget(1024), None, 5120)),
            (ir.Reasoning(effort="high"), None, (), (budget(24576), None, 28672)),
            (ir.Reasoning(effort="medium"), 5000, (), (budget(4999), None, 5000)),
            (ir.Reasoning(budget=10), 5000, (), (budget(1024), None, 5000)),
            (ir.Reasoning(effort="none"), 9, (), (off, None, 9)),
            (ir.Reasoning(budget=0), 9, (), (off, None, 9)),
            (ir.Reasoning(False, "low"), 9, (), (off, {"effort": "low"}, 9)),
            (ir.Reasoning(True), 9999, (), (budget(8192), None, 9999)),
            (ir.Reasoning(budget=-1), 9, (), (adaptive, None, 9)),
            (ir.Reasoning(effort="max"), 9, (), (adaptive, {"effort": "max"}, 9)),
            (ir.Reasoning(True, "low", 2000, True), 9999, (), (budget(2000) | {"display": "summarized"},)),
            (effort, 9, ("adaptive_thinking",), (adaptive, {"effort": "low"}, 9)),
            (ir.Reasoning(True, "", 8000), 9, ("adaptive_thinking",), (adaptive, {"effort": "medium"}, 9)),
        ):
            said = thinking(reasoning, most, *quirks)
            self.assertEqual(said[: len(expected)], expected, reasoning)
        error = self.assertRaises(Unsupported, thinking, effort, 1024)
        self.assertEqual(error.param, "reasoning")
        shown = ir.Request((), reasoning=ir.Reasoning(show=True), max_tokens=9)  # where nobody asked for thoughts
        said, dropped = render(shown)
        self.assertEqual((said.get("thinking"), said.get("output_config"), said["max_tokens"]), (None, None, 9))
        self.assertEqual(dropped, ["reasoning.show"])

    def test_what_cannot_be_said(self) -> None:
        """Each is refused by name, and dropped where that is allowed."""
        at = "messages[0]"
        cited = ir.Text("x", (ir.Citation("url", url="https://x"),))
        for request, name in (
            (asked(n=2), "n"),
            (asked(seed=1), "seed"),
            (asked(presence_penalty=1.0), "presence_penalty"),
            (asked(frequency_penalty=1.0), "frequency_penalty"),
            (asked(logit_bias=b'{"1":1}'), "logit_bias"),
            (asked(logprobs=True), "logprobs"),
            (asked(metadata=(("a", "b"),)), "metadata"),
            (asked(store=True), "store"),
            (asked(verbosity="low"), "verbosity"),
            (asked(service_tier="flex"), "service_tier"),
            (asked(temperature=1.5), "temperature"),
            (asked(output=ir.Output("json")), "output"),
            (asked(output=ir.Output("json_schema", b"{}", description="d")), "output"),
            (asked(tools=(ir.Tool("f"),), tool_choice=ir.ToolChoice("auto", ("f",))), "tool_choice"),
            (asked(extra=("x.y",)), "x.y"),
            (asked(ir.Audio(ir.Source("base64", "a", "audio/wav"))), f"{at} (audio)"),
            (asked(ir.Image(ir.Source("base64", "a", "image/tiff"))), f"{at} (image)"),
            (asked(ir.Image(ir.Source("url", "https://x"), "low")), f"{at} (image detail)"),
            (asked(ir.File(ir.Source("base64", "a", "application/zip"))), f"{at} (file)"),
            (asked(ir.File(ir.Source("url", "gs://x"))), f"{at} (file)"),
            (asked(ir.Thinking("x"), role="assistant"), f"{at} (thinking)"),
            (asked(ir.Thinking("", "s", True, "rs_1"), role="assistant"), f"{at} (thinking)"),
            (asked(ir.ToolCall("a", "f", "{}", "sig"), role="assistant"), f"{at} (toolcall signature)"),
            (
                asked(ir.ToolCall("a", "f", "{"), role="assistant"),
                f"{at} (a tool call's arguments that are not a JSON object)",
            ),
            (asked(cited, role="assistant"), f"{at} (citations)"),
            (asked(ir.Text("x", (ir.Citation("char"),))), f"{at} (citations)"),
            (asked(ir.Image(ir.Source("url", "https://x")), role="assistant"), f"{at} (image)"),
            (ir.Request((ir.Message("user", (), "bob", at),)), f"{at}.name"),
        ):
            self.assertEqual(self.assertRaises(Unsupported, render, request).param, name)
            self.assertEqual(render(request, drop=True)[1], [name])
        said, _ = render(asked(ir.ToolCall("a", "f", "{"), role="assistant"), drop=True)
        self.assertEqual(said["messages"][0]["content"][0]["input"], {"invalid_arguments": "{"})

    def test_a_system_message_in_the_middle(self) -> None:
        """Where the model has no place for it, it moves to the front or is refused."""
        request = ir.Request(
            (
                ir.Message("system", (ir.Text("a"),), at="messages[0]"),
                ir.Message("user", (ir.Text("b"),), at="messages[1]"),
                ir.Message("system", (ir.Text("c"),), at="messages[2]"),
                ir.Message("user", (ir.Text("d"),), at="messages[3]"),
            )
        )
        self.assertEqual(self.assertRaises(Unsupported, render, request).param, "messages[2]")
        said, dropped = render(request, drop=True)
        self.assertEqual(dropped, ["messages[2]"])
        self.assertEqual(said["system"], [{"type": "text", "text": "a"}, {"type": "text", "text": "c"}])
        self.assertEqual([each["content"] for each in said["messages"]], ["b", "d"])
        said, _ = render(request, quirks=ALL)
        self.assertEqual((said["system"], said["messages"][1]), ("a", {"role": "system", "content": "c"}))

    def test_models_that_take_no_sampling(self) -> None:
        quirks = frozenset({"no_sampling"})
        for name in ("temperature", "top_p", "top_k"):
            request = asked(**{name: 0.5})
            self.assertEqual(self.assertRaises(Unsupported, render, request, quirks=quirks).param, name)
            self.assertNotIn(name, render(request, drop=True, quirks=quirks)[0])
        self.assertEqual(render(asked(top_p=1), quirks=quirks), render(asked(), quirks=quirks))

    def test_text_files(self) -> None:
        """A text sent as base64 is said as the text it is."""
        said, _ = render(asked(ir.File(ir.Source("base64", "aMOp", "text/csv"), "n")))
        source = {"type": "text", "media_type": "text/plain", "data": "hé"}
        self.assertEqual(said["messages"][0]["content"], [{"type": "document", "source": source, "title": "n"}])

    def test_counting(self) -> None:
        raw = b'{"model":"m","messages":[{"role":"user","content":"x"}],"system":"s"}'
        fields = CLAUDE.parse_count_request(raw).fields
        request = CLAUDE.parse(fields)
        said = CLAUDE.render_count(msgspec.structs.replace(request, stop=("x",)), "n", RenderContext({}, False))
        self.assertEqual(
            json.loads(said), {"model": "n", "system": "s", "messages": [{"role": "user", "content": "x"}]}
        )
        self.assertEqual(CLAUDE.parse_count(CLAUDE.render_count_answer(7)), 7)
        self.assertEqual(CLAUDE.render_count_answer(7), b'{"input_tokens":7}')
        for wrong in (b"", b"{}", b'{"input_tokens":"7"}', b'{"input_tokens":-1}'):
            self.assertRaises(UpstreamMalformed, CLAUDE.parse_count, wrong)
        self.assertRaises(VendorFailed, CLAUDE.parse_count, b'{"type":"error","error":{"message":"x"}}')
        error = self.assertRaises(ValidationError, CLAUDE.parse_count_request, b'{"model":"m"}')
        self.assertEqual(error.param, "messages")


ANSWER = b"""{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[
 {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"enc"},
 {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
 {"type":"web_search_tool_result","tool_use_id":"s","content":[]},
 {"type":"text","text":"Hi","citations":[{"type":"char_location","cited_text":"q","document_index":0,
   "document_title":"t","start_char_index":1,"end_char_index":2,"file_id":"file_1"}]},
 {"type":"tool_use","id":"t1","name":"f","input":{"a": 1.0}},{"type":"tool_use","id":"t2","name":"g","input":{}}],
 "stop_reason":"tool_use","stop_sequence":null,
 "usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,
  "cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},"output_tokens":20,
  "output_tokens_details":{"thinking_tokens":6},"service_tier":"standard"}}"""
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
        document = json.loads(CLAUDE.render_answer(finished("stop", ir.Text("x")), ASKED))
        Message.model_validate(document, strict=True)
        self.assertEqual(
            document,
            {
                "id": "msg_asked",
                "type": "message",
                "role": "assistant",
                "model": "asked",
                "content": [{"type": "text", "text": "x", "citations": None}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 0,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                },
            },
        )

    def test_every_reason(self) -> None:
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
        for ours, theirs in (("filter", "refusal"), ("malformed", "end_turn")):
            self.assertEqual(json.loads(CLAUDE.render_answer(finished(ours), ASKED))["stop_reason"], theirs)
        self.assertEqual(CLAUDE.parse_answer(b'{"content":[],"stop_reason":"new"}').choices[0].finish, "stop")

    def test_refusals(self) -> None:
        """A client reads a refusal as text; a vendor's explanation is a refusal to others."""
        said = json.loads(CLAUDE.render_answer(finished("stop", ir.Refusal("no")), ASKED))
        self.assertEqual((said["stop_reason"], said["content"][0]["text"]), ("refusal", "no"))
        raw = b'{"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"bio"}}'
        self.assertEqual(CLAUDE.parse_answer(raw), finished("refusal", ir.Refusal("bio")))

    def test_what_cannot_be_said_does_not_break_the_rest(self) -> None:
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
        error = b'{"type":"error","error":{"type":"%b","message":"boom"}}'
        for kind, raised in (
            (b"api_error", VendorFailed),
            (b"overloaded_error", VendorUnavailable),
            (b"rate_limit_error", VendorRateLimited),
        ):
            self.assertIn("boom", self.assertRaises(raised, CLAUDE.parse_answer, error % kind).message)
            self.assertRaises(raised, CLAUDE.read_answer, error % kind)
        for raw in (b"", b"<html>", b"[]", b'{"x":1}', b'{"content":[{"type":"\xff"}]}', b'{"content":"x"}'):
            self.assertRaises(UpstreamMalformed, CLAUDE.parse_answer, raw)

    def test_usage_nobody_can_read(self) -> None:
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
