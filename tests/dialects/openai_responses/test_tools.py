"""Tools of Responses clients: in namespaces, run by the client, found by a search."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.openai_responses.tools import CLIENT_TOOLS, without_namespace
from tests.dialects.parsing import parse
from tests.dialects.test_matrix import ask

SPACE = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents.",
    "tools": [
        {"type": "function", "name": "spawn", "description": "d", "parameters": {"type": "object"}, "strict": False},
        {"type": "custom", "name": "note"},
    ],
}
ITEMS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "local_shell": (
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        "a.txt",
        {"type": "local_shell_call_output", "id": "c"},
    ),
    "shell": (
        {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": 9}},
        [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        {"type": "shell_call_output", "max_output_length": 9},
    ),
    "apply_patch": (
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a.txt"}},
        "gone",
        {"type": "apply_patch_call_output", "status": "completed"},
    ),
    "tool_search": (
        {"type": "tool_search_call", "arguments": {"goal": "x"}, "execution": "client"},
        None,
        {"type": "tool_search_output", "execution": "client", "tools": [SPACE]},
    ),
    "computer": (
        {"type": "computer_call", "action": {"type": "screenshot"}, "pending_safety_checks": []},
        {"type": "computer_screenshot", "image_url": "https://example.com/a.png"},
        {"type": "computer_call_output", "acknowledged_safety_checks": []},
    ),
}
"""A tool that clients run → a call, what came of it, and the rest of the item that says so."""


class Namespaces(SynchronousTestCase):
    def test_tools(self) -> None:
        """They are called by both names, and known by either."""
        request = parse("openai_responses", tools=[SPACE])
        spawn, note = request.tools
        self.assertEqual(
            spawn,
            ir.Tool("agents__spawn", "d", b'{"type": "object"}', namespace="agents"),
        )
        self.assertEqual((note.name, note.kind, note.namespace), ("agents__note", "custom", "agents"))
        self.assertEqual([without_namespace(tool) for tool in request.tools], ["spawn", "note"])
        self.assertEqual((request.hints, request.extra, request.lost), ((), (), ()))

    def test_history_and_choice(self) -> None:
        """Calls, results and the choice name the same tool."""
        call = {"type": "function_call", "call_id": "c", "name": "spawn", "namespace": "agents", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "c", "name": "spawn", "namespace": "agents", "output": "r"}
        choice = {"type": "function", "name": "spawn", "namespace": "agents"}
        request = parse("openai_responses", input=[call, output], tools=[SPACE], tool_choice=choice)
        called, result = (message.parts[0] for message in request.messages)
        self.assertEqual(called, ir.ToolCall("c", "agents__spawn", "{}"))
        self.assertEqual(result, ir.ToolResult("c", (ir.Text("r"),), "agents__spawn"))
        self.assertEqual(request.tool_choice, ir.ToolChoice("named", ("agents__spawn",)))
        noted = {"type": "custom_tool_call", "call_id": "c", "name": "note", "namespace": "agents", "input": "x"}
        (message,) = parse("openai_responses", input=[noted], tools=[SPACE]).messages
        self.assertEqual(message.parts, (ir.ToolCall("c", "agents__note", '{"input":"x"}'),))

    def test_own_tools_in_one(self) -> None:
        """They are left out like others, by their place."""
        space = {**SPACE, "tools": [*SPACE["tools"], {"type": "web_search"}]}  # type: ignore[misc]
        self.assertEqual(parse("openai_responses", tools=[space]).hints, ("tools[0].tools[2] (web_search)",))


class ClientTools(SynchronousTestCase):
    def test_tools(self) -> None:
        """Functions with the arguments that the items have."""
        for kind, tool in CLIENT_TOOLS.items():
            if tool.properties is None:
                continue
            said = {"type": kind, "execution": "client", "environment": {"type": "local"}}
            (found,) = parse("openai_responses", tools=[said]).tools
            self.assertEqual((found.name, found.kind), (kind, kind))
            schema = json.loads(found.schema)
            self.assertEqual(schema["properties"], tool.properties)
            self.assertLessEqual(set(schema["required"]), set(schema["properties"]))
        self.assertEqual(
            parse("openai_responses", tools=[{"type": "shell"}], tool_choice={"type": "shell"}).tool_choice,
            ir.ToolChoice("named", ("shell",)),
        )
        parameters = {"type": "object", "properties": {"goal": {"type": "string"}}}
        search = {"type": "tool_search", "execution": "client", "description": "d", "parameters": parameters}
        (found,) = parse("openai_responses", tools=[search]).tools
        self.assertEqual((found.description, json.loads(found.schema)), ("d", parameters))
        self.assertEqual(parse("openai_responses", tools=[{"type": "tool_search"}]).extra, ("tools[0] (tool_search)",))

    def test_history(self) -> None:
        """Calls with their arguments byte for byte; results as texts or pictures."""
        for kind, (call, output, rest) in ITEMS.items():
            result = {"call_id": "c", **rest, **({} if output is None else {"output": output})}
            items = [{"id": "i", "call_id": "c", "status": "completed", **call}, result]
            request = parse("openai_responses", input=items)
            (called,), (found,) = (message.parts for message in request.messages)
            assert isinstance(called, ir.ToolCall)
            assert isinstance(found, ir.ToolResult)
            self.assertEqual((called.id, called.name, found.id, found.name), ("c", kind, "c", kind))
            self.assertEqual(json.loads(called.arguments), call[CLIENT_TOOLS[kind].field])
            self.assertEqual((request.extra, request.lost), ((), ()), kind)
            (content,) = found.content
            if kind == "computer":
                self.assertEqual(content, ir.Image(ir.Source("url", "https://example.com/a.png")))
            else:
                assert isinstance(content, ir.Text)
                self.assertIn({"apply_patch": "gone", "tool_search": "agents__spawn"}.get(kind, "a.txt"), content.text)

    def test_failures(self) -> None:
        """A patch that failed says so, with or without words."""
        for more, text in (({"output": "no such file"}, "no such file"), ({}, "failed")):
            item = {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", **more}
            (message,) = parse("openai_responses", input=[item]).messages
            self.assertEqual(message.parts, (ir.ToolResult("c", (ir.Text(text),), "apply_patch", True),))

    def test_tools_that_came_later(self) -> None:
        """They are the request's, once."""
        found = {"type": "tool_search_output", "call_id": "c", "tools": [SPACE]}
        more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}
        request = parse("openai_responses", input=[{"role": "user", "content": "q"}, found, more], tools=[SPACE])
        self.assertEqual([tool.name for tool in request.tools], ["agents__spawn", "agents__note", "f"])
        self.assertEqual(len(request.messages), 2)

    def test_the_answer_knows_them(self) -> None:
        """Those that the client knows otherwise than as functions, wherever they were said."""
        call, _, body = ask("openai_responses", "plain", False)
        more = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
        for fields, names in (
            ({"input": [more, {"role": "user", "content": "q"}]}, {"agents__spawn", "agents__note"}),
            ({"tools": [SPACE, {"type": "local_shell"}]}, {"agents__spawn", "agents__note", "local_shell"}),
            ({"tools": [{"type": "function", "name": "f"}]}, set()),
            ({"tools": [{"type": "function", "name": 5}]}, set()),
            ({}, set()),
        ):
            said = msgspec.json.decode(json.dumps(body | fields).encode(), type=dict[str, msgspec.Raw])
            self.assertEqual(set(call.changed(fields=said).own_tools()), names)
