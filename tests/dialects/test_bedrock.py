"""Fixtures written from docs.aws.amazon.com/bedrock/latest/APIReference (Converse, ConverseStream)."""

from __future__ import annotations

import base64
import functools
import json
import struct
from typing import Any
from zlib import crc32

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.bedrock import Bedrock
from llmedge.dialects.bedrock.eventstream import EventStreamError, EventStreamParser, Message, encode
from llmedge.dialects.bedrock.stream import frame
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    EdgeError,
    Unsupported,
    UpstreamCut,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
    VendorRateLimited,
    VendorRefused,
    VendorRejectedCredentials,
    VendorUnavailable,
)
from llmedge.model import EventKind, Usage
from tests.effort import examples

try:
    from botocore.eventstream import EventStreamBuffer  # type: ignore[import-not-found]
    from botocore.loaders import Loader  # type: ignore[import-not-found]
    from botocore.model import ServiceModel  # type: ignore[import-not-found]
    from botocore.parsers import create_parser  # type: ignore[import-not-found]
    from botocore.validate import ParamValidator  # type: ignore[import-not-found]
except ImportError:
    EventStreamBuffer = None

DIALECT = Bedrock()
CLAUDE = "us.anthropic.claude-sonnet-4-6-v1:0"
NOVA = "amazon.nova-pro-v1:0"
PNG = ir.Source("base64", "aGk=", "image/png")

REQUEST = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}, {"text": "Be kind."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "What is this?"},
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/i.jpg"}}}},
                {
                    "document": {
                        "name": "Report 1",
                        "source": {"bytes": "JVBERg=="},
                        "format": "pdf",
                        "context": "of last year",
                        "citations": {"enabled": True},
                    }
                },
                {"document": {"name": "Notes", "source": {"text": "a note"}}},
                {"audio": {"format": "mp3", "source": {"bytes": "AAA="}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "eHl6"}},
                {
                    "citationsContent": {
                        "content": [{"text": "A cat."}],
                        "citations": [
                            {
                                "title": "Report 1",
                                "sourceContent": [{"text": "cat"}],
                                "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}},
                            },
                        ],
                    }
                },
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"b": 1.0, "a": "é"}}},
                {"toolUse": {"toolUseId": "t2", "name": "look", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "seen"}]}},
                {
                    "toolResult": {
                        "toolUseId": "t2",
                        "content": [
                            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                            {"document": {"name": "Log", "source": {"bytes": "eA=="}, "format": "txt"}},
                        ],
                        "status": "error",
                    }
                },
                {"cachePoint": {"type": "default"}},
                {"text": "And now?"},
            ],
        },
    ],
    "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "look",
                    "description": "Looks.",
                    "inputSchema": {"json": {"type": "object"}},
                    "strict": True,
                }
            },
            {"cachePoint": {"type": "default"}},
        ],
        "toolChoice": {"tool": {"name": "look"}},
    },
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "additionalModelRequestFields": {
        "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"},
        "top_k": 5,
    },
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "n", "description": "d"}},
        },
        "effort": "high",
    },
    "requestMetadata": {"team": "a"},
    "serviceTier": {"type": "flex"},
}
FORM = ir.Request(
    messages=(
        ir.Message("system", (ir.Text("Be brief.", cache="5m"), ir.Text("Be kind.")), at="system"),
        ir.Message(
            "user",
            (
                ir.Text("What is this?"),
                ir.Image(PNG),
                ir.Image(ir.Source("url", "s3://b/i.jpg", "image/jpeg")),
                ir.File(ir.Source("base64", "JVBERg==", "application/pdf"), "Report 1", "of last year", True),
                ir.File(ir.Source("text", "a note"), "Notes"),
                ir.Audio(ir.Source("base64", "AAA=", "audio/mpeg")),
            ),
            at="messages[0]",
        ),
        ir.Message(
            "assistant",
            (
                ir.Thinking("hm", "c2ln"),
                ir.Thinking(signature="eHl6", redacted=True),
                ir.Text("A cat.", (ir.Citation("page", title="Report 1", quote="cat", document=0, start=1, end=2),)),
                ir.ToolCall("t1", "look", '{"b": 1.0, "a": "\\u00e9"}'),
                ir.ToolCall("t2", "look", "{}"),
            ),
            at="messages[1]",
        ),
        ir.Message(
            "tool",
            (
                ir.ToolResult("t1", (ir.Text("seen"),)),
                ir.ToolResult(
                    "t2",
                    (ir.Image(PNG), ir.File(ir.Source("base64", "eA==", "text/plain"), "Log")),
                    error=True,
                    cache="5m",
                ),
            ),
            at="messages[2]",
        ),
        ir.Message("user", (ir.Text("And now?"),), at="messages[2]"),
    ),
    tools=(ir.Tool("look", "Looks.", b'{"type": "object"}', True, "5m"),),
    tool_choice=ir.ToolChoice("named", ("look",)),
    output=ir.Output("json_schema", b'{"type": "object"}', "n", "d"),
    reasoning=ir.Reasoning(True, "high", 2000, True),
    max_tokens=100,
    temperature=0.5,
    top_p=0.9,
    top_k=5,
    stop=("END",),
    metadata=(("team", "a"),),
    service_tier="flex",
    extra=("messages[0].content[6].cachePoint",),  # audio has no mark in the form
)


def parse(body: Any) -> ir.Request:
    return DIALECT.parse(DIALECT.parse_request(json.dumps(body).encode()).fields)


def render(
    request: ir.Request, model: str = CLAUDE, drop: bool = False, quirks: frozenset[str] = frozenset()
) -> tuple[Any, list[str]]:
    context = RenderContext({}, drop)
    return json.loads(DIALECT.render(request, model, context, stream=False, quirks=quirks)), context.dropped


def user(*parts: ir.Part, **fields: Any) -> ir.Request:
    return ir.Request((ir.Message("user", parts or (ir.Text("hi"),), at="messages[0]"),), **fields)


class Requests(SynchronousTestCase):
    maxDiff = None

    def test_everything_it_can_say(self) -> None:
        """A request with all there is, read and written, each in full."""
        self.assertEqual(parse(REQUEST), FORM)
        expected = json.loads(json.dumps(REQUEST))
        del expected["messages"][0]["content"][6]
        self.assertEqual(render(msgspec.structs.replace(FORM, extra=()))[0], expected)

    def test_what_has_no_place_is_named(self) -> None:
        body = {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"guardContent": {"text": {"text": "x"}}},
                        {"video": {"format": "mp4", "source": {"bytes": "eA=="}}},
                        {"cachePoint": {"type": "default"}},
                        {"toolUse": {"toolUseId": "s", "name": "web", "input": {}, "type": "server_tool_use"}},
                        {"document": {"name": "d", "source": {"content": [{"text": "x"}]}}},
                    ],
                }
            ],
            "guardrailConfig": {"guardrailIdentifier": "g"},
            "performanceConfig": {"latency": "optimized"},
            "toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}], "toolChoice": {"any": {}}},
            "additionalModelRequestFields": {"anthropic_beta": ["x"], "top_k": 3},
            "additionalModelResponseFieldPaths": ["/usage"],
            "inferenceConfig": {"topK": 4},
        }
        request = parse(body)
        self.assertEqual(
            sorted(request.extra),
            [
                "additionalModelRequestFields.anthropic_beta",
                "additionalModelResponseFieldPaths",
                "guardrailConfig",
                "inferenceConfig.topK",
                "messages[0].content[0].guardContent",
                "messages[0].content[1].video",
                "messages[0].content[2].cachePoint",
                "messages[0].content[3].toolUse",
                "messages[0].content[4].document.source.content",
                "performanceConfig",
                "toolConfig.tools[0].systemTool",
            ],
        )
        self.assertEqual(request.tool_choice, ir.ToolChoice("required"))

    def test_what_is_wrong_is_named(self) -> None:
        message = {"role": "user", "content": [{"text": "x"}]}
        for body, param in (
            ({"messages": []}, "messages"),
            ({"messages": 5}, "messages"),
            ({"messages": [{"role": "tool", "content": []}]}, "messages[0].role"),
            ({"messages": [{"role": "user", "content": [{"text": 5}]}]}, "messages[0].content[0].text"),
            (
                {"messages": [{"role": "user", "content": [{"image": {"format": "bmp"}}]}]},
                "messages[0].content[0].image.format",
            ),
            ({"messages": [message], "inferenceConfig": {"maxTokens": "1"}}, "inferenceConfig.maxTokens"),
            (
                {"messages": [message], "additionalModelRequestFields": {"thinking": {"type": "x"}}},
                "additionalModelRequestFields.thinking.type",
            ),
        ):
            self.assertEqual(self.assertRaises(ValidationError, parse, body).param, param)
        for raw in (b"", b"[]", b"{", b'{"a":"\xff"}', b"[" * 200):
            self.assertRaises(ValidationError, DIALECT.parse_request, raw)

    def test_arguments_keep_their_bytes(self) -> None:
        """Number forms, spaces and order of the model's JSON are sent on as they are."""
        arguments = '{ "b":1.0,"a":1e2 , "n":123456789012345678901234567890}'
        call = ir.Message("assistant", (ir.ToolCall("t", "f", arguments),))
        body = DIALECT.render(ir.Request((call,)), NOVA, RenderContext({}, False), stream=True)
        self.assertIn(b'"input":' + arguments.encode(), body)

    def test_turns(self) -> None:
        """System texts at the head are one prompt; neighbours of one role, and tool results, are one message."""
        request = ir.Request(
            (
                ir.Message("system", (ir.Text("a"),)),
                ir.Message("developer", (ir.Text("b"),)),
                ir.Message("user", (ir.Text("c"),)),
                ir.Message("user", (ir.Text("d"),)),
                ir.Message("assistant", (ir.ToolCall("t", "f", "{}"),)),
                ir.Message("tool", (ir.ToolResult("t", ()),)),
                ir.Message("user", (ir.Text("e"),)),
            )
        )
        self.assertEqual(
            render(request)[0],
            {
                "system": [{"text": "a"}, {"text": "b"}],
                "messages": [
                    {"role": "user", "content": [{"text": "c"}, {"text": "d"}]},
                    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]},
                    {
                        "role": "user",
                        "content": [{"toolResult": {"toolUseId": "t", "content": []}}, {"text": "e"}],
                    },
                ],
            },
        )

    def test_what_it_cannot_say(self) -> None:
        """Each is refused with its name, or dropped and named; never silent."""
        late = ir.Request(
            (
                ir.Message("user", (ir.Text("a"),)),
                ir.Message("system", (ir.Text("b"),), at="messages[1]"),
            )
        )
        call = ir.Message("assistant", (ir.ToolCall("t", "f", "{"),), at="messages[0]")
        tool = ir.Tool("f", schema=b"{}")
        url = ir.Source("url", "https://x/i.png", "image/png")
        file = ir.Source("file", "f1", "image/png")
        none = ir.ToolChoice("none")
        at = "messages[0] "
        bad = "(arguments of a tool call that are not a JSON object)"
        marked = ir.Text("x", cache="5m")
        for request, model, name in (
            (user(n=2), CLAUDE, "n"),
            (user(seed=1), CLAUDE, "seed"),
            (user(user="u"), CLAUDE, "user"),
            (user(logit_bias=b"{}"), CLAUDE, "logit_bias"),
            (user(extra=("x.y",)), CLAUDE, "x.y"),
            (user(top_k=1), NOVA, "top_k"),
            (user(reasoning=ir.Reasoning(effort="low")), NOVA, "reasoning"),
            (user(parallel_tools=False), CLAUDE, "parallel_tools"),
            (user(output=ir.Output("json")), CLAUDE, "output"),
            (user(service_tier="scale"), CLAUDE, "service_tier"),
            (user(tools=(tool,), tool_choice=ir.ToolChoice("auto", ("f",))), CLAUDE, "tool_choice"),
            (ir.Request((call,), (tool,), none), CLAUDE, at + bad),
            (user(ir.Image(url)), CLAUDE, at + "(image that is not sent along)"),
            (user(ir.Image(file)), CLAUDE, at + "(image that is not sent along)"),
            (user(ir.Image(ir.Source("base64", "eA==", "image/bmp"))), CLAUDE, at + "(image of image/bmp)"),
            (user(ir.Image(PNG, detail="low")), CLAUDE, at + "(image detail)"),
            (user(ir.File(ir.Source("base64", "eA=="))), CLAUDE, at + "(document of no media type)"),
            (user(ir.File(ir.Source("file", "f1"))), CLAUDE, at + "(document that is not sent along)"),
            (user(ir.Audio(ir.Source("base64", "eA==", "audio/wav"), id="a")), CLAUDE, at + "(audio id)"),
            (user(ir.Refusal("no")), CLAUDE, at + "(refusal)"),
            (user(ir.Thinking("x", id="r")), CLAUDE, at + "(thinking id)"),
            (user(ir.ToolCall("t", "f", "{}", "sig")), CLAUDE, at + "(toolcall signature)"),
            (user(ir.Text("x", cache="24h")), CLAUDE, at + "(cache_control for 24h)"),
            (user(tools=(ir.Tool("f", cache="1d"),)), CLAUDE, "tools (f: cache_control for 1d)"),
            (user(ir.ToolResult("t", (marked,))), CLAUDE, at + "(cache_control inside a tool result)"),
            (late, CLAUDE, "messages[1] (a system message after the first turn)"),
        ):  # fmt: skip
            error = self.assertRaises(Unsupported, render, request, model)
            self.assertEqual(error.param, name)
            self.assertIn(name, render(request, model, drop=True)[1])
        said, _ = render(late, quirks=frozenset({"system_messages"}))
        self.assertEqual(said["messages"][1], {"role": "system", "content": [{"text": "b"}]})

    def test_no_tools(self) -> None:
        """``none`` is said by offering none, unless tools were called before."""
        tool, none = ir.Tool("f", schema=b"{}"), ir.ToolChoice("none")
        self.assertEqual(render(user(tools=(tool,), tool_choice=none))[0], render(user())[0])
        called = ir.Message("assistant", (ir.ToolCall("t", "f", "{}"),))
        error = self.assertRaises(Unsupported, render, ir.Request((called,), (tool,), none))
        self.assertEqual(error.param, "tool_choice")
        only = user(tools=(tool,), tool_choice=ir.ToolChoice("required", ("f",)))
        self.assertEqual(render(only)[0]["toolConfig"]["toolChoice"], {"tool": {"name": "f"}})

    def test_names_of_documents(self) -> None:
        """Bedrock takes few characters and no name twice."""
        file = ir.Source("base64", "eA==", "application/pdf")
        names = ["a_b.pdf", "", "  x   y.PDF", "", "a_b.pdf", "ü" * 300]
        said, _ = render(user(*(ir.File(file, name) for name in names)))
        given = [block["document"]["name"] for block in said["messages"][0]["content"]]
        self.assertEqual(given, ["a-b", "Document", "x y", "Document 2", "a-b 2", "-" * 190])

    def test_thinking(self) -> None:
        """How much to think, as Claude has it; budgets where a model knows no more."""
        adaptive = {"type": "adaptive"}
        budgets = frozenset({"thinking_budget"})
        for reasoning, quirks, thinking, effort in (
            (ir.Reasoning(effort="high"), frozenset(), adaptive, "high"),
            (ir.Reasoning(effort="minimal"), frozenset(), adaptive, "low"),
            (ir.Reasoning(effort="none"), frozenset(), {"type": "disabled"}, None),
            (ir.Reasoning(enabled=True), frozenset(), adaptive, None),
            (ir.Reasoning(budget=-1, show=False), frozenset(), adaptive | {"display": "omitted"}, None),
            (ir.Reasoning(budget=0), frozenset(), {"type": "disabled"}, None),
            (ir.Reasoning(enabled=False), budgets, {"type": "disabled"}, None),
            (ir.Reasoning(effort="high"), budgets, {"type": "enabled", "budget_tokens": 24576}, None),
            (ir.Reasoning(True, "", 5000), budgets, {"type": "enabled", "budget_tokens": 5000}, None),
            (ir.Reasoning(budget=5000), frozenset(), {"type": "enabled", "budget_tokens": 5000}, None),
        ):
            said, _ = render(user(reasoning=reasoning), quirks=quirks)
            self.assertEqual(said["additionalModelRequestFields"], {"thinking": thinking}, reasoning)
            self.assertEqual(said.get("outputConfig", {}).get("effort"), effort)
        hidden = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
        self.assertIn("additionalModelRequestFields", render(user(top_k=2), hidden, quirks=frozenset({"claude"}))[0])

    def test_tool_results_in_json(self) -> None:
        """JSON is text to every other dialect, in the bytes it came in."""
        result = b'{"toolResult":{"toolUseId":"t","content":[{"json":{"a": 1.0}}]}}'
        raw = b'{"messages":[{"role":"user","content":[%b]}]}' % result
        (message,) = DIALECT.parse(DIALECT.parse_request(raw).fields).messages
        self.assertEqual(message.parts, (ir.ToolResult("t", (ir.Text('{"a": 1.0}'),)),))

    def test_forward(self) -> None:
        raw = b'{"messages":[{"role":"user"}],"x":1.0}'
        request = DIALECT.parse_request(raw, model="m", stream=True)
        self.assertEqual((request.model, request.stream, request.message_count), ("m", True, 1))
        self.assertEqual(DIALECT.forward(request.fields, "m", stream=True, ask_usage=True), raw)
        self.assertRaises(Unsupported, DIALECT.reader, strip_usage=True, choices=1, max_event=1)


def answer(content: list[Any], reason: str = "end_turn", **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    body = {"output": {"message": message}, "stopReason": reason, "metrics": {"latencyMs": 1}, **more}
    return json.dumps(body).encode()


USAGE = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 42,
    "cacheReadInputTokens": 5,
    "cacheWriteInputTokens": 7,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}],
}
COUNTED = Usage(input=22, output=20, cached=5, cache_write=7, cache_write_1h=4)
REASONS = {
    "end_turn": "stop",
    "tool_use": "tool",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "malformed_model_output": "malformed",
    "malformed_tool_use": "malformed",
    "model_context_window_exceeded": "context",
    "something_new": "stop",
}


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
        expected = ir.Answer((ir.Choice(parts, "tool"),), usage=COUNTED, service_tier="flex")
        self.assertEqual(DIALECT.parse_answer(body), expected)
        self.assertEqual(DIALECT.read_answer(body), COUNTED)
        self.assertEqual(json.loads(DIALECT.render_answer(expected, ResponseContext("m")))["usage"], USAGE)

    def test_reasons(self) -> None:
        for reason, finish in REASONS.items():
            self.assertEqual(DIALECT.parse_answer(answer([], reason)).choices, (ir.Choice((), finish),))  # type: ignore[arg-type]
        stopped = answer([], "stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
        self.assertEqual(DIALECT.parse_answer(stopped).choices[0].stop_sequence, "END")

    def test_what_is_no_answer(self) -> None:
        error = self.assertRaises(VendorFailed, DIALECT.parse_answer, b'{"message":"boom"}')
        self.assertIn("boom", error.message)
        for raw in (b"", b"<html>", b"[]", b"{}", b'{"output":{}}', b'{"output":5}', b'{"output":"\xff"}'):
            self.assertRaises(UpstreamMalformed, DIALECT.parse_answer, raw)
        self.assertEqual(DIALECT.read_answer(answer([], usage={"inputTokens": -1, "outputTokens": "x"})), Usage())
        self.assertIsNone(DIALECT.read_answer(answer([], usage=5)))

    def test_errors(self) -> None:
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


def start(index: int, tool_id: str, name: str, **more: Any) -> bytes:
    use = {"toolUseId": tool_id, "name": name, **more}
    return frame("contentBlockStart", {"start": {"toolUse": use}, "contentBlockIndex": index, "p": "abc"})


def delta(index: int, **said: Any) -> bytes:
    return frame("contentBlockDelta", {"delta": said, "contentBlockIndex": index, "p": "abcdef"})


def close(index: int) -> bytes:
    return frame("contentBlockStop", {"contentBlockIndex": index, "p": "a"})


def stop(reason: str = "end_turn", **more: Any) -> bytes:
    return frame("messageStop", {"stopReason": reason, "p": "a", **more})


def thought(index: int, **said: str) -> bytes:
    return delta(index, reasoningContent=said)


BEGIN = frame("messageStart", {"role": "assistant", "p": "abcd"})
METADATA = frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}, "p": "a"})
WHOLE = (
    BEGIN
    + thought(0, text="h")
    + thought(0, text="m")
    + thought(0, signature="c2")
    + thought(0, signature="ln")
    + close(0)
    + thought(1, redactedContent="eHl6")
    + close(1)
    + delta(2, text="")
    + delta(2, text="Hé")
    + delta(2, text="llo")
    + delta(2, citation={"title": "t", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}})
    + close(2)
    + start(3, "t1", "f")
    + delta(3, toolUse={"input": ""})
    + delta(3, toolUse={"input": '{"a":'})
    + delta(3, toolUse={"input": " 1}"})
    + close(3)
    + start(4, "t2", "g")
    + close(4)
    + stop("tool_use")
    + METADATA
)
EVENTS: list[ir.StreamEvent] = [
    ir.Begin(),
    ir.Open(0, "thinking"),
    ir.Delta(0, "h"),
    ir.Delta(0, "m"),
    ir.Sign(0, "c2ln"),
    ir.Close(0),
    ir.Open(1, "thinking", signature="eHl6", redacted=True),
    ir.Close(1),
    ir.Open(2, "text"),
    ir.Delta(2, "Hé"),
    ir.Delta(2, "llo"),
    ir.Cite(2, ir.Citation("page", title="t", document=0, start=1, end=2)),
    ir.Close(2),
    ir.Open(3, "tool", tool_id="t1", name="f"),
    ir.Delta(3, '{"a":'),
    ir.Delta(3, " 1}"),
    ir.Close(3),
    ir.Open(4, "tool", tool_id="t2", name="g"),
    ir.Delta(4, "{}"),
    ir.Close(4),
    ir.Finish("tool"),
    ir.Counted(COUNTED),
    ir.End(),
]


def read(*chunks: bytes, limit: int = 10_000) -> list[ir.StreamEvent]:
    decoder = DIALECT.decoder(choices=1, max_event=limit)
    events: list[ir.StreamEvent] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    if decoder.broken is not None:
        raise decoder.broken
    return events + decoder.end()


class Streams(SynchronousTestCase):
    maxDiff = None

    def test_a_whole_stream(self) -> None:
        """Thoughts with their signature in one piece, redacted ones, text, citations, parallel calls, usage."""
        self.assertEqual(read(WHOLE), EVENTS)

    def test_split_at_every_byte(self) -> None:
        for at in range(len(WHOLE)):
            self.assertEqual(read(WHOLE[:at], WHOLE[at:]), EVENTS)
        self.assertEqual(read(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))), EVENTS)

    def test_nothing_owed_but_usage(self) -> None:
        """After messageStop the answer is complete, not before."""
        decoder = DIALECT.decoder(choices=1, max_event=10_000)
        decoder.feed(WHOLE[: -len(METADATA) - 1])
        self.assertFalse(decoder.complete)
        decoder.feed(WHOLE[-len(METADATA) - 1 : -len(METADATA)])
        self.assertTrue(decoder.complete)
        self.assertEqual(decoder.end(), [ir.End()])

    def test_encoded_and_read_again(self) -> None:
        events = DIALECT.encoder(ResponseContext("m")).encode(EVENTS)
        self.assertIs(events[-1].kind, EventKind.DONE)
        self.assertEqual(read(*(event.frame for event in events)), EVENTS)

    def test_reasons(self) -> None:
        for reason, finish in REASONS.items():
            expected = [ir.Begin(), ir.Finish(finish), ir.End()]  # type: ignore[arg-type]
            self.assertEqual(read(BEGIN + stop(reason)), expected)
        stopped = stop("stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
        self.assertEqual(read(BEGIN + stopped)[1], ir.Finish("stop_sequence", stop_sequence="END"))

    def test_a_cut_is_never_an_end(self) -> None:
        """Wherever it is cut before messageStop is complete, or within the metadata: it is never taken for whole."""
        for end in range(len(WHOLE)):
            if end != len(WHOLE) - len(METADATA):
                self.assertRaises(UpstreamCut, read, WHOLE[:end])
        without = [event for event in EVENTS if not isinstance(event, ir.Counted)]
        self.assertEqual(read(WHOLE[: -len(METADATA)]), without)

    def test_every_flipped_byte_is_found(self) -> None:
        """Checksums are checked: what came before is given, then the failure."""
        middle = delta(0, text="Hello")
        for at in range(len(middle)):
            broken = bytearray(middle)
            broken[at] ^= 0x20
            decoder = DIALECT.decoder(choices=1, max_event=10_000)
            self.assertEqual(decoder.feed(BEGIN + bytes(broken) + stop()), [ir.Begin()])
            self.assertIsInstance(decoder.broken, UpstreamMalformed)
            self.assertRaises(UpstreamMalformed, decoder.feed, b"")
            self.assertRaises(UpstreamMalformed, decoder.end)

    def test_too_large(self) -> None:
        """An event over the bound is refused by its length, before it is waited for."""
        head = delta(0, text="x" * 500)[:12]
        self.assertRaises(UpstreamMalformed, read, BEGIN + head, limit=300)
        self.assertRaises(UpstreamMalformed, read, b"data: {}\n\n  ")  # not this framing at all

    def test_errors_in_the_stream(self) -> None:
        for name, kind, words in (
            ("throttlingException", VendorRateLimited, "slow down"),
            ("serviceUnavailableException", VendorUnavailable, "slow down"),
            ("modelStreamErrorException", VendorFailed, "slow down"),
            ("internalServerException", VendorFailed, "slow down"),
            ("modelTimeoutException", VendorFailed, "slow down"),
            ("validationException", VendorRefused, "slow down"),
            ("accessDeniedException", VendorRejectedCredentials, "refused the gateway's credentials"),
        ):
            for before in (b"", BEGIN + delta(0, text="Hi")):
                error = self.assertRaises(kind, read, before + frame(name, {"message": "slow down"}, "exception"))
                self.assertIn(words, error.message)
        plain = encode({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "boom"}, b"")
        self.assertIn("boom", self.assertRaises(VendorFailed, read, BEGIN + plain).message)
        said = self.assertRaises(VendorFailed, read, BEGIN + DIALECT.error_frame(EdgeError("ours")))
        self.assertIn("ours", said.message)
        silent = self.assertRaises(VendorFailed, read, frame("oddException", {}, "exception"))
        self.assertIn("oddException", silent.message)

    def test_what_breaks_the_protocol(self) -> None:
        for bad in (
            frame("contentBlockDelta", {"delta": 5, "contentBlockIndex": 0}),
            frame("contentBlockDelta", {"delta": {"text": "x"}}),
            encode({":message-type": "event", ":event-type": "contentBlockDelta"}, b"\xff"),
            delta(0, toolUse={"input": "{}"}),
            start(0, "t", "f") + start(0, "t", "f"),
            stop() + stop(),
            stop() + delta(0, text="more"),
            stop() + start(0, "t", "f"),
            thought(0, redactedContent="x") + thought(0, redactedContent="y") + close(0),
        ):
            self.assertRaises(UpstreamMalformed, read, BEGIN + bad)

    def test_what_is_passed_over(self) -> None:
        """New kinds of events, and the tools Bedrock runs itself."""
        server = start(0, "s", "web", type="server_tool_use") + delta(0, toolUse={"input": "{}"}) + close(0)
        result = frame("contentBlockStart", {"start": {"toolResult": {"toolUseId": "s"}}, "contentBlockIndex": 1})
        result += delta(1, toolResult=[{"text": "found"}]) + close(1)
        new = frame("initial-response", {}) + frame("contentBlockStart", {"start": {}, "contentBlockIndex": 2})
        expected = [
            ir.Begin(),
            ir.Open(0, "text"),
            ir.Delta(0, "Hi"),
            ir.Close(0),
            ir.Finish("stop"),
            ir.End(),
        ]
        self.assertEqual(read(new + BEGIN + server + result + delta(2, text="Hi") + close(9) + stop()), expected)

    def test_redacted_in_pieces(self) -> None:
        events = read(BEGIN + thought(0, redactedContent="eA==") + thought(0, redactedContent="eQ==") + stop())
        self.assertEqual(events[1], ir.Open(0, "thinking", signature="eHk=", redacted=True))


class Translated(SynchronousTestCase):
    """A client of OpenAI's chat and a model on Bedrock."""

    maxDiff = None

    def test_a_request(self) -> None:
        asked = {
            "model": "m",
            "max_tokens": 50,
            "stop": "END",
            "reasoning_effort": "low",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look."},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                        {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "t1", "content": "one"},
                {"role": "tool", "tool_call_id": "t2", "content": "two"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": "required",
        }
        openai = OpenAIChat()
        request = openai.parse(openai.parse_request(json.dumps(asked).encode()).fields)
        self.assertEqual(
            render(request)[0],
            {
                "system": [{"text": "Be brief."}],
                "messages": [
                    {
                        "role": "user",
                        "content": [{"text": "Look."}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}],
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                            {"toolUse": {"toolUseId": "t2", "name": "f", "input": {}}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}},
                            {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}]}},
                        ],
                    },
                ],
                "inferenceConfig": {"maxTokens": 50, "stopSequences": ["END"]},
                "toolConfig": {
                    "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}],
                    "toolChoice": {"any": {}},
                },
                "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
                "additionalModelResponseFieldPaths": ["/stop_sequence"],
                "outputConfig": {"effort": "low"},
            },
        )

    def test_a_stream(self) -> None:
        """Read by the reader of OpenAI's own streams: whole, and with its usage."""
        decoder = DIALECT.decoder(choices=1, max_event=10_000)
        translated = TranslatedReader(decoder, OpenAIChat().encoder(ResponseContext("m", "id1", 7, True)))
        frames = b"".join(event.frame for event in translated.feed(WHOLE))
        self.assertEqual(translated.usage, COUNTED)
        reader = OpenAIChat().decoder(choices=1, max_event=10_000)
        events = reader.feed(frames)
        deltas = [event.text for event in events if isinstance(event, ir.Delta)]
        self.assertEqual(deltas, ["h", "m", "Hé", "llo", '{"a":', " 1}", "{}"])
        self.assertEqual(
            [event.tool_id for event in events if isinstance(event, ir.Open) and event.tool_id], ["t1", "t2"]
        )
        self.assertEqual(events[-1], ir.End())


class EventStreams(SynchronousTestCase):
    def test_every_type_of_header(self) -> None:
        """As botocore reads them, all ten types."""
        raw = b"".join(
            bytes([1]) + name + rest
            for name, rest in (
                (b"a", b"\x02\xff"),
                (b"b", b"\x03\xff\xfe"),
                (b"c", b"\x04\x00\x00\x00\x07"),
                (b"d", b"\x08\x00\x00\x00\x00\x00\x00\x00\x09"),
                (b"e", b"\x09" + bytes(range(16))),
                (b"f", b"\x07\x00\x02hi"),
            )
        )
        message = encode({"x": "y"}, b"")
        self.assertEqual(list(EventStreamParser(100).feed(message)), [Message({"x": "y"}, b"")])
        head = struct.pack(">II", 16 + len(raw), len(raw))
        whole = head + struct.pack(">I", crc32(head)) + raw
        whole += struct.pack(">I", crc32(whole))
        expected = {"a": -1, "b": -2, "c": 7, "d": 9, "e": bytes(range(16)), "f": "hi"}
        (read_message,) = EventStreamParser(1000).feed(whole)
        self.assertEqual(read_message.headers, expected)
        if EventStreamBuffer is not None:
            buffer = EventStreamBuffer()
            buffer.add_data(whole)
            self.assertEqual(next(buffer).headers, expected)

    def test_bad_headers(self) -> None:
        for raw in (b"\x05a", b"\x01a", b"\x01a\x07\x00\x09hi", b"\x01a\x63", b"\x01a\x05\x00", b"\x01\xff\x00"):
            head = struct.pack(">II", 16 + len(raw), len(raw))
            whole = head + struct.pack(">I", crc32(head)) + raw
            whole += struct.pack(">I", crc32(whole))
            self.assertRaises(EventStreamError, list, EventStreamParser(1000).feed(whole))

    @settings(max_examples=examples(150), deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.dictionaries(
                    st.text(min_size=1, max_size=20),
                    st.text(max_size=30) | st.binary(max_size=30) | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
                    max_size=4,
                ),
                st.binary(max_size=200),
            ),
            max_size=5,
        ),
        st.integers(1, 50),
    )
    def test_round_trip(self, messages: list[tuple[dict[str, Any], bytes]], step: int) -> None:
        """Written and read in pieces; botocore reads the same."""
        data = b"".join(encode(headers, payload) for headers, payload in messages)
        parser = EventStreamParser(10_000)
        read_messages = [m for at in range(0, len(data), step) for m in parser.feed(data[at : at + step])]
        self.assertEqual([(dict(m.headers), m.payload) for m in read_messages], messages)
        self.assertFalse(parser.partial)
        if EventStreamBuffer is not None:
            buffer = EventStreamBuffer()
            buffer.add_data(data)
            self.assertEqual([(event.headers, event.payload) for event in buffer], messages)

    def test_against_botocore(self) -> None:
        """The whole stream above, as AWS's own client reads it."""
        if EventStreamBuffer is None:
            self.skipTest("botocore is not installed")
        buffer = EventStreamBuffer()
        buffer.add_data(WHOLE)
        theirs = [(event.headers, event.payload) for event in buffer]
        ours = [(m.headers, m.payload) for m in EventStreamParser(10_000).feed(WHOLE)]
        self.assertEqual(ours, theirs)
        self.assertEqual(len(ours), 22)


# What the dialect can say, for round trips

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
words = st.text("abcXYZ019", min_size=1, max_size=12)
caches = st.sampled_from(["", "5m", "1h"])
data = st.binary(min_size=1, max_size=12).map(lambda raw: base64.b64encode(raw).decode())
json_objects = st.dictionaries(words, st.none() | st.integers(-9, 9) | texts, max_size=3).map(json.dumps)
citations = st.one_of(
    st.builds(ir.Citation, st.just("url"), url=words, title=st.just("") | texts, quote=st.just("") | texts),
    st.builds(
        ir.Citation,
        st.sampled_from(["char", "page", "block"]),
        title=texts,
        quote=texts,
        document=st.integers(0, 5),
        start=st.integers(0, 9),
        end=st.integers(10, 20),
    ),
)
plain_texts = st.builds(ir.Text, texts, cache=caches)
cited_texts = st.builds(ir.Text, texts, st.lists(citations, max_size=2).map(tuple), caches)
image_sources = st.builds(
    ir.Source, st.just("base64"), data, st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"])
) | st.builds(ir.Source, st.just("url"), words.map("s3://{}".format), st.just("image/png"))
images = st.builds(ir.Image, image_sources, cache=caches)
file_sources = st.builds(
    ir.Source, st.just("base64"), data, st.sampled_from(["application/pdf", "text/csv", "text/markdown"])
) | st.builds(ir.Source, st.just("text"), texts, st.sampled_from(["", "text/plain"]))
files = st.builds(ir.File, file_sources, words, st.just("") | texts, st.booleans(), caches)
audios = st.builds(
    ir.Audio, st.builds(ir.Source, st.just("base64"), data, st.sampled_from(["audio/mpeg", "audio/wav"]))
)
calls = st.builds(ir.ToolCall, words, words, json_objects, cache=caches)
thoughts = st.builds(ir.Thinking, texts, st.just("") | words) | st.builds(ir.Thinking, st.just(""), data, st.just(True))
results = st.builds(
    ir.ToolResult,
    words,
    st.lists(
        st.builds(ir.Text, texts) | st.builds(ir.Image, image_sources) | st.builds(ir.File, file_sources, words),
        max_size=3,
    ).map(tuple),
    error=st.booleans(),
    cache=caches,
)


def parts(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ir.Message, ...]:
    messages = []
    if draw(st.booleans()):
        messages.append(ir.Message("system", draw(parts(plain_texts)), at="system"))
    for index in range(draw(st.integers(1, 3))):
        at = f"messages[{index}]"
        if index % 2:
            messages.append(ir.Message("assistant", draw(parts(cited_texts, calls, thoughts)), at=at))
            continue
        if index:
            messages.append(ir.Message("tool", draw(parts(results)), at=at))
        if not index or draw(st.booleans()):
            messages.append(ir.Message("user", draw(parts(plain_texts, images, files, audios)), at=at))
    return tuple(messages)


tools = st.builds(
    ir.Tool, words, st.just("") | texts, json_objects.map(str.encode), st.sampled_from([None, True]), caches
)
shows = st.sampled_from([None, True, False])
reasonings = st.one_of(
    st.builds(ir.Reasoning, effort=st.sampled_from(["low", "high", "max"]), show=shows),
    st.builds(ir.Reasoning, st.just(True), show=shows),
    st.builds(ir.Reasoning, st.just(True), st.sampled_from(["", "low"]), st.integers(1024, 9999), shows),
    st.just(ir.Reasoning(False)),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    offered = draw(st.lists(tools, max_size=2).map(tuple))
    choices = [None, ir.ToolChoice("auto"), ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))]
    return ir.Request(
        draw(conversations()),
        offered,
        draw(st.sampled_from(choices)) if offered else None,
        output=draw(
            st.none() | st.builds(ir.Output, st.just("json_schema"), json_objects.map(str.encode), st.just("") | words)
        ),
        reasoning=draw(st.none() | reasonings),
        max_tokens=draw(st.none() | st.integers(1, 9999)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 0.99)),
        top_k=draw(st.none() | st.integers(1, 100)),
        stop=draw(st.lists(texts, max_size=2).map(tuple)),
        metadata=tuple(draw(st.dictionaries(words, texts, max_size=2)).items()),
        service_tier=draw(st.sampled_from(["", "flex", "priority"])),
    )


@functools.cache
def service() -> Any:
    """AWS's own description of the API."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


def faults(body: bytes) -> str:
    """What AWS's own client finds wrong with a request."""
    if EventStreamBuffer is None:
        return ""
    shape = service().operation_model("ConverseStream").input_shape
    report: str = ParamValidator().validate(json.loads(body) | {"modelId": CLAUDE}, shape).generate_report()
    return report


def distinct_documents(request: ir.Request) -> bool:
    found = [
        part.name
        for message in request.messages
        for outer in message.parts
        for part in (outer.content if isinstance(outer, ir.ToolResult) else (outer,))
        if isinstance(part, ir.File)
    ]
    return len(found) == len(set(found))


usages = st.builds(
    lambda rest, output, cached, five, hour: Usage(rest + cached + five + hour, output, cached, 0, five + hour, hour),
    *[st.integers(0, 1000)] * 5,
)
answers = st.builds(
    lambda said, finish, stopped, usage, tier: ir.Answer(
        (ir.Choice(said, finish, stop_sequence=stopped),), usage=usage, service_tier=tier
    ),
    parts(st.builds(ir.Text, texts, st.lists(citations, max_size=2).map(tuple)), thoughts)
    | parts(st.builds(ir.ToolCall, words, words, json_objects), st.builds(ir.Image, image_sources)),
    st.sampled_from(["stop", "stop_sequence", "length", "tool", "filter", "malformed", "context"]),
    st.just("") | texts,
    st.none() | usages,
    st.sampled_from(["", "flex"]),
)


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(200), deadline=None)
    @given(requests().filter(distinct_documents))
    def test_requests(self, request: ir.Request) -> None:
        """What the dialect can say is read back as it was said."""
        body = DIALECT.render(request, CLAUDE, RenderContext({}, False), stream=False)
        self.assertEqual(DIALECT.parse(DIALECT.parse_request(body).fields), request)
        self.assertEqual(faults(body), "")

    def test_as_aws_has_it(self) -> None:
        """AWS's client finds nothing wrong with what we say, and understands our answers and streams in full."""
        if EventStreamBuffer is None:
            self.skipTest("botocore is not installed")
        self.assertEqual(faults(json.dumps(REQUEST).encode()), "")
        self.assertIn("Unknown parameter", faults(b'{"messages":[{"role":"user","content":[{"txt":"x"}]}]}'))
        parser = create_parser("rest-json")
        shape = service().operation_model("Converse").output_shape
        said = ir.Answer(
            (
                ir.Choice(
                    (ir.Thinking("hm", "s"), ir.Text("Hi"), ir.ToolCall("t", "f", '{"a":1}')),
                    "stop_sequence",
                    stop_sequence="END",
                ),
            ),
            usage=COUNTED,
        )
        theirs = parser.parse(
            {"body": DIALECT.render_answer(said, ResponseContext("m")), "headers": {}, "status_code": 200}, shape
        )
        del theirs["ResponseMetadata"]
        content = [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"text": "Hi"},
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
        ]
        self.assertEqual(
            theirs,
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": "stop_sequence",
                "additionalModelResponseFields": {"stop_sequence": "END"},
                "metrics": {"latencyMs": 0},
                "usage": USAGE,
            },
        )
        events = service().operation_model("ConverseStream").output_shape.members["stream"]
        for event in DIALECT.encoder(ResponseContext("m")).encode(EVENTS):
            buffer = EventStreamBuffer()
            buffer.add_data(event.frame)
            for message in buffer:
                payload = json.loads(message.payload)
                found = parser._event_stream_parser.parse(message.to_response_dict(), events)
                (name,) = found
                self.assertEqual(message.headers[":event-type"], name)
                self.assertEqual(set(found[name]), set(payload), "a field AWS's client does not know")

    @settings(max_examples=examples(200), deadline=None)
    @given(answers)
    def test_answers(self, said: ir.Answer) -> None:
        self.assertEqual(DIALECT.parse_answer(DIALECT.render_answer(said, ResponseContext("m"))), said)
