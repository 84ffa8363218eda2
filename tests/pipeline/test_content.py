"""What tracing shows of a conversation, whatever its dialect."""

import json
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.model import Answer, Caller, Deadline
from llmedge.operations import Operation
from llmedge.pipeline import content
from llmedge.record import Record


def call(dialect: str, operation: Operation = Operation.CHAT, **fields: Any) -> Call:
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}
    record = Record("id", "POST", "/", "peer", 0.0)
    return Call(operation, dialect, "m", raw, False, False, 1, Caller("c"), Deadline(Clock(), 30), record)


def text(words: str) -> dict[str, str]:
    return {"type": "text", "content": words}


class Prompts(SynchronousTestCase):
    def test_in_every_dialect(self) -> None:
        """The same question is the same, whoever asks it."""
        expected = [{"role": "system", "parts": [text("Be brief.")]}, {"role": "user", "parts": [text("Hi")]}]
        hi = {"role": "user", "content": "Hi"}
        for asked in (
            call("openai_chat", messages=[{"role": "system", "content": "Be brief."}, hi]),
            call("openai_responses", instructions="Be brief.", input="Hi"),
            call("anthropic", system="Be brief.", messages=[hi], max_tokens=1),
            call(
                "gemini", systemInstruction={"parts": [{"text": "Be brief."}]}, contents=[{"parts": [{"text": "Hi"}]}]
            ),
        ):
            found = json.loads(content.prompt(asked))
            self.assertEqual([each["parts"] for each in found], [each["parts"] for each in expected], asked.dialect)
            self.assertEqual(found[1]["role"], "user")
        text_call = call("openai_text", Operation.TEXT, prompt="say")
        self.assertEqual(json.loads(content.prompt(text_call)), [{"role": "user", "parts": [text("say")]}])

    def test_tools(self) -> None:
        """A tool's call and its result; a picture is left out."""
        function = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
        asked = call(
            "openai_chat",
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "x"}, picture]},
                {"role": "assistant", "content": None, "tool_calls": [function]},
                {"role": "tool", "tool_call_id": "1", "content": "done"},
            ],
        )
        self.assertEqual(
            json.loads(content.prompt(asked)),
            [
                {"role": "user", "parts": [text("x")]},
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": "{}"}],
                },
                {
                    "role": "tool",
                    "parts": [{"type": "tool_call_response", "id": "1", "response": [text("done")]}],
                },
            ],
        )

    def test_what_cannot_be_shown(self) -> None:
        """Nobody checked what is passed on as it is: what is not a conversation, and what is too long, is left out."""
        self.assertEqual(content.prompt(call("openai_chat", messages=[{"role": "assistant", "tool_calls": 1}])), b"")
        self.assertEqual(content.prompt(call("passthrough", Operation.MODERATIONS, input="x")), b"")
        long = call("openai_chat", messages=[{"role": "user", "content": "x"}])
        long.record.bytes_in = content.LONGEST + 1
        self.assertEqual(content.prompt(long), b"")


class Answers(SynchronousTestCase):
    def test_choices(self) -> None:
        said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]}
        found = content.answer(call("openai_chat"), Answer(json.dumps(said).encode()))
        expected = [{"role": "assistant", "parts": [text("Yes.")], "finish_reason": "stop"}]
        self.assertEqual(json.loads(found), expected)
        said = {"choices": [{"text": "Yes.", "finish_reason": "stop"}]}
        found = content.answer(call("openai_text", Operation.TEXT), Answer(json.dumps(said).encode()))
        self.assertEqual(json.loads(found), expected)

    def test_what_is_none(self) -> None:
        for raw in (b"[]", b"{", b'{"choices": 1}', b'{"choices": [1]}', b"x" * (content.LONGEST + 1)):
            self.assertEqual(content.answer(call("openai_chat"), Answer(raw)), b"", raw[:10])
            self.assertEqual(content.answer(call("openai_text", Operation.TEXT), Answer(raw)), b"", raw[:10])
