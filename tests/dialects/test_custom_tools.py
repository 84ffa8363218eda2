"""Custom tools: a client's free text is the one argument of a function, there and back."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.custom_tools import BEGIN, END, SCHEMA, InputReader, arguments_of, escaped, input_of
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.openai_chat.dialect import OpenAIChat
from tests.dialects.parsing import parse
from tests.effort import examples

_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
CHAT = OpenAIChat()
PATCH = '*** Begin Patch\n*** Add File: a.txt\n+"hi"\\n 🌦\n*** End Patch'
GRAMMAR = {"syntax": "lark", "definition": "start: /.+/s"}


def read(arguments: str, step: int) -> str:
    """The input of arguments that come in pieces of ``step`` characters."""
    reader = InputReader()
    pieces = [reader.feed(arguments[start : start + step]) for start in range(0, len(arguments), step)]
    return "".join(pieces) + reader.end()


class Inputs(SynchronousTestCase):
    @settings(max_examples=examples(100), deadline=None)
    @given(_TEXTS, st.integers(1, 9), st.booleans(), st.sampled_from([None, 1]))
    def test_there_and_back(self, text: str, step: int, ascii: bool, indent: int | None) -> None:
        """However a model writes the JSON, and however it is cut up; surrogates of one character in two pieces too."""
        self.assertEqual(json.loads(arguments_of(text)), {"input": text})
        self.assertEqual(input_of(arguments_of(text)), text)
        self.assertEqual(read(json.dumps({"input": text}, ensure_ascii=ascii, indent=indent), step), text)

    @settings(max_examples=examples(50), deadline=None)
    @given(st.lists(_TEXTS, max_size=5))
    def test_pieces_of_the_text(self, pieces: list[str]) -> None:
        """They can be put into arguments one by one."""
        arguments = BEGIN + "".join(map(escaped, pieces)) + END
        self.assertEqual(json.loads(arguments), {"input": "".join(pieces)})

    def test_arguments_of_another_form(self) -> None:
        """They are the input themselves; of an input that was cut off, what there is."""
        for arguments, text in (
            (PATCH, PATCH),
            ('{"patch": "x"}', '{"patch": "x"}'),
            ('"text"', '"text"'),
            ("", ""),
            ("{}", "{}"),
            ('{"input": 5}', '{"input": 5}'),
            ('{"input": "a\\nb', "a\nb"),
            ('{"input": "a\\', "a"),
            ('{"input": "a", "more": 1}', "a"),
            ('{"input": "\\ud83c"}', "\\ud83c"),
            ('{"input": "\\q"}', "\\q"),
        ):
            self.assertEqual(input_of(arguments), text)
            for step in (1, 3):
                self.assertEqual("".join(read(arguments, step)), text)

    def test_an_input_comes_as_soon_as_it_can(self) -> None:
        """Nothing is held back but half a character."""
        reader = InputReader()
        said = [reader.feed(piece) for piece in ('{"inp', 'ut": "', "ab", "c\\", 'n"', "}")]
        self.assertEqual(said, ["", "", "ab", "c", "\n", ""])


class Tools(SynchronousTestCase):
    def tools(self, client: str, *, tool: dict[str, object]) -> ir.Tool:
        inner = {"openai_chat": {"type": "custom", "custom": tool}, "openai_responses": {"type": "custom", **tool}}
        (found,) = parse(client, tools=[inner[client]]).tools
        return found

    def test_tools(self) -> None:
        """A function with one text; its grammar is explained."""
        for client, grammar in (
            ("openai_chat", {"type": "grammar", "grammar": GRAMMAR}),
            ("openai_responses", {"type": "grammar", **GRAMMAR}),
        ):
            plain = ir.Tool("apply_patch", schema=SCHEMA, kind="custom")
            self.assertEqual(self.tools(client, tool={"name": "apply_patch"}), plain)
            self.assertEqual(self.tools(client, tool={"name": "apply_patch", "format": {"type": "text"}}), plain)
            found = self.tools(client, tool={"name": "apply_patch", "description": "Edit", "format": grammar})
            self.assertEqual(found.description, "Edit\n\nThe input must match this lark grammar:\nstart: /.+/s")
            found = self.tools(client, tool={"name": "apply_patch", "format": grammar})
            self.assertEqual(found.description, "The input must match this lark grammar:\nstart: /.+/s")

    def test_history(self) -> None:
        """Calls and results are those of a function."""
        call = ir.ToolCall("c", "apply_patch", arguments_of(PATCH))
        result = ir.ToolResult("c", (ir.Text("done"),))
        chat = [
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "apply_patch", "input": PATCH}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ]
        responses = [
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "apply_patch", "input": PATCH},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ]
        for said in (parse("openai_chat", messages=chat), parse("openai_responses", input=responses)):
            self.assertEqual([part for message in said.messages for part in message.parts], [call, result])
            self.assertEqual((said.hints, said.extra, said.lost), ((), (), ()))

    def test_choice(self) -> None:
        """It can be asked for, alone or among others."""
        named = ir.ToolChoice("named", ("apply_patch",))
        allowed = ir.ToolChoice("required", ("f", "apply_patch"))
        name, other = {"name": "apply_patch"}, {"name": "f"}
        for client, one, some in (
            (
                "openai_chat",
                {"type": "custom", "custom": name},
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": other}, {"type": "custom", "custom": name}],
                    },
                },
            ),
            (
                "openai_responses",
                {"type": "custom", **name},
                {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", **other}, {"type": "custom", **name}],
                },
            ),
        ):
            self.assertEqual(parse(client, tool_choice=one).tool_choice, named)
            self.assertEqual(parse(client, tool_choice=some).tool_choice, allowed)


class ChatCalls(SynchronousTestCase):
    """As a chat client gets them and gives them back, and as a chat vendor may say them."""

    context = ResponseContext("m", "7", 5, tools={"apply_patch": ir.Tool("apply_patch", kind="custom")})

    def streamed(self, *pieces: str) -> list[ir.StreamEvent]:
        deltas = [ir.Delta(0, piece) for piece in pieces]
        opened = ir.Open(0, "tool", 0, "c", "apply_patch")
        return [ir.Begin("x", "m", 5), opened, *deltas, ir.Close(0), ir.Finish("tool"), ir.End()]

    def test_whole(self) -> None:
        """``custom`` with its input, and read back as the call it was."""
        for arguments, text in ((arguments_of(PATCH), PATCH), ("*** Begin", "*** Begin")):
            call = ir.ToolCall("c", "apply_patch", arguments, "Uw==")
            body = CHAT.render_answer(ir.Answer((ir.Choice((call,), "tool"),), "x", "m", 5), self.context)
            (said,) = json.loads(body)["choices"][0]["message"]["tool_calls"]
            self.assertEqual((said["type"], said["custom"]), ("custom", {"name": "apply_patch", "input": text}))
            self.assertNotIn("function", said)
            ChatCompletion.model_validate_json(body)
            (found,) = CHAT.parse_answer(body).choices[0].parts
            self.assertEqual(found, ir.ToolCall("c", "apply_patch", arguments_of(text), "Uw=="))

    def test_streamed(self) -> None:
        """In pieces, of which none is a function's."""
        for arguments, text in ((arguments_of(PATCH), PATCH), ("*** Begin", "*** Begin"), ("", "")):
            for step in (1, 7, 99):
                pieces = [arguments[at : at + step] for at in range(0, len(arguments), step)]
                frames = CHAT.encoder(self.context).encode(self.streamed(*pieces))
                stream = b"".join(frame.frame for frame in frames)
                self.assertNotIn(b'"function"', stream)
                chunks = [json.loads(line[6:]) for line in stream.split(b"\n\n") if line.startswith(b"data: {")]
                calls = [
                    call
                    for chunk in chunks
                    for choice in chunk["choices"]
                    for call in choice["delta"].get("tool_calls", ())
                ]
                self.assertEqual((calls[0]["id"], calls[0]["type"]), ("c", "custom"))
                self.assertEqual("".join(call["custom"]["input"] for call in calls), text)
                decoder = CHAT.decoder(choices=1, max_event=1 << 20)
                events = [*decoder.feed(stream), *([] if decoder.done else decoder.end())]
                spoken = "".join(event.text for event in events if isinstance(event, ir.Delta))
                self.assertEqual(json.loads(spoken), {"input": text})
                self.assertEqual([event for event in events if isinstance(event, ir.Open)], [self.streamed()[1]])
                self.assertEqual(sum(isinstance(event, ir.Close) for event in events), 1)
                self.assertIn(ir.Finish("tool"), events)

    def test_a_call_between_others(self) -> None:
        """Each keeps its own arguments."""
        calls = [
            {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": 'x"'}},
            {"index": 1, "custom": {"input": "}"}},
            {"index": 2, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        ]
        chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in calls]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        stream = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
        said: dict[int, str] = {}
        for event in CHAT.decoder(choices=1, max_event=1 << 20).feed(stream):
            if isinstance(event, ir.Delta):
                said[event.block] = said.get(event.block, "") + event.text
        self.assertEqual([json.loads(text) for text in said.values()], [{}, {"input": 'x"}'}, {"a": 1}])
