"""Requests of Converse, read and written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.fitting.conversation import ATTACHED
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    Unsupported,
    ValidationError,
)
from tests.dialects.bedrock.cases import CLAUDE, CLOSED, DIALECT, REQUEST, render

NOVA = "amazon.nova-pro-v1:0"
PNG = ir.Source("base64", "aGk=", "image/png")
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
    tools=(ir.Tool("look", "Looks.", CLOSED, True, "5m"),),
    tool_choice=ir.ToolChoice("auto"),
    output=ir.Output("json_schema", CLOSED, "n", "d"),
    reasoning=ir.Reasoning(True, "high", 2000, True),
    max_tokens=9000,
    temperature=1.0,
    top_p=0.96,
    stop=("END",),
    metadata=(("team", "a"),),
    service_tier="flex",
    extra=("messages[0].content[6].cachePoint",),  # audio has no mark in the form
)


def parse(body: Any) -> ir.Request:
    return DIALECT.parse(DIALECT.parse_request(json.dumps(body).encode()).fields)


def user(*parts: ir.Part, **fields: Any) -> ir.Request:
    return ir.Request((ir.Message("user", parts or (ir.Text("hi"),), at="messages[0]"),), **fields)


EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


class Requests(SynchronousTestCase):
    maxDiff = None

    def test_everything_it_can_say(self) -> None:
        """A request with all there is, read and written, each in full."""
        self.assertEqual(parse(REQUEST), FORM)
        expected = json.loads(json.dumps(REQUEST))
        del expected["messages"][0]["content"][6]
        self.assertEqual(render(msgspec.structs.replace(FORM, extra=()))[0], expected)

    def test_what_has_no_place_is_named(self) -> None:
        """With its path."""
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
        """The error names the field."""
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
        body = DIALECT.render(ir.Request((call,)), NOVA, RenderContext({}, "refuse"), stream=True)
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
                        "content": [
                            {"toolResult": {"toolUseId": "t", "content": [{"text": "(It gave nothing.)"}]}},
                            {"text": "e"},
                        ],
                    },
                ],
                "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": EMPTY}}}]},
            },
        )

    def test_a_result_of_nothing(self) -> None:
        """It says so, an error above all: an empty one is refused."""
        for error in (True, False):
            called = ir.Message("assistant", (ir.ToolCall("t", "f", "{}"),))
            request = ir.Request((*user().messages, called, ir.Message("tool", (ir.ToolResult("t", (), error=error),))))
            (block,) = render(request)[0]["messages"][2]["content"]
            self.assertEqual(block["toolResult"]["content"], [{"text": "(It gave nothing.)"}])
            anthropic: Any = DIALECTS["anthropic"]
            said = json.loads(anthropic.render(request, "m", RenderContext({}, "refuse"), stream=False))
            (block,) = said["messages"][2]["content"]
            self.assertEqual(block.get("content"), "(It gave nothing.)" if error else None)

    def test_thoughts(self) -> None:
        """Claude takes back what it signed, other models nothing: no thought is a reason to refuse."""
        signed, redacted = ir.Thinking("t", "Uw=="), ir.Thinking(signature="eHl6", redacted=True)
        unsigned, of_openai = ir.Thinking("t"), ir.Thinking("t", "gAAA", id="rs_1")
        for model, thought, taken in (
            (CLAUDE, signed, True),
            (CLAUDE, redacted, True),
            (CLAUDE, unsigned, False),
            (CLAUDE, of_openai, False),
            (NOVA, signed, False),
            (NOVA, unsigned, False),
        ):
            said = ir.Message("assistant", (thought, ir.Text("a")))
            context = RenderContext({}, "hints")
            body = DIALECT.render(ir.Request((*user().messages, said)), model, context, stream=False)
            blocks = json.loads(body)["messages"][1]["content"]
            self.assertEqual(["reasoningContent" in block for block in blocks], [True, False] if taken else [False])
            self.assertEqual(context.dropped, [] if taken else ["thinking"])

    def test_what_it_cannot_say(self) -> None:
        """Each is refused with its name, or dropped and named; never silent."""
        url = ir.Source("url", "https://x/i.png", "image/png")
        file = ir.Source("file", "f1", "image/png")
        at = "messages[0] "
        marked = ir.Text("x", cache="5m")
        for request, model, name in (
            (user(n=2), CLAUDE, "n"),
            (user(seed=1), CLAUDE, "seed"),
            (user(user="u"), CLAUDE, "user"),
            (user(logit_bias=b"{}"), CLAUDE, "logit_bias"),
            (user(extra=("x.y",)), CLAUDE, "x.y"),
            (user(top_k=1), NOVA, "top_k"),
            (user(reasoning=ir.Reasoning(effort="low")), NOVA, "reasoning"),
            (user(parallel_tools=False, tools=(ir.Tool("f"),)), CLAUDE, "parallel_tools"),
            (user(output=ir.Output("json")), CLAUDE, "output"),
            (user(service_tier="scale"), CLAUDE, "service_tier"),
            (user(ir.Image(url)), CLAUDE, at + "(image)"),
            (user(ir.Image(file)), CLAUDE, at + "(image)"),
            (user(ir.Image(ir.Source("base64", "eA==", "image/bmp"))), CLAUDE, at + "(image)"),
            (user(ir.Image(PNG, detail="low")), CLAUDE, "detail"),
            (user(ir.File(ir.Source("base64", "eA=="))), CLAUDE, at + "(file)"),
            (user(ir.File(ir.Source("file", "f1"))), CLAUDE, at + "(file)"),
            (user(ir.Audio(ir.Source("base64", "eA==", "audio/wav"), id="a")), CLAUDE, at + "(audio id)"),
            (user(ir.Refusal("no")), CLAUDE, at + "(refusal)"),
            (user(ir.Thinking("x", id="r")), CLAUDE, "thinking"),
            (user(ir.ToolCall("t", "f", "{}", "sig")), CLAUDE, "signature"),
            (user(ir.Text("x", cache="24h")), CLAUDE, "cache_control"),
            (user(tools=(ir.Tool("f", cache="1d"),)), CLAUDE, "cache_control"),
            (user(ir.ToolResult("t", (marked,))), CLAUDE, "cache_control"),
        ):  # fmt: skip
            error = self.assertRaises(Unsupported, render, request, model)
            self.assertEqual(error.param, name)
            self.assertIn(name, render(request, model, drop=True)[1])

    def test_a_late_word_of_the_system(self) -> None:
        """It stands where it is: as the user's where the model has no place for it."""
        late = ir.Request((ir.Message("user", (ir.Text("a"),)), ir.Message("system", (ir.Text("b"),))))
        said, _ = render(late)
        self.assertEqual(
            said["messages"], [{"role": "user", "content": [{"text": "a"}, {"text": "<system>\nb\n</system>"}]}]
        )
        said, _ = render(late, quirks=frozenset({"system_messages"}))
        self.assertEqual(said["messages"][1], {"role": "system", "content": [{"text": "b"}]})

    def test_no_tools(self) -> None:
        """``none`` is said by offering none, unless tools were called before."""
        tool, none = ir.Tool("f", schema=b"{}"), ir.ToolChoice("none")
        self.assertEqual(render(user(tools=(tool,), tool_choice=none))[0], render(user())[0])
        called = ir.Message("assistant", (ir.ToolCall("t", "f", "{}"),))
        asked = ir.Request((ir.Message("user", (ir.Text("q"),)), called), (tool,), none)
        self.assertEqual(self.assertRaises(Unsupported, render, asked).param, "tool_choice")
        said, dropped = render(asked, drop=True)
        self.assertEqual((said["system"], dropped), ([{"text": "Call no tool in this answer."}], ["tool_choice"]))
        self.assertEqual(said["toolConfig"]["tools"][0]["toolSpec"]["name"], "f")
        only = user(tools=(tool,), tool_choice=ir.ToolChoice("required", ("f",)))
        self.assertEqual(render(only)[0]["toolConfig"]["toolChoice"], {"tool": {"name": "f"}})

    def test_names_of_documents(self) -> None:
        """Bedrock takes few characters and no name twice."""
        file = ir.Source("base64", "eA==", "application/pdf")
        names = ["a_b.pdf", "", "  x   y.PDF", "", "a_b.pdf", "ü" * 300]
        said, _ = render(user(*(ir.File(file, name) for name in names)))
        *documents, beside = said["messages"][0]["content"]
        self.assertEqual(beside, {"text": ATTACHED})
        given = [block["document"]["name"] for block in documents]
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
        """A body for a vendor of the same dialect keeps its bytes; a stream cannot be passed on."""
        raw = b'{"messages":[{"role":"user"}],"x":1.0}'
        request = DIALECT.parse_request(raw, model="m", stream=True)
        self.assertEqual((request.model, request.stream, request.message_count), ("m", True, 1))
        self.assertEqual(DIALECT.forward(request.fields, "m", stream=True, ask_usage=True), raw)
        self.assertRaises(Unsupported, DIALECT.reader, strip_usage=True, choices=1, max_event=1)
