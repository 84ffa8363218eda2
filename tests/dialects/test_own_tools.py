"""Tools that only the client's own vendor has, in every client's dialect: left out, refused, and read."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.own_tools import told
from tests.dialects.parsing import parse

FUNCTION: dict[str, Any] = {
    "openai_chat": {"type": "function", "function": {"name": "f"}},
    "openai_responses": {"type": "function", "name": "f"},
    "anthropic": {"name": "f", "input_schema": {}},
    "gemini": {"functionDeclarations": [{"name": "f"}]},
}
OWN: dict[str, list[tuple[dict[str, Any], str]]] = {
    "openai_chat": [({"type": "openrouter:web_search"}, "openrouter:web_search")],
    "openai_responses": [
        ({"type": kind}, kind)
        for kind in (
            *("web_search", "web_search_preview_2025_03_11", "file_search", "code_interpreter", "image_generation"),
            *("mcp", "computer_use_preview", "computer", "programmatic_tool_calling", "novel"),
        )
    ]
    + [({"type": "shell", "environment": {"type": "container_auto"}}, "shell")],
    "anthropic": [
        ({"type": f"{kind}_{date}", "name": kind}, f"{kind}_{date}")
        for kind, date in (
            *(("web_search", "20250305"), ("web_fetch", "20260318"), ("code_execution", "20250825")),
            *(("tool_search_tool_regex", "20251119"), ("novel", "20270101")),
        )
    ]
    + [({"type": "mcp_toolset", "mcp_server_name": "x"}, "mcp_toolset")],
    "gemini": [
        ({name: {}}, name)
        for name in ("googleSearch", "codeExecution", "urlContext", "googleMaps", "fileSearch", "computerUse", "novel")
    ],
}
CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai_chat": ({"type": "web"}, {"type": "web"}),
    "openai_responses": ({"type": "web_search"}, {"type": "web_search"}),
    "anthropic": ({"type": "web_search_20250305", "name": "ws"}, {"type": "tool", "name": "ws"}),
}
"""A tool, and a choice that asks for it."""


def said(request: ir.Request) -> list[str]:
    """All texts of the conversation."""
    return [part.text for message in request.messages for part in message.parts if isinstance(part, ir.Text)]


class Left(SynchronousTestCase):
    def test_beside_others(self) -> None:
        """They are left out, and named with their kind."""
        for client, tools in OWN.items():
            for tool, kind in tools:
                request = parse(client, tools=[FUNCTION[client], tool])
                self.assertEqual([each.name for each in request.tools], ["f"])
                self.assertEqual((request.hints, request.extra), ((f"tools[1] ({kind})",), ()), client)

    def test_alone(self) -> None:
        """They are content."""
        for client, tools in OWN.items():
            for tool, kind in tools:
                request = parse(client, tools=[tool])
                self.assertEqual((request.hints, request.extra), ((), (f"tools[0] ({kind})",)), client)

    def test_asked_for(self) -> None:
        """They are content too, and nobody else is asked for instead."""
        for client, (tool, choice) in CHOICES.items():
            request = parse(client, tools=[FUNCTION[client], tool], tool_choice=choice)
            self.assertEqual((request.tool_choice, request.hints), (None, ()), client)
            self.assertEqual(request.extra, (f"tools[1] ({tool['type']})",))

    def test_the_only_ones_allowed(self) -> None:
        """The others stay forbidden."""
        allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
        tools = [FUNCTION["openai_responses"], {"type": "web_search"}]
        request = parse("openai_responses", tools=tools, tool_choice=allowed)
        self.assertEqual(request.tool_choice, ir.ToolChoice("none"))
        self.assertEqual(request.extra, ("tools[1] (web_search)",))
        allowed["tools"].append({"type": "function", "name": "f"})  # type: ignore[attr-defined]
        request = parse("openai_responses", tools=tools, tool_choice=allowed)
        self.assertEqual((request.tool_choice, request.extra), (ir.ToolChoice("auto", ("f",)), ()))

    def test_search_of_chats(self) -> None:
        """OpenAI's is asked for by a field, which may be empty."""
        for options in ({}, {"search_context_size": "low"}):
            self.assertEqual(parse("openai_chat", web_search_options=options).extra, ("web_search_options",))
            request = parse("openai_chat", web_search_options=options, tools=[FUNCTION["openai_chat"]])
            self.assertEqual(request.hints, ("web_search_options",))

    def test_servers(self) -> None:
        """Anthropic's MCP servers are such a tool."""
        servers = [{"type": "url", "url": "https://x", "name": "x"}]
        self.assertEqual(parse("anthropic", mcp_servers=servers).extra, ("mcp_servers",))
        self.assertEqual(parse("anthropic", mcp_servers=servers, tools=[FUNCTION["anthropic"]]).hints, ("mcp_servers",))
        self.assertEqual(parse("anthropic", mcp_servers=[]), parse("anthropic"))


class Found(SynchronousTestCase):
    def test_blocks_of_anthropic(self) -> None:
        """What was asked and found is a text; what cannot be read is a hint."""
        results = [{"type": "web_search_result", "title": "T", "url": "https://x", "encrypted_content": "E"}]
        page = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
        for block, text in (
            ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q1"}}, "q1"),
            ({"type": "server_tool_use", "id": "s", "name": "bash_code_execution", "input": {"command": "ls"}}, "ls"),
            ({"type": "web_search_tool_result", "tool_use_id": "s", "content": results}, "T\nhttps://x"),
            (
                {
                    "type": "web_fetch_tool_result",
                    "tool_use_id": "s",
                    "content": {"type": "web_fetch_result", "url": "https://y", "content": page},
                },
                "https://y\nwords",
            ),
            (
                {
                    "type": "bash_code_execution_tool_result",
                    "tool_use_id": "s",
                    "content": {"type": "bash_code_execution_result", "stdout": "out\n", "stderr": "", "content": []},
                },
                "out",
            ),
            ({"type": "mcp_tool_use", "id": "s", "name": "n", "server_name": "x", "input": {"code": "1"}}, "1"),
            ({"type": "mcp_tool_result", "tool_use_id": "s", "content": [{"type": "text", "text": "r"}]}, "r"),
        ):
            kind = block["type"]
            request = parse("anthropic", messages=[{"role": "assistant", "content": [block]}])
            self.assertEqual(said(request), [f"<{kind}>\n{text}\n</{kind}>"])
            self.assertEqual((request.hints, request.extra, request.lost), ((), (), ()))
        silent = {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"error_code": "unavailable"}}
        request = parse("anthropic", messages=[{"role": "assistant", "content": [silent]}])
        self.assertEqual((said(request), request.hints), ([], ("messages.content (web_search_tool_result)",)))

    def test_items_of_openai(self) -> None:
        """The same."""
        for item, text in (
            ({"type": "web_search_call", "action": {"type": "search", "query": "q"}}, "q"),
            ({"type": "web_search_call", "action": {"type": "open_page", "url": "https://x"}}, "https://x"),
            ({"type": "file_search_call", "queries": ["q"], "results": [{"filename": "f", "text": "t"}]}, "q\nt"),
            (
                {
                    "type": "code_interpreter_call",
                    "code": "print(1)",
                    "container_id": "c",
                    "outputs": [{"type": "logs", "logs": "1"}],
                },
                "print(1)\n1",
            ),
            ({"type": "image_generation_call", "result": "iVBORw0KGgo=", "revised_prompt": "a cat"}, "a cat"),
            ({"type": "mcp_call", "name": "n", "server_label": "s", "arguments": "{}", "output": "o"}, "o\n{}"),
        ):
            kind = item["type"]
            request = parse("openai_responses", input=[{"id": "i", "status": "completed", **item}])
            self.assertEqual(said(request), [f"<{kind}>\n{text}\n</{kind}>"])
            self.assertEqual((request.hints, request.extra, request.lost), ((), (), ()))
        for kind in ("mcp_list_tools", "mcp_approval_request", "web_search_call"):
            request = parse("openai_responses", input=[{"role": "user", "content": "q"}, {"type": kind, "id": "i"}])
            self.assertEqual((said(request), request.hints), (["q"], (f"input ({kind})",)))

    def test_parts_of_google(self) -> None:
        """The same."""
        parts = [
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "1\n"}},
            {"toolCall": {"id": "i", "toolType": "GOOGLE_SEARCH", "args": {"query": "q"}}},
            {"toolResponse": {"id": "i", "toolType": "GOOGLE_SEARCH"}, "thoughtSignature": "Uw=="},
        ]
        request = parse("gemini", contents=[{"role": "model", "parts": parts}])
        self.assertEqual(
            said(request),
            [
                "<executableCode>\nprint(1)\n</executableCode>",
                "<codeExecutionResult>\n1\n</codeExecutionResult>",
                "<toolCall>\nq\n</toolCall>",
            ],
        )
        self.assertEqual((request.hints, request.extra), (("contents.parts (toolResponse)",), ()))

    def test_nothing_opaque(self) -> None:
        """Ids, proofs and pictures are no words."""
        self.assertEqual(told("x", {"id": "1", "encrypted_content": "E", "status": "completed"}), "")
        self.assertEqual(told("x", {"content": {"type": "base64", "data": "iVBORw0KGgo="}}), "")
        self.assertEqual(told("x", [1]), "")
