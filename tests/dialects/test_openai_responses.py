import json
import warnings
from dataclasses import dataclass, field
from typing import Any

import msgspec
import openai
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Begin, Citation, Close, Counted, Delta, End, Finish, Open, Sign, Text, Thinking
from llmedge.dialects.openai_responses import OpenAIResponses
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    EdgeError,
    Unsupported,
    UpstreamCut,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
    VendorRateLimited,
    VendorUnavailable,
)
from llmedge.model import EventKind, Usage
from tests.effort import examples

try:
    import httpx2 as httpx
except ImportError:
    import httpx

DIALECT = OpenAIResponses()
raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "description": "Now", "parameters": SCHEMA, "strict": True}


def packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def parsed(**fields: object) -> ir.Request:
    body = packed({"model": "m", "input": "hi", **fields})
    return DIALECT.parse(DIALECT.parse_request(body).fields)


def rendered(request: ir.Request, drop: bool = False) -> tuple[dict[str, Any], list[str]]:
    context = RenderContext(DIALECT.field_names, drop, "it")
    return json.loads(DIALECT.render(request, "m", context, stream=False)), context.dropped


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), packed(event)) for event in events)


def response(status: str = "completed", output: list[Any] | None = None, **more: object) -> dict[str, Any]:
    """As the API reference has it."""
    return {
        "id": "resp_67ccd2bed1ec8190",
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "gpt-4.1-2025-04-14",
        "output": output or [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE if status in ("completed", "incomplete") else None,
        "user": None,
        "metadata": {},
        **more,
    }


USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 4},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
COUNTED = Usage(input=36, output=87, cached=8, cache_write=4, reasoning=64)


def message(*content: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": list(content)}


def output_text(text: str, *annotations: object) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{id}",
        "call_id": id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


URL = {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://a.example", "title": "A"}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Second."}],
    "encrypted_content": "gAAA=",
}


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
            error = self.assertRaises(ValidationError, DIALECT.parse_request, packed(fields))
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
                prompt_cache_key="k",
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
        """What has no place in the form is known by its path."""
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
                "input[1]",
                "input[2]",
                "input[3]",
                "input[4].phase",
                "input[5].namespace",
                "input[6].content[0].detail",
                "tools[0]",
                "tools[1].defer_loading",
                "tool_choice",
                "include[0]",
                "background",
                "truncation",
                "previous_response_id",
                "conversation",
                "prompt",
                "max_tool_calls",
                "reasoning.mode",
                "text.novel",
                "seed",
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
                "messages[0].name",
                "messages[0] (cache_control)",
                "messages[1] (toolcall signature)",
                "messages[2] (toolresult error)",
                "messages[3] (audio)",
                "tools (f: cache_control)",
                "stop",
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
            ({"role": "user", "content": [{"type": "x"}]}, "input[0].content[0].type"),
            ({"role": "tool", "content": "a"}, "input[0].role"),
            ({"type": "function_call", "call_id": "a", "arguments": "{}"}, "input[0].name"),
            ({"type": "function_call_output", "output": "a"}, "input[0].call_id"),
            ({"type": "function_call_output", "call_id": "a"}, "input[0].output"),
            ({"role": "user"}, "input[0].content"),
            ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ):
            error = self.assertRaises(ValidationError, parsed, input=[item])
            self.assertEqual(error.param, param)


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
                "parallel_tool_calls": True,
                "previous_response_id": None,
                "prompt_cache_key": None,
                "reasoning": {"effort": None, "summary": None},
                "safety_identifier": None,
                "temperature": 0.5,
                "text": {"format": {"type": "text"}, "verbosity": "low"},
                "tool_choice": "auto",
                "tools": [TOOL],
                "top_logprobs": 0,
                "top_p": 1.0,
                "truncation": "disabled",
                "user": None,
                "service_tier": None,
                "store": False,
            },
        )


@dataclass
class Maker:
    """A vendor's stream, event by event, numbered."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def say(self, type: str, **fields: object) -> "Maker":
        self.events.append({"type": type, "sequence_number": len(self.events), **fields})
        return self

    def begin(self) -> "Maker":
        self.say("response.created", response=response("in_progress"))
        return self.say("response.in_progress", response=response("in_progress"))

    def text(self, index: int, *deltas: str) -> "Maker":
        place = {"item_id": "msg_1", "output_index": index, "content_index": 0}
        self.say("response.output_item.added", output_index=index, item=message(status="in_progress"))
        self.say("response.content_part.added", **place, part=output_text(""))
        for delta in deltas:
            self.say("response.output_text.delta", **place, delta=delta, logprobs=[])
        text = "".join(deltas)
        self.say("response.output_text.done", **place, text=text, logprobs=[])
        self.say("response.content_part.done", **place, part=output_text(text))
        return self.say("response.output_item.done", output_index=index, item=message(output_text(text)))

    def end(self, status: str = "completed", **more: object) -> bytes:
        self.say(f"response.{status}", response=response(status, **more))
        return sse(*self.events)


BEGIN = Begin("resp_67ccd2bed1ec8190", "gpt-4.1-2025-04-14", 1741476542)
HELLO = Maker().begin().text(0, "Hel", "lo")


def decoded(data: bytes, size: int = 0) -> list[ir.StreamEvent]:
    decoder = DIALECT.decoder(choices=1, max_event=1 << 20)
    events: list[ir.StreamEvent] = []
    size = size or len(data) or 1
    for start in range(0, len(data), size):
        events += decoder.feed(data[start : start + size])
        if decoder.broken is not None:
            raise decoder.broken
    return events + decoder.end()


def thinking_and_tools() -> bytes:
    """A thought of two summary parts, then two calls whose arguments mix."""
    maker = Maker().begin()
    maker.say("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []})
    for number, text in enumerate(("First.", "Second.")):
        place = {"item_id": "rs_1", "output_index": 0, "summary_index": number}
        part = {"type": "summary_text", "text": ""}
        maker.say("response.reasoning_summary_part.added", **place, part=part)
        maker.say("response.reasoning_summary_text.delta", **place, delta=text)
        maker.say("response.reasoning_summary_text.done", **place, text=text)
        maker.say("response.reasoning_summary_part.done", **place, part={**part, "text": text})
    maker.say("response.output_item.done", output_index=0, item=REASONING)
    for index in (1, 2):
        item = {**call(f"call_{index}", "weather", ""), "status": "in_progress"}
        maker.say("response.output_item.added", output_index=index, item=item)
    for index, delta in ((1, '{"a"'), (2, "{"), (1, ":1}"), (2, "}")):
        maker.say("response.function_call_arguments.delta", item_id=f"fc_call_{index}", output_index=index, delta=delta)
    for index, arguments in ((2, "{}"), (1, '{"a":1}')):
        item = call(f"call_{index}", "weather", arguments)
        place = {"item_id": item["id"], "output_index": index}
        maker.say("response.function_call_arguments.done", **place, arguments=arguments)
        maker.say("response.output_item.done", output_index=index, item=item)
    return maker.end()


class Decoding(SynchronousTestCase):
    def test_text(self) -> None:
        """A block opens with its first delta."""
        self.assertEqual(
            decoded(Maker([*HELLO.events]).end()),
            [
                BEGIN,
                Open(0, "text"),
                Delta(0, "Hel"),
                Delta(0, "lo"),
                Close(0),
                Finish("stop"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_thoughts_and_parallel_calls(self) -> None:
        """Arguments that mix stay apart, and byte for byte."""
        self.assertEqual(
            decoded(thinking_and_tools()),
            [
                BEGIN,
                Open(0, "thinking"),
                Delta(0, "First."),
                Delta(0, "\n\nSecond."),
                Sign(0, "gAAA="),
                Close(0),
                Open(1, "tool", 0, "call_1", "weather"),
                Open(2, "tool", 0, "call_2", "weather"),
                Delta(1, '{"a"'),
                Delta(2, "{"),
                Delta(1, ":1}"),
                Delta(2, "}"),
                Close(2),
                Close(1),
                Finish("tool"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_what_only_comes_when_done_is_not_lost(self) -> None:
        """Servers that stream little: whole items, or the last event alone. A thought that is only its proof."""
        items = [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            message(output_text("Hello", URL)),
            call("c", "f", "{}"),
        ]
        expected = [
            BEGIN,
            Open(0, "thinking", signature="x", redacted=True),
            Close(0),
            Open(1, "text"),
            Delta(1, "Hello"),
            ir.Cite(1, Citation("url", "https://a.example", "A", text_start=0, text_end=5)),
            Close(1),
            Open(2, "tool", 0, "c", "f"),
            Delta(2, "{}"),
            Close(2),
            Finish("tool"),
            Counted(COUNTED),
            End(),
        ]
        self.assertEqual(decoded(Maker().end(output=items)), expected)
        maker = Maker().begin()
        for index, item in enumerate(items):
            maker.say("response.output_item.done", output_index=index, item=item)
        self.assertEqual(decoded(maker.end(output=items)), expected)

    def test_without_indices(self) -> None:
        """As llama.cpp streams: no index, no number, a call's item has no id but the call's, all is done at the end."""
        bare = {"type": "function_call", "arguments": "", "status": "in_progress"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress"}},
            {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_1", "summary": []}},
            {"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "Hm"},
            {"type": "response.output_item.added", "item": message()},
            {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"},
        ]
        for each in ("fc_a", "fc_b"):
            events.append({"type": "response.output_item.added", "item": {**bare, "call_id": each, "name": "f"}})
            events.append({"type": "response.function_call_arguments.delta", "item_id": each, "delta": "{}"})
        thought = {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
            "encrypted_content": "",
        }
        events += [
            {"type": "response.output_item.done", "item": thought},
            {"type": "response.output_text.done", "item_id": "msg_1", "text": "Hi"},
            {"type": "response.content_part.done", "item_id": "msg_1", "part": output_text("Hi")},
            {"type": "response.output_item.done", "item": message(output_text("Hi"))},
        ]
        for each in ("fc_a", "fc_b"):
            item = {**bare, "call_id": each, "name": "f", "arguments": "{}", "status": "completed"}
            events.append({"type": "response.output_item.done", "item": item})
        events.append({"type": "response.completed", "response": {"id": "resp_1", "output": [], "usage": USAGE}})
        self.assertEqual(
            decoded(sse(*events)),
            [
                Begin("resp_1"),
                Open(0, "thinking"),
                Delta(0, "Hm"),
                Close(0),
                Open(1, "text"),
                Delta(1, "Hi"),
                Close(1),
                Open(2, "tool", 0, "fc_a", "f"),
                Delta(2, "{}"),
                Close(2),
                Open(3, "tool", 0, "fc_b", "f"),
                Delta(3, "{}"),
                Close(3),
                Finish("tool"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_incomplete(self) -> None:
        """What is still open is closed first."""
        maker = Maker(HELLO.events[:5])
        stream = maker.end("incomplete", incomplete_details={"reason": "content_filter"})
        self.assertEqual(
            decoded(stream),
            [BEGIN, Open(0, "text"), Delta(0, "Hel"), Close(0), Finish("filter"), Counted(COUNTED), End()],
        )

    def test_refusals_and_logprobs(self) -> None:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        tokens = [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}]
        maker = Maker().say("response.output_text.delta", **place, delta="a", logprobs=tokens)
        maker.say("response.refusal.delta", **{**place, "content_index": 1}, delta="No")
        likely = ir.TokenLogprob("a", -1, None, (ir.TokenLogprob("b", -2),))
        self.assertEqual(
            decoded(maker.end()),
            [
                Begin(),
                Open(0, "text"),
                Delta(0, "a", 0, (likely,)),
                Open(1, "refusal"),
                Delta(1, "No"),
                Close(0),
                Close(1),
                Finish("refusal"),
                Counted(COUNTED),
                End(),
            ],
        )

    def test_broken(self) -> None:
        """Only the two terminal events end a stream well, for the form and for what is passed on."""
        hello = sse(*HELLO.events)
        delta = HELLO.events[4]
        for stream, kind in (
            (hello, UpstreamCut),
            (hello + b"data: [DONE]\n\n", UpstreamCut),
            (hello + Maker().end()[:-30], UpstreamCut),
            (b"", UpstreamCut),
            (hello + b"data: {\n\n", UpstreamCut),
            (hello + b'data: {"x":1}\n\n', UpstreamMalformed),
            (hello + sse({"type": "response.completed"}), UpstreamMalformed),
            (hello + sse({"type": "response.failed", "response": response("failed")}), VendorFailed),
            (
                sse({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}),
                VendorRateLimited,
            ),
            (sse({"type": "error", "code": "server_error", "message": "Boom"}), VendorFailed),
            (sse({"type": "error", "error": {"type": "overloaded_error", "message": "Boom"}}), VendorUnavailable),
            (b'data: {"error": {"message": "Boom"}}\n\n', VendorFailed),
        ):
            self.assertRaises(kind, decoded, stream)
            reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
            with self.assertRaises(kind):
                reader.feed(stream)
                if reader.broken is not None:
                    raise reader.broken
                reader.end()
        for stream in (
            hello + sse(delta),  # more of what was done
            sse({**delta, "type": "response.function_call_arguments.delta"}),  # nobody began it
            sse(delta, {**delta, "type": "response.refusal.delta"}),
            sse({**delta, "delta": 5}),
            sse({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call"}}),
        ):
            self.assertRaises(UpstreamMalformed, decoded, stream)

    def test_split_anywhere(self) -> None:
        """The same events, wherever the bytes are split."""
        for stream in (thinking_and_tools(), Maker([*HELLO.events]).end()):
            whole = decoded(stream)
            for size in (1, 2, 7):
                self.assertEqual(decoded(stream, size), whole)
            for at in range(len(stream)):
                decoder = DIALECT.decoder(choices=1, max_event=1 << 20)
                self.assertEqual(decoder.feed(stream[:at]) + decoder.feed(stream[at:]) + decoder.end(), whole)

    def test_cut_behind_the_event_of_a_whole_one(self) -> None:
        """Some servers say ``incomplete`` in the response only."""
        hello = {"type": "response.output_item.done", "item": message(output_text("Hi"))}
        end = {"type": "response.completed", "response": {"status": "incomplete", "output": []}}
        self.assertIn(Finish("length"), decoded(sse(hello, end)))


class Passing(SynchronousTestCase):
    def read(self, stream: bytes, size: int = 0) -> tuple[list[Any], Usage | None]:
        reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
        events = []
        size = size or len(stream)
        for start in range(0, len(stream), size):
            events += reader.feed(stream[start : start + size])
        return events + reader.end(), reader.usage

    def test_frames_as_they_came(self) -> None:
        """Nothing is content before something is said; usage is in the last event."""
        stream = Maker([*HELLO.events]).end()
        events, usage = self.read(stream)
        self.assertEqual(b"".join(event.frame for event in events), stream)
        self.assertEqual(usage, COUNTED)
        kinds = [event.kind for event in events]
        self.assertEqual(kinds, [EventKind.LIFECYCLE] * 4 + [EventKind.CONTENT] * (len(kinds) - 5) + [EventKind.DONE])
        for size in (1, 3, 50):
            self.assertEqual(self.read(stream, size), (events, usage))
        for at in range(len(stream)):
            reader = DIALECT.reader(strip_usage=False, choices=1, max_event=1 << 20)
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]) + reader.end(), events)
        self.assertEqual(self.read(stream + b"data: [DONE]\n\n")[0], events)
        self.assertEqual(self.read(stream[:-2])[0], events)

    def test_a_call_is_content(self) -> None:
        events, _ = self.read(thinking_and_tools())
        self.assertEqual(sum(event.kind is EventKind.LIFECYCLE for event in events), 4)

    def test_without_names_and_over_lines(self) -> None:
        """Servers that leave the event's name out; JSON over several lines."""
        stream = b'data: {"type":\ndata: "response.new"}\n\n' + Maker().end()
        events, _ = self.read(stream)
        self.assertEqual(events[0].frame, b'data: {"type":\ndata: "response.new"}\n\n')


def encoded(events: list[ir.StreamEvent], asked: ResponseContext = ResponseContext("m", "7", 5)) -> bytes:  # noqa: B008
    return b"".join(event.frame for event in DIALECT.encoder(asked).encode(events))


RICH: list[ir.StreamEvent] = [
    BEGIN,
    Open(0, "thinking"),
    Delta(0, "Hm"),
    Sign(0, "sig"),
    Close(0),
    Open(1, "thinking", signature="enc", redacted=True),
    Close(1),
    Open(2, "text"),
    Delta(2, "Zürich", 0, (ir.TokenLogprob("Zürich", -0.5, None, (ir.TokenLogprob("x", -1.0),)),)),
    ir.Cite(2, Citation("url", "https://a.example", "A", text_start=0, text_end=5)),
    ir.Cite(2, Citation("file", file="file-1", title="a.pdf", text_start=3)),
    Close(2),
    Open(3, "text"),
    Delta(3, "two"),
    Close(3),
    Open(4, "tool", 0, "c1", "f"),
    Open(5, "tool", 0, "c2", "g"),
    Delta(5, "{"),
    Delta(4, "{}"),
    Delta(5, "}"),
    Close(4),
    Close(5),
    Open(6, "text"),
    Delta(6, "last"),
    Close(6),
    Finish("tool"),
    Counted(COUNTED),
    End(),
]


class Encoding(SynchronousTestCase):
    def test_every_event(self) -> None:
        """In full, for a short answer."""
        events: list[ir.StreamEvent] = [Begin("resp_1", "v", 9), Open(0, "text"), Delta(0, "Hi"), Close(0)]
        events += [Finish("length"), Counted(COUNTED), End()]
        out = DIALECT.encoder(ResponseContext("m", "7", 5)).encode(events)
        said = [json.loads(event.frame.split(b"\ndata: ")[1]) for event in out]
        for event, frame in zip(said, out, strict=True):
            self.assertTrue(frame.frame.startswith(b"event: %b\n" % event["type"].encode()))
        self.assertEqual([event["sequence_number"] for event in said], list(range(len(said))))
        whole = json.loads(
            DIALECT.render_answer(
                ir.Answer((ir.Choice((Text("Hi"),), "length"),), "resp_1", "v", 9, COUNTED),
                ResponseContext("m", "7", 5),
            )
        )
        begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
        item = {"id": "msg_1_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        place = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
        done = {**item, "status": "incomplete", "content": [output_text("Hi")]}
        self.assertEqual(
            said,
            [
                {"type": "response.created", "sequence_number": 0, "response": begun},
                {"type": "response.in_progress", "sequence_number": 1, "response": begun},
                {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item},
                {"type": "response.content_part.added", "sequence_number": 3, **place, "part": output_text("")},
                {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Hi", "logprobs": []},
                {"type": "response.output_text.done", "sequence_number": 5, **place, "text": "Hi", "logprobs": []},
                {"type": "response.content_part.done", "sequence_number": 6, **place, "part": output_text("Hi")},
                {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": done},
                {"type": "response.incomplete", "sequence_number": 8, "response": whole},
            ],
        )
        kinds = [event.kind for event in out]
        self.assertEqual(kinds, [EventKind.LIFECYCLE] * 4 + [EventKind.CONTENT] * 4 + [EventKind.DONE])

    def test_there_and_back(self) -> None:
        """What is encoded is decoded to the same."""
        self.assertEqual(decoded(encoded(RICH)), RICH)

    def test_a_call_without_arguments_is_readable(self) -> None:
        """Clients read arguments as JSON."""
        stream = encoded([BEGIN, Open(0, "tool", 0, "c", "f"), Close(0), Finish("tool"), End()])
        self.assertEqual(stream.count(b'"arguments":"{}"'), 3)
        self.assertIn(Delta(0, "{}"), decoded(stream))

    def test_thought_signatures_of_calls(self) -> None:
        """Gemini wants them back: they are in the item, where clients that send items back unchanged keep them."""
        signed = ir.ToolCall("c", "f", "{}", "sig")
        answer = ir.Answer((ir.Choice((signed,), "tool"),), "resp_1", "m", 5)
        body = DIALECT.render_answer(answer, ResponseContext("m"))
        self.assertEqual(DIALECT.parse_answer(body), answer)
        self.assertEqual(parsed(input=json.loads(body)["output"]).messages[0].parts, (signed,))
        events: list[ir.StreamEvent] = [BEGIN, Open(0, "tool", 0, "c", "f"), Delta(0, "{}"), Sign(0, "sig"), Close(0)]
        events += [Finish("tool"), End()]
        self.assertEqual(decoded(encoded(events)), events)

    def test_a_text_that_stays_open_keeps_its_message(self) -> None:
        """Each item is added and done once, whatever mixes."""
        events: list[ir.StreamEvent] = [BEGIN, Open(0, "text"), Open(1, "tool", 0, "c", "f"), Delta(1, "{}")]
        events += [Delta(0, "a"), Close(0), Close(1), Open(2, "refusal"), Delta(2, "No"), Close(2)]
        events += [Finish("tool"), End()]
        stream = encoded(events)
        self.assertEqual(stream.count(b"event: response.output_item.added"), 3)
        self.assertEqual(stream.count(b"event: response.output_item.done"), 3)
        final = json.loads(stream.rsplit(b"data: ", 1)[1])["response"]["output"]
        self.assertEqual([item["type"] for item in final], ["message", "function_call", "message"])


STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


STORED = {("", "store"), (".response", "store")}


def unexpected(value: Any, path: str = "") -> list[str]:
    """Paths of fields the SDK's types do not have."""
    if isinstance(value, list):
        return [each for index, item in enumerate(value) for each in unexpected(item, f"{path}[{index}]")]
    if not isinstance(value, BaseModel):
        return []
    # ``store`` the API sends as well; its types have it in requests only
    found = [f"{path}.{name}" for name in value.model_extra or () if (path, name) not in STORED]
    for name in type(value).model_fields:
        found += unexpected(getattr(value, name), f"{path}.{name}")
    return found


class WithSdk(SynchronousTestCase):
    def client(self, body: bytes, type: str = "text/event-stream") -> openai.OpenAI:
        def answer(request: Any) -> Any:
            return httpx.Response(200, headers={"content-type": type}, content=body)

        http = httpx.Client(transport=httpx.MockTransport(answer))
        return openai.OpenAI(api_key="k", base_url="http://edge/v1", http_client=http, max_retries=0)

    def setUp(self) -> None:
        catcher = warnings.catch_warnings()
        catcher.__enter__()
        self.addCleanup(catcher.__exit__, None, None, None)
        warnings.simplefilter("error")

    def test_whole(self) -> None:
        """Everything its types require, nothing they do not know."""
        parts = (
            Thinking("t", "s"),
            Text("Hello", (Citation("url", "https://a.example"), Citation("file", file="f", title="a"))),
            ir.Refusal("No"),
            ir.ToolCall("c", "f", "{}"),
        )
        logprobs = (ir.TokenLogprob("a", -1.0, (97,), (ir.TokenLogprob("a", -1.0, (97,)),)),)
        answer = ir.Answer((ir.Choice(parts, "tool", logprobs=logprobs),), "", "v", 3, COUNTED)
        asked = ResponseContext("m", "7", 5, fields=raw(packed({"tools": [TOOL], "tool_choice": "required"})))
        body = DIALECT.render_answer(answer, asked)
        said = self.client(body, "application/json").responses.create(model="m", input="x")
        self.assertEqual(unexpected(said), [])
        self.assertEqual(unexpected(Response.model_validate_json(body)), [])
        self.assertEqual((said.output_text, said.usage.total_tokens), ("Hello", 123))
        self.assertEqual(said.to_dict(), json.loads(body))

    def test_stream(self) -> None:
        """The helper that accumulates comes to the same answer as our last event."""
        stream = encoded(RICH)
        with self.client(stream).responses.stream(model="m", input="x") as events:
            types = [event.type for event in events]
            final = events.get_final_response()
        last = json.loads(stream.rsplit(b"data: ", 1)[1])["response"]
        self.assertEqual(final.output_text, "Zürichtwolast")
        self.assertEqual([item.id for item in final.output], [item["id"] for item in last["output"]])
        self.assertEqual(unexpected(Response.model_validate(last)), [])
        self.assertEqual(len(types), stream.count(b"event: "))
        for frame in stream.split(b"\n\n")[:-1]:
            event = STREAM_EVENT.validate_json(frame.split(b"\ndata: ")[1])
            self.assertEqual(unexpected(event), [], event.type)

    def test_snapshots_of_mixed_calls(self) -> None:
        """The SDK keeps interleaved arguments apart by the indices we write."""
        snapshots = {}
        with self.client(encoded(RICH)).responses.stream(model="m", input="x") as events:
            for event in events:
                if event.type == "response.function_call_arguments.delta":
                    snapshots[event.output_index] = event.snapshot
        self.assertEqual(list(snapshots.values()), ["{}", "{}"])

    def test_errors_in_the_stream_are_raised(self) -> None:
        """With the flat fields of the reference alone, the SDK would yield an event and go on."""
        error = UpstreamCut("ended").of("v")
        stream = encoded(RICH[:3]) + DIALECT.error_frame(error)
        with self.assertRaises(openai.APIError) as caught:
            list(self.client(stream).responses.create(model="m", input="x", stream=True))
        self.assertEqual((caught.exception.message, caught.exception.code), (error.message, "UPSTREAM_ERROR"))
        event = STREAM_EVENT.validate_json(DIALECT.error_frame(error).split(b"\ndata: ")[1])
        self.assertEqual((event.type, event.message, event.code), ("error", error.message, "UPSTREAM_ERROR"))
        self.assertEqual(json.loads(DIALECT.error_body(error)), error.body())
        self.assertRaises(EdgeError, decoded, stream)


# What the dialect can say

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
maybe = st.one_of(st.just(""), words)
ints = st.integers(0, 1000)
floats = st.floats(0, 2, allow_nan=False)
base64s = st.builds(ir.Source, st.just("base64"), st.just("QUJD"), st.sampled_from(["image/png", "application/pdf"]))
sources = st.one_of(
    base64s,
    st.builds(ir.Source, st.just("url"), words.map(lambda name: f"https://{name}")),
    st.builds(ir.Source, st.just("file"), words),
)
citations = st.one_of(
    st.builds(Citation, st.just("url"), url=words, title=maybe, text_start=ints, text_end=ints),
    st.builds(Citation, st.just("file"), file=words, title=maybe, text_start=ints),
)
plain_texts = st.builds(Text, words)
texts = st.builds(Text, words, st.lists(citations, max_size=2).map(tuple))
images = st.builds(ir.Image, sources, st.sampled_from(["", "low", "high"]))
files = st.builds(ir.File, sources, maybe)
audios = st.builds(ir.Audio, st.just(ir.Source("base64", "QUJD", "audio/wav")))
calls = st.builds(ir.ToolCall, words, words, st.just('{"a": 1}'))
thoughts = st.one_of(
    st.builds(Thinking, words, maybe, id=words),
    st.builds(Thinking, st.just(""), words, st.just(True), words),
)
refusals = st.builds(ir.Refusal, words)
results = st.builds(ir.ToolResult, words, st.lists(st.one_of(plain_texts, images, files), max_size=3).map(tuple))


def parts_of(*kinds: Any) -> Any:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4).map(tuple)


messages = st.one_of(
    st.builds(
        ir.Message, st.sampled_from(["user", "system", "developer"]), parts_of(plain_texts, images, files, audios)
    ),
    st.builds(ir.Message, st.just("assistant"), parts_of(texts, calls, thoughts, refusals)),
    st.builds(ir.Message, st.just("tool"), parts_of(results)),
)


def placed(history: list[ir.Message]) -> tuple[ir.Message, ...]:
    """With the paths they have in a request, and as the form has it: nothing said twice in a row by the assistant."""
    out: list[ir.Message] = []
    index = 0
    for each in history:
        if out and each.role == out[-1].role and each.role in ("assistant", "tool"):
            continue
        out.append(msgspec.structs.replace(each, at=f"input[{index}]"))
        kinds = ["said" if isinstance(part, Text | ir.Refusal) else "" for part in each.parts]
        if each.role == "assistant":
            index += sum(not kind or number == 0 or not kinds[number - 1] for number, kind in enumerate(kinds))
        else:
            index += len(kinds) if each.role == "tool" else 1
    return tuple(out)


histories = st.one_of(
    words.map(lambda text: (ir.Message("user", (Text(text),), at="input"),)),
    st.tuples(
        maybe.map(lambda text: (ir.Message("system", (Text(text),), at="instructions"),) if text else ()),
        st.lists(messages, min_size=1, max_size=5).map(placed),
    ).map(lambda both: both[0] + both[1]),
)
strict = st.sampled_from([None, True])
schemas = st.sampled_from([b"", b'{"type": "object"}'])
requests = st.builds(
    ir.Request,
    messages=histories,
    tools=st.lists(st.builds(ir.Tool, words, maybe, schemas, strict), max_size=2).map(tuple),
    tool_choice=st.one_of(
        st.none(),
        st.builds(ir.ToolChoice, st.sampled_from(["auto", "none", "required"])),
        st.builds(ir.ToolChoice, st.just("named"), words.map(lambda name: (name,))),
        st.builds(ir.ToolChoice, st.sampled_from(["auto", "required"]), st.lists(words, min_size=1).map(tuple)),
    ),
    parallel_tools=st.sampled_from([None, False]),
    output=st.one_of(
        st.none(),
        st.just(ir.Output("json")),
        st.builds(ir.Output, st.just("json_schema"), schemas, words, maybe, strict),
    ),
    reasoning=st.one_of(
        st.none(),
        st.builds(ir.Reasoning, effort=words, show=strict),
        st.just(ir.Reasoning(show=True)),
    ),
    max_tokens=st.one_of(st.none(), ints),
    temperature=st.one_of(st.none(), floats),
    top_p=st.one_of(st.none(), st.floats(0, 0.99)),
    logprobs=st.just(True),
    top_logprobs=st.sampled_from([None, 5]),
    user=maybe,
    metadata=st.dictionaries(words, words, max_size=2).map(lambda table: tuple(table.items())),
    service_tier=st.sampled_from(["", "flex"]),
    store=st.sampled_from([None, True]),
    verbosity=st.sampled_from(["", "low"]),
)
tokens = st.lists(
    st.builds(ir.TokenLogprob, words, floats, st.just((1, 2)), st.just((ir.TokenLogprob("x", -1.5, (120,)),))),
    min_size=1,
    max_size=2,
).map(tuple)
counts = st.builds(Usage, input=ints, output=ints, cached=ints, cache_write=ints, reasoning=ints)


@st.composite
def answers(draw: Any) -> ir.Answer:
    parts = draw(st.lists(st.one_of(texts, calls, thoughts, refusals), max_size=5).map(tuple))
    kinds = {type(part) for part in parts}
    whole = "tool" if ir.ToolCall in kinds else "refusal" if ir.Refusal in kinds else "stop"
    finish = draw(st.sampled_from([whole, "length", "filter"]))
    logprobs = draw(st.one_of(st.none(), tokens)) if Text in kinds else None
    choice = ir.Choice(parts, finish, logprobs=logprobs)
    usage = draw(st.one_of(st.none(), counts))
    return ir.Answer((choice,), draw(words), draw(words), draw(st.integers(1, 2**31)), usage, draw(st.just("flex")))


@st.composite
def streams(draw: Any) -> list[ir.StreamEvent]:
    """Blocks one after the other, but for calls of tools, which mix."""
    events: list[ir.StreamEvent] = [Begin(draw(words), draw(words), draw(st.integers(1, 2**31)))]
    kinds = draw(st.lists(st.sampled_from(["text", "thinking", "redacted", "refusal", "tools"]), max_size=4))
    number, finish = 0, "stop"
    for kind in kinds:
        if kind == "tools":
            several = range(number, number + draw(st.integers(1, 3)))
            events += [Open(each, "tool", 0, f"call_{each}", draw(words)) for each in several]
            events += [Delta(each, draw(words)) for each in draw(st.permutations([*several, *several]))]
            events += [Close(each) for each in draw(st.permutations(list(several)))]
            number += len(several)
            finish = "tool"
            continue
        if kind == "redacted":
            events += [Open(number, "thinking", signature=draw(words), redacted=True), Close(number)]
        else:
            events.append(Open(number, kind))
            events += [Delta(number, text) for text in draw(st.lists(words, min_size=1, max_size=3))]
            if kind == "thinking" and draw(st.booleans()):
                events.append(Sign(number, draw(words)))
            if kind == "text":
                events += [ir.Cite(number, cite) for cite in draw(st.lists(citations, max_size=2))]
            events.append(Close(number))
        finish = "refusal" if kind == "refusal" and finish == "stop" else finish
        number += 1
    events.append(Finish(draw(st.sampled_from([finish, "length", "filter"]))))
    if draw(st.booleans()):
        events.append(Counted(draw(counts)))
    return [*events, End()]


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(150), deadline=None)
    @given(requests)
    def test_requests(self, request: ir.Request) -> None:
        """What can be said is understood."""
        said, _ = rendered(request)
        self.assertEqual(DIALECT.parse(raw(packed(said))), schemas_of(request))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers())
    def test_answers(self, answer: ir.Answer) -> None:
        """A client that is a gateway gets what we were given."""
        body = DIALECT.render_answer(answer, ResponseContext("m"))
        self.assertEqual(DIALECT.parse_answer(body), answer)
        Response.model_validate_json(body)

    @settings(max_examples=examples(150), deadline=None)
    @given(streams(), st.integers(1, 200))
    def test_streams(self, events: list[ir.StreamEvent], size: int) -> None:
        """Event by event, wherever the bytes are split; and its last event is the whole answer."""
        stream = encoded(events)
        self.assertEqual(decoded(stream, size), events)
        said = [json.loads(frame.split(b"\ndata: ")[1]) for frame in stream.split(b"\n\n")[:-1]]
        self.assertEqual([event["sequence_number"] for event in said], list(range(len(said))))
        added = [event["output_index"] for event in said if event["type"] == "response.output_item.added"]
        self.assertEqual(added, list(range(len(said[-1]["response"]["output"]))))


def schemas_of(request: ir.Request) -> ir.Request:
    """Schemas as the test's own JSON encoder writes them."""

    def again(schema: bytes) -> bytes:
        return packed(json.loads(schema)) if schema else b""

    output = request.output
    return msgspec.structs.replace(
        request,
        tools=tuple(msgspec.structs.replace(tool, schema=again(tool.schema)) for tool in request.tools),
        output=None if output is None else msgspec.structs.replace(output, schema=again(output.schema)),
    )
