"""Calls as a Responses client gets them: of custom tools, of tools in namespaces, of those it runs itself."""

from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import arguments_of
from llmedge.dialects.dialect import ResponseContext
from tests.dialects.openai_responses.cases import BEGIN, DIALECT, decoded, encoded, parsed

PATCH = '*** Begin Patch\n+"hi" 🌦\n*** End Patch'
TOOLS = {
    tool.name: tool
    for tool in (
        *(ir.Tool("apply_patch_text", kind="custom"), ir.Tool("agents__note", kind="custom", namespace="agents")),
        ir.Tool("agents__spawn", namespace="agents"),
        *(ir.Tool(kind, kind=kind) for kind in ("local_shell", "shell", "apply_patch", "tool_search")),
    )
}
ASKED = ResponseContext("m", "7", 5, tools=TOOLS)
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "f": ('{"a":1}', {"type": "function_call", "name": "f", "arguments": '{"a":1}'}),
    "agents__spawn": (
        "{}",
        {"type": "function_call", "name": "spawn", "namespace": "agents", "arguments": "{}"},
    ),
    "apply_patch_text": (
        arguments_of(PATCH),
        {"type": "custom_tool_call", "name": "apply_patch_text", "input": PATCH},
    ),
    "agents__note": (
        arguments_of("x"),
        {"type": "custom_tool_call", "name": "note", "namespace": "agents", "input": "x"},
    ),
    "local_shell": (
        '{"command":["ls"]}',
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"]}},
    ),
    "shell": ('{"commands":["ls"]}', {"type": "shell_call", "action": {"commands": ["ls"]}}),
    "apply_patch": (
        '{"type":"delete_file","path":"a"}',
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
    ),
    "tool_search": (
        '{"goal":"x"}',
        {"type": "tool_search_call", "arguments": {"goal": "x"}, "execution": "client"},
    ),
}
"""A tool's name → arguments of a call and its item."""
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def streamed(name: str, *pieces: str) -> list[ir.StreamEvent]:
    deltas = [ir.Delta(0, piece) for piece in pieces]
    return [BEGIN, ir.Open(0, "tool", 0, "c", name), *deltas, ir.Close(0), ir.Finish("tool"), ir.End()]


def said(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in stream.split(b"\n\n") if frame]


class Items(SynchronousTestCase):
    def whole(self, name: str, arguments: str) -> dict[str, Any]:
        answer = ir.Answer((ir.Choice((ir.ToolCall("c", name, arguments),), "tool"),), "resp_67ccd2bed1ec8190", "m", 5)
        (item,) = json.loads(DIALECT.render_answer(answer, ASKED))["output"]
        return item  # type: ignore[no-any-return]

    def test_items(self) -> None:
        """Whole and streamed, in any pieces, the same, and as the client knows its tool."""
        for name, (arguments, item) in CALLS.items():
            whole = self.whole(name, arguments)
            self.assertEqual({**whole, **item, "call_id": "c", "status": "completed"}, whole, name)
            for step in (1, 5, 99):
                pieces = [arguments[at : at + step] for at in range(0, len(arguments), step)]
                events = said(encoded(streamed(name, *pieces), ASKED))
                self.assertEqual(events[-1]["response"]["output"], [whole])
                for type in ("response.output_item.added", "response.output_item.done"):
                    (found,) = [event["item"]["type"] for event in events if event["type"] == type]
                    self.assertEqual(found, item["type"])
                (done,) = [event["item"] for event in events if event["type"] == "response.output_item.done"]
                self.assertEqual(done, whole)

    def test_inputs(self) -> None:
        """A custom tool's input comes in deltas; no function's event is near."""
        arguments = arguments_of(PATCH)
        stream = encoded(streamed("apply_patch_text", *arguments), ASKED)
        events = said(stream)
        deltas = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
        self.assertEqual("".join(deltas), PATCH)
        self.assertGreater(len(deltas), 9)
        (done,) = [event for event in events if event["type"] == "response.custom_tool_call_input.done"]
        self.assertEqual(done["input"], PATCH)
        self.assertNotIn(b"function_call", stream)
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))

    def test_arguments_of_another_form(self) -> None:
        """They are the input; of tools that want an object they are shown as they are."""
        for arguments in (PATCH, '{"patch":"x"}', "["):
            self.assertEqual(self.whole("apply_patch_text", arguments)["input"], arguments)
            events = said(encoded(streamed("apply_patch_text", arguments[:3], arguments[3:]), ASKED))
            self.assertEqual(events[-1]["response"]["output"][0]["input"], arguments)
        self.assertEqual(self.whole("local_shell", "ls")["action"], {"invalid_arguments": "ls"})

    def test_the_sdk_reads_them(self) -> None:
        """Every event and every item is one that OpenAI's client knows."""
        for name, (arguments, item) in CALLS.items():
            if name == "local_shell":  # its types want env as well, which no model has to give
                arguments = '{"command":["ls"],"env":{}}'
            for event in said(encoded(streamed(name, arguments), ASKED)):
                STREAM_EVENT.validate_python(event)
            answer = ir.Answer(
                (ir.Choice((ir.ToolCall("c", name, arguments),), "tool"),), "resp_67ccd2bed1ec8190", "m", 5
            )
            response = Response.model_validate_json(DIALECT.render_answer(answer, ASKED))
            self.assertEqual(response.output[0].type, item["type"])


class Read(SynchronousTestCase):
    def test_what_we_write(self) -> None:
        """Is read back as the calls it was; where it can only have been the client's tool."""
        for name, (arguments, _) in CALLS.items():
            if name == "shell":
                continue
            call = ir.ToolCall("c", name, arguments)
            answer = ir.Answer((ir.Choice((call,), "tool"),), "resp_67ccd2bed1ec8190", "m", 5)
            (found,) = DIALECT.parse_answer(DIALECT.render_answer(answer, ASKED)).choices[0].parts
            events = decoded(encoded(streamed(name, arguments[:4], arguments[4:]), ASKED))
            spoken = "".join(event.text for event in events if isinstance(event, ir.Delta))
            assert isinstance(found, ir.ToolCall)
            for text in (found.arguments, spoken):
                self.assertEqual({**json.loads(text), "type": 0}, {**json.loads(arguments), "type": 0})
            self.assertEqual((found.id, found.name), ("c", name))
            self.assertEqual([event for event in events if isinstance(event, ir.Open)], [streamed(name)[1]])
            self.assertEqual(sum(isinstance(event, ir.Close) for event in events), 1)

    def test_a_conversation(self) -> None:
        """Items sent back are the calls they were."""
        for name, (arguments, _) in CALLS.items():
            answer = ir.Answer(
                (ir.Choice((ir.ToolCall("c", name, arguments, "Uw=="),), "tool"),), "resp_67ccd2bed1ec8190", "m", 5
            )
            items = json.loads(DIALECT.render_answer(answer, ASKED))["output"]
            (message,) = parsed(input=items).messages
            (call,) = message.parts
            assert isinstance(call, ir.ToolCall)
            self.assertEqual((call.id, call.name, call.signature), ("c", name, "Uw=="))
            self.assertEqual({**json.loads(call.arguments), "type": 0}, {**json.loads(arguments), "type": 0})
