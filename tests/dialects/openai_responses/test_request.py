"""Requests, read and written."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.ir import Citation, Text, Thinking
from llmedge.errors import (
    Unsupported,
    ValidationError,
)
from tests.dialects.openai_responses.cases import (
    DIALECT,
    REASONING,
    SCHEMA,
    TOOL,
    URL,
    call,
    message,
    output_text,
    packed,
    parsed,
    raw,
    rendered,
)


def checked(raw: bytes) -> None:
    DIALECT.check(DIALECT.parse_request(raw).fields)


class Requests(SynchronousTestCase):
    def test_what_is_wrong_is_named(self) -> None:
        """Each message says what to change, and param names the field."""
        for fields, param, words in (
            ({"model": "m"}, "input", "is required"),
            ({"input": "x"}, "model", "is required"),
            ({"model": "m", "input": []}, "input", "at least one"),
            ({"model": "m", "input": 5}, "input", "mistyped"),
            ({"model": "m", "input": ["x"]}, "input[0]", "mistyped"),
            ({"model": "m", "input": "x", "stream": "yes"}, "stream", "expected bool"),
            ({"model": "m", "input": "x", "max_output_tokens": 1.5}, "max_output_tokens", "expected int"),
            ({"model": "m", "input": "x", "tools": [5]}, "tools[0]", "mistyped"),
        ):
            error = self.assertRaises(ValidationError, checked, packed(fields))
            self.assertEqual(error.param, param)
            self.assertIn(words, error.message)

    def test_one_level(self) -> None:
        """What the gateway needs to know of a request; everything else is bytes."""
        asked = DIALECT.parse_request(b'{"model":"m","input":[{"role":"user","content":"a"}],"stream":true,"x":1.0}')
        self.assertEqual(
            (asked.model, asked.stream, asked.wants_usage, asked.choices, asked.message_count), ("m", True, True, 1, 1)
        )
        body = DIALECT.forward(asked.fields, "n", stream=True, ask_usage=True)
        self.assertEqual(body, b'{"model":"n","input":[{"role":"user","content":"a"}],"stream":true,"x":1.0}')
        self.assertEqual(DIALECT.parse_request(b'{"model":"m","input":"a"}').message_count, 1)
        self.assertEqual(DIALECT.parse_request(b'{"model":"m","previous_response_id":"resp_1"}').message_count, 0)

    def test_a_plain_request_has_nothing_to_refuse(self) -> None:
        """Defaults say nothing, also where they are written out."""
        plain = ir.Request((ir.Message("user", (Text("hi"),), at="input"),))
        self.assertEqual(parsed(), plain)
        self.assertEqual(
            parsed(
                store=False,
                background=False,
                truncation="disabled",
                include=["reasoning.encrypted_content"],
                top_logprobs=0,
                service_tier="auto",
                metadata={},
                tools=[],
                parallel_tool_calls=True,
                text={"format": {"type": "text"}},
                reasoning={"effort": None, "summary": None, "context": "auto"},
                previous_response_id=None,
                stream=True,
                stream_options={"include_obfuscation": False},
            ),
            plain,
        )
        self.assertEqual(rendered(plain), ({"model": "m", "store": False, "input": "hi"}, []))

    def test_everything(self) -> None:
        """Every field that has a place in the form gets it."""
        request = parsed(
            instructions="Be brief.",
            input=[
                {"role": "developer", "content": "D"},
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Look"},
                        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
                        {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "auto"},
                        {"type": "input_image", "file_id": "file-1"},
                        {"type": "input_file", "file_data": "data:application/pdf;base64,JVB", "filename": "a.pdf"},
                        {"type": "input_file", "file_url": "https://a.example/c.pdf"},
                        {"type": "input_file", "file_id": "file-2"},
                    ],
                },
                REASONING,
                message(output_text("Hello", URL), {"type": "refusal", "refusal": "No"}),
                call("call_1", "weather", '{"city": "Oslo"}'),
                call("call_2", "weather", "{}"),
                {"type": "function_call_output", "call_id": "call_1", "output": "7"},
                {
                    "type": "function_call_output",
                    "call_id": "call_2",
                    "output": [{"type": "input_text", "text": "a"}, {"type": "input_image", "file_id": "file-3"}],
                },
            ],
            tools=[TOOL, {"type": "function", "name": "now", "parameters": None, "strict": False}],
            tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]},
            parallel_tool_calls=False,
            text={
                "format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True, "description": "d"},
                "verbosity": "low",
            },
            reasoning={"effort": "high", "summary": "detailed"},
            max_output_tokens=99,
            temperature=0.5,
            top_p=0.25,
            include=["message.output_text.logprobs"],
            top_logprobs=3,
            safety_identifier="u",
            metadata={"k": "v"},
            service_tier="flex",
            store=True,
        )
        expected = ir.Request(
            messages=(
                ir.Message("system", (Text("Be brief."),), at="instructions"),
                ir.Message("developer", (Text("D"),), at="input[0]"),
                ir.Message(
                    "user",
                    (
                        Text("Look"),
                        ir.Image(ir.Source("base64", "iVBO", "image/png"), "high"),
                        ir.Image(ir.Source("url", "https://a.example/b.png")),
                        ir.Image(ir.Source("file", "file-1")),
                        ir.File(ir.Source("base64", "JVB", "application/pdf"), "a.pdf"),
                        ir.File(ir.Source("url", "https://a.example/c.pdf")),
                        ir.File(ir.Source("file", "file-2")),
                    ),
                    at="input[1]",
                ),
                ir.Message(
                    "assistant",
                    (
                        Thinking("First.\n\nSecond.", "gAAA=", id="rs_1"),
                        Text("Hello", (Citation("url", "https://a.example", "A", text_start=0, text_end=5),)),
                        ir.Refusal("No"),
                        ir.ToolCall("call_1", "weather", '{"city": "Oslo"}'),
                        ir.ToolCall("call_2", "weather", "{}"),
                    ),
                    at="input[2]",
                ),
                ir.Message(
                    "tool",
                    (
                        ir.ToolResult("call_1", (Text("7"),)),
                        ir.ToolResult("call_2", (Text("a"), ir.Image(ir.Source("file", "file-3")))),
                    ),
                    at="input[6]",
                ),
            ),
            tools=(ir.Tool("weather", "Now", packed(SCHEMA), True), ir.Tool("now")),
            tool_choice=ir.ToolChoice("required", ("now",)),
            parallel_tools=False,
            output=ir.Output("json_schema", packed(SCHEMA), "s", "d", True),
            reasoning=ir.Reasoning(effort="high", show=True),
            max_tokens=99,
            temperature=0.5,
            top_p=0.25,
            logprobs=True,
            top_logprobs=3,
            user="u",
            metadata=(("k", "v"),),
            service_tier="flex",
            store=True,
            verbosity="low",
        )
        self.assertEqual(request, expected)
        said, _ = rendered(request)
        self.assertEqual(DIALECT.parse(raw(packed(said))), expected)
        self.assertEqual(said["include"], ["reasoning.encrypted_content", "message.output_text.logprobs"])
        self.assertEqual(said["tools"][1], {"type": "function", "name": "now", "parameters": None, "strict": False})
        self.assertEqual(
            said["input"][2],
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "First.\n\nSecond."}],
                "encrypted_content": "gAAA=",
            },
        )

    def test_nothing_is_lost_silently(self) -> None:
        """What has no place in the form is known by its path: as content, as a hint, or as lost."""
        request = parsed(
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "a", "new": 1}]},
                {"id": "msg_1"},
                {"type": "item_reference", "id": "rs_1"},
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "message", "role": "assistant", "content": "b", "phase": "commentary"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"},
                {
                    "role": "user",
                    "content": [{"type": "input_file", "file_id": "f", "detail": "high"}],
                },
                {"role": "user", "content": [{"type": "x"}]},
            ],
            tools=[{"type": "web_search"}, {**TOOL, "defer_loading": True}],
            tool_choice={"type": "web_search"},
            include=["web_search_call.action.sources"],
            background=True,
            truncation="auto",
            previous_response_id="resp_0",
            conversation="conv_0",
            prompt={"id": "p"},
            max_tool_calls=3,
            reasoning={"effort": "low", "mode": "pro"},
            text={"novel": 1},
            seed=5,
        )
        self.assertEqual(
            set(request.extra),
            {
                "input[0].content[0].new",
                "tools[0] (web_search)",
                "background",
                "text.novel",
            },
        )
        self.assertEqual(
            set(request.hints),
            {
                "input (web_search_call)",
                "input (item_reference)",
                "input.phase",
                "input.content.detail",
                "tools.defer_loading",
                "include",
                "truncation",
                "max_tool_calls",
                "reasoning.mode",
                "seed",
            },
        )
        self.assertEqual(
            set(request.lost),
            {
                "input[1] (item_reference)",
                "input[7].content[0] (x)",
                "previous_response_id",
                "conversation",
                "prompt",
            },
        )
        self.assertEqual(len(request.extra), len(set(request.extra)))

    def test_what_cannot_be_said_is_refused_or_named(self) -> None:
        """Each with its field, in the client's words; with ``drop`` the rest is said."""
        user = ir.Message("user", (Text("a", cache="5m"),), "Bob", "messages[0]")
        request = ir.Request(
            (
                user,
                ir.Message("assistant", (ir.ToolCall("i", "f", "{}", "sig"),), at="messages[1]"),
                ir.Message("tool", (ir.ToolResult("i", (Text("x"),), error=True),), at="messages[2]"),
                ir.Message("user", (ir.Audio(ir.Source("base64", "AA", "audio/aac"), id="a"),), at="messages[3]"),
            ),
            tools=(ir.Tool("f", cache="5m"),),
            stop=("x",),
            top_k=1,
            n=2,
            seed=1,
            presence_penalty=1.0,
            frequency_penalty=1.0,
            logit_bias=b'{"1":2}',
            extra=("modalities",),
        )
        self.assertRaises(Unsupported, rendered, request)
        said, dropped = rendered(request, drop=True)
        self.assertEqual(
            set(dropped),
            {
                "name",
                "cache_control",
                "signature",
                "is_error",
                "messages[3] (audio)",
                "top_k",
                "n",
                "seed",
                "presence_penalty",
                "frequency_penalty",
                "logit_bias",
                "modalities",
            },
        )
        self.assertEqual(
            said,
            {
                "model": "m",
                "store": False,
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
                    {"type": "function_call", "call_id": "i", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "i", "output": "x"},
                    {"type": "message", "role": "user", "content": []},
                ],
                "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}],
            },
        )

    def test_efforts_and_budgets(self) -> None:
        """The scale is the one of chats; encrypted thoughts are asked for where there is thinking."""
        for reasoning, said in (
            (ir.Reasoning(budget=1000, show=True), {"effort": "low", "summary": "auto"}),
            (ir.Reasoning(enabled=False), {"effort": "none"}),
            (ir.Reasoning(budget=20000), {"effort": "high"}),
        ):
            body, _ = rendered(ir.Request((), reasoning=reasoning))
            self.assertEqual(body["reasoning"], said)
            self.assertEqual("include" in body, said["effort"] != "none")

    def test_a_system_prompt_of_any_dialect_becomes_instructions(self) -> None:
        """Without a proof, a thought goes back as text, which open models take."""
        said, _ = rendered(
            ir.Request(
                (
                    ir.Message("system", (Text("S"),), at="system"),
                    ir.Message("assistant", (Thinking("t"), Text("a")), at="messages[0]"),
                )
            )
        )
        self.assertEqual(said["instructions"], "S")
        alone, _ = rendered(ir.Request((ir.Message("system", (Text("S"),), at="system"),)))
        self.assertNotIn("instructions", alone)  # an input of nothing is refused
        self.assertEqual(alone["input"], [{"type": "message", "role": "system", "content": "S"}])
        self.assertEqual(
            said["input"],
            [
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "a", "annotations": []}],
                },
            ],
        )

    def test_mistyped_deep_down(self) -> None:
        """The path leads to the field."""
        for item, param in (
            ({"role": "user", "content": [{"type": "input_audio"}]}, "input[0].content[0].input_audio"),
            ({"role": "tool", "content": "a"}, "input[0].role"),
            ({"type": "function_call", "call_id": "a", "arguments": "{}"}, "input[0].name"),
            ({"type": "function_call_output", "output": "a"}, "input[0].call_id"),
            ({"type": "function_call_output", "call_id": "a"}, "input[0].output"),
            ({"role": "user"}, "input[0].content"),
            ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ):
            error = self.assertRaises(ValidationError, parsed, input=[item])
            self.assertEqual(error.param, param)
