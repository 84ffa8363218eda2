"""What has to survive the way there and back again: thoughts and their proofs, ids of calls, odd arguments."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from llmedge.dialects.tool_ids import nine_id, short_id, word_id
from llmedge.errors import Unsupported
from llmedge.model import Target, Usage
from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told
from tests.dialects.test_matrix import ASKERS, MODELS, PAIRS, SAYS, VENDORS, ask, read, sent, translation_of

CALL = cases.CALLS[0]


def turn(vendor: str, pieces: int) -> Told:
    """An answer that thinks and then calls a tool."""
    by = cases.VENDORS[vendor]
    call = (CALL[0], CALL[1], (CALL[2],) if pieces == 1 else (CALL[2][:5], CALL[2][5:]))
    return Told((("thinking", cases.THOUGHT), ("call", call)), "tool", by.usage, by.id, by.model, by.created)


def back(client: str, body: bytes) -> list[Any]:
    """What a client adds to its conversation: the answer as it got it, and the tool's result."""
    said = json.loads(body)
    if client == "openai_chat":
        return [said["choices"][0]["message"], {"role": "tool", "tool_call_id": CALL[0], "content": "14"}]
    if client == "openai_responses":
        return [*said["output"], {"type": "function_call_output", "call_id": CALL[0], "output": "14"}]
    if client == "anthropic":
        result = {"type": "tool_result", "tool_use_id": CALL[0], "content": "14"}
        return [{"role": "assistant", "content": said["content"]}, {"role": "user", "content": [result]}]
    response = {"functionResponse": {"id": CALL[0], "name": CALL[1], "response": {"output": "14"}}}
    return [said["candidates"][0]["content"], {"role": "user", "parts": [response]}]


def gathered(client: str, stream: bytes) -> bytes:
    """A stream put together as the SDKs do it, as if it had come whole."""
    events = [data for _, data in cases.unsse(stream) if data != "[DONE]"]
    if client == "openai_responses":
        return cases.dump(events[-1]["response"]).encode()
    if client == "gemini":
        parts = [part for each in events for part in each["candidates"][0]["content"]["parts"]]
        return cases.dump({"candidates": [{"content": {"role": "model", "parts": parts}}]}).encode()
    if client == "anthropic":
        blocks: list[Any] = []
        for each in events:
            delta = each.get("delta", {})
            if each["type"] == "content_block_start":
                blocks.append(each["content_block"] | {"json": ""})
            for name in ("thinking", "signature"):
                if name in delta:
                    blocks[-1][name] += delta[name]
            if "partial_json" in delta:
                blocks[-1]["json"] += delta["partial_json"]
        for block in blocks:
            if text := block.pop("json"):
                block["input"] = json.loads(text)
        return cases.dump({"content": blocks}).encode()
    message: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_content": "", "reasoning_details": []}
    for each in events:
        delta = each["choices"][0]["delta"] if each["choices"] else {}
        message["reasoning_content"] += delta.get("reasoning_content", "")
        message["reasoning_details"] += delta.get("reasoning_details", [])
        for call in delta.get("tool_calls", []):
            if "id" in call:
                message["tool_calls"] = [call]
            else:
                message["tool_calls"][0]["function"]["arguments"] += call["function"]["arguments"]
    return cases.dump({"choices": [{"message": message}]}).encode()


def again(client: str, more: list[Any]) -> Call:
    """The next call of the conversation, thinking and offering the tool."""
    _, _, body = ask(client, "tool", False)
    place = {"gemini": "contents", "openai_responses": "input"}.get(client, "messages")
    body[place] += more
    if client == "anthropic":
        body |= {"max_tokens": 9999, "thinking": {"type": "enabled", "budget_tokens": 8192}}
    if client == "openai_chat":
        body["reasoning_effort"] = "medium"
    call, _, _ = ask(client, "tool", False)
    raw = cases.dump(body).encode()
    call.fields = DIALECTS[client].parse_request(raw, model=cases.ASKED_MODEL).fields
    return call


class Thoughts(SynchronousTestCase):
    """A vendor gets its thought back with its proof, through any client: without it a call's result is refused."""

    def check(self, client: str, vendor: str, answer: bytes) -> None:
        call = again(client, back(client, answer))
        wire = translation_of(client, vendor)
        if vendor == "openai_chat":  # has no field for it
            with self.assertRaises(Unsupported) as caught:
                wire.body(call, Target("v", MODELS[vendor]), "refuse")
            self.assertEqual("thinking", str(caught.exception.param))
            return
        dialect: Any = DIALECTS[vendor]
        said = dialect.parse(
            dialect.parse_request(wire.body(call, Target("v", MODELS[vendor]), "refuse"), model="m").fields
        )
        thought = ir.Thinking("".join(cases.THOUGHT), cases.SIGNATURE)
        self.assertEqual([each.role for each in said.messages], ["user", "assistant", "tool"])
        self.assertEqual(said.messages[1].parts, (thought, ir.ToolCall(*CALL)))
        self.assertEqual(said.messages[2].parts[0].content, (ir.Text("14"),))

    def test_whole(self) -> None:
        for client, vendor in PAIRS:
            if client != vendor:
                call, _, request = ask(client, "tool", False)
                raw = cases.dump(SAYS[vendor].answer(turn(vendor, 1), request)).encode()
                self.check(
                    client, vendor, translation_of(client, vendor).answer(raw, call, Target("v", "m"), cases.NOW).body
                )

    def test_streamed(self) -> None:
        for client, vendor in PAIRS:
            if client != vendor:
                call, _, request = ask(client, "tool", True)
                told = turn(vendor, cases.VENDORS[vendor].call_pieces)
                data = sent(vendor, SAYS[vendor].stream(told, request, False))
                stream, _ = read(translation_of(client, vendor), call, data, 50)
                self.check(client, vendor, gathered(client, stream))


def rendered(vendor: str, *messages: ir.Message, quirks: tuple[str, ...] = (), **fields: Any) -> Any:
    dialect: Any = DIALECTS[vendor]
    request = ir.Request(messages, **fields)
    return json.loads(
        dialect.render(request, MODELS[vendor], RenderContext({}, "refuse"), stream=False, quirks=frozenset(quirks))
    )


def conversation(id: str, arguments: str = "{}") -> tuple[ir.Message, ...]:
    return (
        ir.Message("user", (ir.Text("q"),), at="messages[0]"),
        ir.Message("assistant", (ir.ToolCall(id, "f", arguments),), at="messages[1]"),
        ir.Message("tool", (ir.ToolResult(id, (ir.Text("r"),)),), at="messages[2]"),
    )


class Ids(SynchronousTestCase):
    """A call and its result have an id the vendor takes, the same in both, whoever made it."""

    KIMI, VLLM, LONG = "functions.f:0", "chatcmpl-tool-" + "0" * 32, "x" * 70

    def pair(self, vendor: str, id: str, *quirks: str) -> str:
        said = rendered(vendor, *conversation(id), quirks=quirks)
        if vendor == "openai_chat":
            both = said["messages"][1]["tool_calls"][0]["id"], said["messages"][2]["tool_call_id"]
        elif vendor == "openai_responses":
            both = said["input"][1]["call_id"], said["input"][2]["call_id"]
        elif vendor == "anthropic":
            both = said["messages"][1]["content"][0]["id"], said["messages"][2]["content"][0]["tool_use_id"]
        else:
            blocks = [each["content"][0] for each in said["messages"]]
            both = blocks[1]["toolUse"]["toolUseId"], blocks[2]["toolResult"]["toolUseId"]
        self.assertEqual(both[0], both[1])
        return both[0]

    def test_each_vendor(self) -> None:
        for vendor in ("anthropic", "bedrock"):
            for id in (self.KIMI, self.LONG, "", "ł", "a b"):
                self.assertRegex(self.pair(vendor, id), r"\A[A-Za-z0-9_-]{1,64}\Z")
            self.assertEqual(self.pair(vendor, self.VLLM), self.VLLM)
        self.assertEqual(self.pair("openai_chat", self.KIMI), self.KIMI)
        self.assertLessEqual(len(self.pair("openai_chat", self.VLLM)), 40)
        self.assertEqual(self.pair("openai_responses", self.VLLM), self.VLLM)
        self.assertLessEqual(len(self.pair("openai_responses", self.LONG)), 64)
        self.assertRegex(self.pair("openai_chat", "toolu_1", "tool_ids_9"), r"\A[a-zA-Z0-9]{9}\Z")
        self.assertEqual(self.pair("openai_chat", "abcDEF123", "tool_ids_9"), "abcDEF123")

    def test_two_ids_stay_two(self) -> None:
        for make in (lambda id: short_id(id, 40), word_id, nine_id):
            made = {make(f"functions.f:{number}" + "x" * 40) for number in range(500)}
            self.assertEqual(len(made), 500)


class Turns(SynchronousTestCase):
    def test_nothing_said(self) -> None:
        """A message that says nothing is left out where the vendor refuses it."""
        messages = (
            ir.Message("user", (ir.Text("a"),)),
            ir.Message("assistant", ()),
            ir.Message("user", (ir.Text("b"),)),
        )
        said = rendered("anthropic", *messages)["messages"]
        self.assertEqual([each["content"] for each in said], ["a", "b"])
        for each in rendered("bedrock", *messages)["messages"]:
            self.assertTrue(each["content"])

    def test_a_tool_message_may_name_its_tool(self) -> None:
        """As OpenAI's first documentation had it; no vendor is to refuse it."""
        dialect: Any = DIALECTS["openai_chat"]
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
        messages = [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "name": "f", "content": "r"},
        ]
        raw = cases.dump({"model": "m", "messages": messages}).encode()
        request = dialect.parse(dialect.parse_request(raw).fields)
        for vendor in VENDORS:
            other: Any = DIALECTS[vendor]
            other.render(request, MODELS[vendor], RenderContext({}, "refuse"), stream=False)

    def test_the_whole_nucleus(self) -> None:
        """``top_p`` of 1 is nobody's default but OpenAI's and Anthropic's: others have to be told."""
        user = ir.Message("user", (ir.Text("q"),), at="messages[0]")
        self.assertEqual(rendered("gemini", user, top_p=1)["generationConfig"], {"topP": 1})
        self.assertEqual(rendered("openai_chat", user, top_p=1)["top_p"], 1)
        for vendor in ("anthropic", "bedrock"):
            self.assertEqual(rendered(vendor, user, top_p=1), rendered(vendor, user))
        for client in ASKERS:
            if client != "gemini":
                dialect: Any = DIALECTS[client]
                self.assertEqual(dialect.parse({"top_p": b"1", "messages": b"[]", "input": b'""'}).top_p, 1)

    def test_a_choice_of_tools_that_says_more(self) -> None:
        function = {"type": "function", "function": {"name": "f"}}
        for client, choice in (
            ("openai_chat", {**function, "more": 1}),
            ("openai_chat", {"type": "function", "function": {"name": "f", "more": 1}}),
            ("openai_chat", {"type": "web_search"}),
            ("openai_responses", {"type": "function", "name": "f", "more": 1}),
        ):
            dialect: Any = DIALECTS[client]
            fields = {"messages": b"[]", "input": b'""', "tool_choice": json.dumps(choice).encode()}
            self.assertTrue(any(path.startswith("tool_choice") for path in dialect.parse(fields).extra), choice)

    def test_what_anthropic_refuses_while_it_thinks(self) -> None:
        thinks = ir.Reasoning(effort="low")
        tools = (ir.Tool("f"),)
        user = ir.Message("user", (ir.Text("q"),), at="messages[0]")
        for fields in (
            {"temperature": 0.5},
            {"top_k": 5},
            {"top_p": 0.5},
            {"tools": tools, "tool_choice": ir.ToolChoice("required")},
        ):
            with self.assertRaises(Unsupported):
                rendered("anthropic", user, reasoning=thinks, **fields)
            rendered("anthropic", user, **fields)
        with self.assertRaises(Unsupported) as caught:
            rendered("anthropic", *conversation("c"), reasoning=thinks, tools=tools)
        self.assertEqual(caught.exception.param, "reasoning")

    def test_quirks(self) -> None:
        """Each quirk about requests is heeded, and what it takes away is refused, not lost."""
        user = ir.Message("user", (ir.Text("q"),), name="bob", at="messages[0]")
        for quirk, fields, param in (
            ("no_n", {"n": 2}, "n"),
            ("no_logprobs", {"logprobs": True}, "logprobs"),
            ("no_logit_bias", {"logit_bias": b'{"1":2}'}, "logit_bias"),
            ("no_penalties", {"presence_penalty": 0.5}, "presence_penalty"),
            ("no_parallel_tool_calls", {"parallel_tools": False, "tools": (ir.Tool("f"),)}, "parallel_tools"),
            ("tool_choice_auto", {"tool_choice": ir.ToolChoice("required"), "tools": (ir.Tool("f"),)}, "tool_choice"),
            ("no_message_name", {}, "name"),
            ("no_user", {"user": "u"}, "user"),
            ("no_store", {"store": True}, "store"),
            ("no_metadata", {"metadata": (("a", "b"),), "store": True}, "metadata"),
            ("stored_metadata", {"metadata": (("a", "b"),)}, "metadata"),
            ("no_service_tier", {"service_tier": "flex"}, "service_tier"),
            ("no_verbosity", {"verbosity": "low"}, "verbosity"),
        ):
            rendered("openai_chat", user, **fields)
            with self.assertRaises(Unsupported) as caught:
                rendered("openai_chat", user, quirks=(quirk,), **fields)
            self.assertEqual(caught.exception.param, param)
        said = rendered("openai_chat", user, quirks=("random_seed", "tool_choice_any"), seed=7)
        self.assertEqual((said["random_seed"], "seed" in said), (7, False))
        called: dict[str, Any] = {"tool_choice": ir.ToolChoice("required"), "tools": (ir.Tool("f"),)}
        said = rendered("openai_chat", user, quirks=("tool_choice_any",), **called)
        self.assertEqual(said["tool_choice"], "any")
        thought = ir.Message("assistant", (ir.Thinking("hm"), ir.Text("a")))
        said = rendered("openai_responses", thought)
        self.assertEqual([item["type"] for item in said["input"]], ["reasoning", "message"])
        with self.assertRaises(Unsupported):
            rendered("openai_responses", thought, quirks=("encrypted_thoughts",))
        proved = ir.Message("assistant", (ir.Thinking("hm", "Uw=="), ir.Text("a")))
        said = rendered("openai_responses", proved, quirks=("encrypted_thoughts",))
        self.assertEqual(said["input"][0]["encrypted_content"], "Uw==")
        said = rendered("openai_chat", user, quirks=("stored_metadata",), metadata=(("a", "b"),), store=True)
        self.assertEqual(said["metadata"], {"a": "b"})
        with self.assertRaises(Unsupported) as caught:
            rendered("openai_chat", user, quirks=("stored_metadata", "no_store"), store=True)
        self.assertEqual(caught.exception.param, "store")
        refused = ir.Message("assistant", (ir.Text("Well:"), ir.Refusal("No.")))
        for quirks, refusal, content in (
            ((), "No.", "Well:"),
            (("no_refusal",), None, [{"type": "text", "text": "Well:"}, {"type": "text", "text": "No."}]),
        ):
            (message,) = rendered("openai_chat", refused, quirks=quirks)["messages"]
            self.assertEqual((message.get("refusal"), message["content"]), (refusal, content))
        silent = (ir.Message("assistant", ()), ir.Message("assistant", (ir.Thinking("hm", "Uw=="),)))
        context = RenderContext({}, "hints")
        request, dialect = ir.Request((user, *silent, user)), cast(Any, DIALECTS["openai_chat"])
        body = dialect.render(request, "m", context, stream=False, quirks=frozenset({"no_silent_assistant"}))
        self.assertEqual([message["role"] for message in json.loads(body)["messages"]], ["user", "user"])
        called["tool_choice"] = ir.ToolChoice("none")
        said = rendered("openai_chat", user, quirks=("tool_choice_auto",), **called)
        self.assertEqual(said.keys() & {"tools", "tool_choice"}, set())
        said = rendered("openai_chat", thought, quirks=("thinking_back",))
        self.assertEqual(said["messages"][0]["reasoning_content"], "hm")

    def test_documents_by_an_address(self) -> None:
        """Mistral takes a document as the address it is at, or as a data URL."""
        for file, document in (
            (
                ir.File(ir.Source("base64", "JVBERg==", "application/pdf"), "a.pdf"),
                {"document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
            ),
            (
                ir.File(ir.Source("base64", "JVBERg==", "application/pdf")),
                {"document_url": "data:application/pdf;base64,JVBERg==", "document_name": "document.pdf"},
            ),
            (ir.File(ir.Source("url", "https://x.example/a.pdf")), {"document_url": "https://x.example/a.pdf"}),
        ):
            asked = ir.Message("user", (file,), at="messages[0]")
            (message,) = rendered("openai_chat", asked, quirks=("document_url",))["messages"]
            self.assertEqual(message["content"], [{"type": "document_url", **document}])
        for source in (ir.Source("file", "file-1"), ir.Source("url", "gopher://x")):
            asked = ir.Message("user", (ir.File(source),), at="messages[0]")
            self.assertRaises(Unsupported, rendered, "openai_chat", asked, quirks=("document_url",))


class Answers(SynchronousTestCase):
    def test_arguments(self) -> None:
        """Arguments that are no JSON, none at all, huge, or with half a character break no answer."""
        for text, whole in (
            ('{"a": ', False),
            ("not json", False),
            ("[1]", False),
            ('{"a":"' + "x" * 1_000_000 + '"}', True),
            ('{"n": 1e999, "b": 12345678901234567890123}', True),
        ):
            answer = ir.Answer((ir.Choice((ir.ToolCall("c", "f", text),), "tool"),), "i", "m", 1, Usage(1, 1))
            for client in ASKERS:
                dialect: Any = DIALECTS[client]
                body = dialect.render_answer(answer, ResponseContext("m"))
                (choice,) = dialect.parse_answer(body).choices
                if client in ("openai_chat", "openai_responses") or whole:
                    self.assertEqual(choice.parts[0].arguments, text)
                else:
                    self.assertEqual(json.loads(choice.parts[0].arguments), {"invalid_arguments": text})

    def test_half_a_character_in_arguments(self) -> None:
        """It is U+FFFD where they are an object, and stays as it is where they are a text."""
        text = '{"a":"\\ud83d"}'
        answer = ir.Answer((ir.Choice((ir.ToolCall("c", "f", text),), "tool"),), "i", "m", 1, Usage(1, 1))
        for client in ASKERS:
            dialect: Any = DIALECTS[client]
            (choice,) = dialect.parse_answer(dialect.render_answer(answer, ResponseContext("m"))).choices
            if client in ("openai_chat", "openai_responses"):
                self.assertEqual(choice.parts[0].arguments, text)
            else:
                self.assertEqual(json.loads(choice.parts[0].arguments), {"a": "\ufffd"}, client)

    def test_cut_in_a_call(self) -> None:
        """The limit was met while a tool was called: the limit is the reason, in every dialect."""
        answer = ir.Answer((ir.Choice((ir.ToolCall("c", "f", "{}"),), "length"),), "i", "m", 1, Usage(1, 1))
        for client in ASKERS:
            dialect: Any = DIALECTS[client]
            self.assertEqual(
                dialect.parse_answer(dialect.render_answer(answer, ResponseContext("m"))).choices[0].finish, "length"
            )

    def test_thoughts_beside_the_answer(self) -> None:
        """xAI counts thoughts beside the completion, OpenAI in it; the total tells which."""
        read = DIALECTS["openai_chat"].read_answer
        details = '"completion_tokens_details":{"reasoning_tokens":30}'
        for total, output in ((115, 5), (145, 35), (0, 5)):
            usage = f'{{"prompt_tokens":110,"completion_tokens":5,"total_tokens":{total},{details}}}'
            self.assertEqual(read(f'{{"choices":[],"usage":{usage}}}'.encode()), Usage(110, output, reasoning=30))

    def test_lines(self) -> None:
        """JSON that somebody wrote over several lines does not end an event of a stream."""
        call, _, body = ask("openai_responses", "tool", True)
        raw = json.dumps(body, indent=2).encode()
        call.fields = DIALECTS["openai_responses"].parse_request(raw).fields
        told = cases.told("anthropic", "plain", True)
        data = sent("anthropic", SAYS["anthropic"].stream(told, {}, False))
        stream, _ = read(translation_of("openai_responses", "anthropic"), call, data, 99)
        self.assertEqual(cases.unsse(stream)[0][1]["response"]["tools"], body["tools"])
        call, _, request = ask("gemini", "tool", True)
        told = Told((("call", ("c", "f", ('{\n "a":\r\n 1\n}',))),), "tool", Usage(1, 1), "i", "m", cases.CREATED)
        data = sent("anthropic", SAYS["anthropic"].stream(told, request, False))
        stream, _ = read(translation_of("gemini", "anthropic"), call, data, 99)
        (called, _) = cases.unsse(stream)
        self.assertEqual(called[1]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"], {"a": 1})
