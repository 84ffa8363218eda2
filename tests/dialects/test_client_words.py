"""What clients send that is not in today's references, or that they were told: read, and never refused."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.tool_ids import signed_id
from tests.dialects.parsing import parse


def turn(client: str, **said: Any) -> ir.Message:
    """A message of the assistant's with these fields; nothing of it is left over."""
    field = {"openai_chat": "messages", "openai_responses": "input", "anthropic": "messages", "gemini": "contents"}
    role = "model" if client == "gemini" else "assistant"
    request = parse(client, **{field[client]: [{"role": role, **said}]})
    assert (request.extra, request.lost) == ((), ()), request
    return request.messages[0]


class Told(SynchronousTestCase):
    def test_chat(self) -> None:
        """The fields of an answer's message."""
        call = {"id": "c", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for said, parts in (
            ({"content": None, "refusal": None, "annotations": [], "function_call": None, "audio": None}, ()),
            ({"content": "", "tool_calls": [call]}, (ir.ToolCall("c", "f", "{}"),)),
            (
                {"tool_calls": [{**call, "extra_content": {"novel": {"a": 1}}, "novel": 1}]},
                (ir.ToolCall("c", "f", "{}"),),
            ),
            ({"content": "a", "tool_calls": [], "annotations": [{"type": "url_citation"}]}, (ir.Text("a"),)),
            ({"content": "a", "refusal": "no"}, (ir.Text("a"), ir.Refusal("no"))),
            ({"content": "a", "reasoning_content": "t"}, (ir.Thinking("t"), ir.Text("a"))),
            ({"content": "a", "reasoning_details": [{"type": "reasoning.novel", "x": 1}]}, (ir.Text("a"),)),
            (
                {"content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s"}]},
                (ir.Thinking("t", "s"), ir.Text("a")),
            ),
            ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]}, (ir.Thinking("t"),)),
            ({"content": [{"type": "output_text", "text": "a"}], "parsed": {"a": 1}}, (ir.Text("a"),)),
            ({"content": "a", "audio": {"id": "", "transcript": "b", "data": ""}}, (ir.Text("a"), ir.Text("b"))),
            ({"content": "a", "phase": "commentary", "id": "x", "provider_specific_fields": {"a": 1}}, (ir.Text("a"),)),
        ):
            self.assertEqual(turn("openai_chat", **said).parts, parts, said)

    def test_anthropic(self) -> None:
        """The blocks of an answer's content; the signature that an id holds, in calls and results."""
        for block, part in (
            ({"type": "thinking", "thinking": "t"}, ir.Thinking("t")),
            ({"type": "thinking", "thinking": "t", "signature": ""}, ir.Thinking("t")),
            ({"type": "redacted_thinking", "data": "d"}, ir.Thinking(signature="d", redacted=True)),
            ({"type": "text", "text": "a", "citations": None}, ir.Text("a")),
            ({"type": "text", "text": "a", "citations": [{"type": "novel"}]}, ir.Text("a")),
            ({"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": None}, ir.ToolCall("c", "f", "{}")),
            (
                {"type": "tool_use", "id": signed_id("c", "Uw=="), "name": "f", "input": {}},
                ir.ToolCall("c", "f", "{}", "Uw=="),
            ),
            ({"type": "tool_use", "id": "c", "name": "f", "input": None}, ir.ToolCall("c", "f", "{}")),
            (
                {"type": "tool_use", "id": "c", "name": "f", "input": {"invalid_arguments": "x"}},
                ir.ToolCall("c", "f", '{"invalid_arguments": "x"}'),
            ),
        ):
            self.assertEqual(turn("anthropic", content=[block]).parts, (part,), block)
        result = {"type": "tool_result", "tool_use_id": signed_id("c", "Uw==")}
        (message,) = parse("anthropic", messages=[{"role": "user", "content": [result]}]).messages
        self.assertEqual(message.parts, (ir.ToolResult("c", ()),))

    def test_responses(self) -> None:
        """The items of an answer's output."""
        text = {"type": "output_text", "text": "a", "annotations": [{"type": "novel"}], "logprobs": []}
        call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""}
        for item, part in (
            ({"type": "reasoning", "id": "rs_resp_1_0", "summary": []}, ir.Thinking()),
            (
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "status": None},
                ir.Thinking(id="rs_1"),
            ),
            ({"type": "message", "content": "a", "role": "assistant", "phase": "commentary"}, ir.Text("a")),
            ({"role": "assistant", "content": [text]}, ir.Text("a")),
            ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, ir.Refusal("no")),
            ({**call, "caller": {"type": "direct"}}, ir.ToolCall("c", "f", "{}")),
        ):
            request = parse("openai_responses", input=[item])
            self.assertEqual(request.messages[0].parts, (part,), item)
            self.assertEqual((request.extra, request.lost), ((), ()))

    def test_gemini(self) -> None:
        """The parts of an answer's content."""
        for part, parts in (
            ({"text": "", "thought": True}, ()),
            ({"text": "", "thought": True, "thoughtSignature": "Uw=="}, (ir.Thinking("", "Uw=="),)),
            ({"text": "t", "thought": True}, (ir.Thinking("t"),)),
            ({"text": "a", "thought": False, "thoughtSignature": ""}, (ir.Text("a"),)),
            ({"functionCall": {"name": "f", "args": None, "id": None}}, (ir.ToolCall("call_0", "f", "{}"),)),
        ):
            self.assertEqual(turn("gemini", parts=[part]).parts, parts, part)


class Older(SynchronousTestCase):
    def test_functions(self) -> None:
        """Chats had functions before they had tools."""
        request = parse(
            "openai_chat",
            messages=[
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
                {"role": "function", "name": "f", "content": "r"},
            ],
            functions=[{"name": "f", "description": "d", "parameters": {"type": "object"}}],
            function_call={"name": "f"},
        )
        self.assertEqual(request.tools, (ir.Tool("f", "d", b'{"type": "object"}'),))
        self.assertEqual(request.tool_choice, ir.ToolChoice("named", ("f",)))
        call, result = request.messages[1].parts[0], request.messages[2].parts[0]
        self.assertEqual((call, request.messages[2].role), (ir.ToolCall("call_1", "f", '{"a":1}'), "tool"))
        self.assertEqual(result, ir.ToolResult("call_1", (ir.Text("r"),), "f"))
        self.assertEqual((request.hints, request.extra), ((), ()))
        for mode in ("auto", "none"):
            self.assertEqual(parse("openai_chat", function_call=mode).tool_choice, ir.ToolChoice(mode))  # type: ignore[arg-type]

    def test_names_of_the_limit(self) -> None:
        """The newer one counts; a number that means none is none."""
        for fields, most in (
            ({"max_tokens": 5}, 5),
            ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
            ({"max_tokens": 5, "max_completion_tokens": None}, 5),
            ({"max_tokens": -1}, None),
        ):
            self.assertEqual(parse("openai_chat", **fields).max_tokens, most)

    def test_ways_to_ask_for_thoughts(self) -> None:
        """Vendors of chats have words of their own."""
        for fields, reasoning in (
            ({"reasoning": {"effort": "high", "exclude": True}}, ir.Reasoning(effort="high", show=False)),
            ({"reasoning": {"max_tokens": 2000}}, ir.Reasoning(budget=2000)),
            ({"reasoning": {"enabled": False}}, ir.Reasoning(False)),
            ({"reasoning": {}}, None),
            ({"thinking": {"type": "disabled"}}, ir.Reasoning(False)),
            ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, ir.Reasoning(True, budget=1024)),
            ({"enable_thinking": False}, ir.Reasoning(False)),
            ({"chat_template_kwargs": {"enable_thinking": False}}, ir.Reasoning(False)),
            ({"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": True}, ir.Reasoning(True)),
        ):
            request = parse("openai_chat", **fields)
            self.assertEqual((request.reasoning, request.extra), (reasoning, ()), fields)

    def test_words_of_vendors_who_speak_it(self) -> None:
        """Chats as Mistral and Together have them."""
        tool = {"type": "function", "function": {"name": "f"}}
        said = parse("openai_chat", tools=[tool], tool_choice="any")
        self.assertEqual(said.tool_choice, ir.ToolChoice("required"))
        said = parse("openai_chat", response_format={"type": "json_object", "schema": {"type": "object"}})
        self.assertEqual((said.output, said.extra), (ir.Output("json_schema", b'{"type": "object"}'), ()))

    def test_items_without_a_type(self) -> None:
        """A message is known by its role or its content."""
        for item, role in (({"role": "developer", "content": "a"}, "developer"), ({"content": "a"}, "user")):
            (message,) = parse("openai_responses", input=[item]).messages
            self.assertEqual((message.role, message.parts), (role, (ir.Text("a"),)))

    def test_contents_of_results(self) -> None:
        """Search results, documents, texts and nothing."""
        found = {
            "type": "search_result",
            "source": "https://x",
            "title": "T",
            "content": [{"type": "text", "text": "w"}],
        }
        for content, parts in (
            ([found], (ir.Text("T\nhttps://x\nw"),)),
            ([{"type": "tool_reference", "tool_name": "f"}], ()),
            ("r", (ir.Text("r"),)),
            ([], ()),
            (None, ()),
        ):
            result = {"type": "tool_result", "tool_use_id": "c", "content": content}
            request = parse("anthropic", messages=[{"role": "user", "content": [result]}])
            self.assertEqual(request.messages[0].parts, (ir.ToolResult("c", parts),))
            self.assertEqual((request.extra, request.lost), ((), ()))

    def test_who_spoke(self) -> None:
        """Google's contents without a role are the user's, unless they call a function."""
        for part, role in (({"text": "a"}, "user"), ({"function_call": {"name": "f"}}, "assistant")):
            (message,) = parse("gemini", contents={"parts": part}).messages
            self.assertEqual(message.role, role)


class Marks(SynchronousTestCase):
    def test_on_a_whole_message(self) -> None:
        """A chat message's cache mark is its last part's, whatever that is."""
        mark = {"cache_control": {"type": "ephemeral"}}
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for message, part in (
            ({"role": "user", "content": "a"}, ir.Text("a", cache="5m")),
            ({"role": "system", "content": [{"type": "text", "text": "a"}]}, ir.Text("a", cache="5m")),
            ({"role": "assistant", "tool_calls": [call]}, ir.ToolCall("c", "f", "{}", cache="5m")),
            ({"role": "tool", "tool_call_id": "c", "content": "r"}, ir.ToolResult("c", (ir.Text("r"),), cache="5m")),
        ):
            request = parse("openai_chat", messages=[{**message, **mark}])
            self.assertEqual((request.messages[0].parts, request.hints), ((part,), ()))
        refused = {"role": "assistant", "content": None, "refusal": "no", **mark}
        self.assertEqual(parse("openai_chat", messages=[refused]).hints, ("messages.cache_control",))

    def test_whatever_they_say(self) -> None:
        """A mark is never a reason to refuse: a scope, another time, another type."""
        for mark, kept, hints in (
            ({"type": "ephemeral", "scope": "global"}, "5m", ("messages.content.cache_control.scope",)),
            ({"type": "ephemeral", "ttl": "1h", "scope": "global"}, "1h", ("messages.content.cache_control.scope",)),
            ({"type": "ephemeral", "ttl": "24h"}, "5m", ()),
            ({"type": "persistent"}, "5m", ()),
        ):
            block = {"type": "text", "text": "a", "cache_control": mark}
            request = parse("anthropic", messages=[{"role": "user", "content": [block]}])
            self.assertEqual((request.messages[0].parts, request.hints), ((ir.Text("a", cache=kept),), hints))
            self.assertEqual(request.extra, ())

    def test_keys_and_names_of_users(self) -> None:
        """The same from both of OpenAI's APIs."""
        for client in ("openai_chat", "openai_responses"):
            request = parse(client, prompt_cache_key="k", safety_identifier="s")
            self.assertEqual((request.cache_key, request.user, request.hints), ("k", "s", ()))
            request = parse(client, user="u", safety_identifier="s")
            self.assertEqual((request.user, request.hints), ("u", ("safety_identifier",)))
