"""Which calls are questions, in each client's dialect, and what has to be the same for two of them to be compared."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.eligible import unfit
from llmedge.cache.semantic.question import Question, question_of
from tests.pipeline.harness import World

TEXT = "What is a fox?"
CHAT = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
CLIENTS: dict[str, Any] = {
    "openai_chat": lambda text: {"messages": [{"role": "user", "content": text}]},
    "anthropic": lambda text: {"max_tokens": 9, "messages": [{"role": "user", "content": [_part(text)]}]},
    "gemini": lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    "openai_responses": lambda text: {"input": text},
}


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def question(fields: dict[str, Any], dialect: str = "openai_chat", **limits: int) -> Question | None:
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}
    call = World(()).call(dialect=dialect)
    call = call.changed(fields=raw)
    return question_of(call, b"prefix", limits.get("messages", 3), limits.get("chars", 2000))


def partition(fields: dict[str, Any], dialect: str = "openai_chat") -> tuple[bytes, bytes]:
    found = question(fields, dialect)
    assert found is not None
    return found.partition, found.before


class Questions(SynchronousTestCase):
    def test_each_dialect(self) -> None:
        """The text is the last message's; only that may differ."""
        for dialect, body in CLIENTS.items():
            found = question(body(TEXT), dialect)
            assert found is not None, dialect
            self.assertEqual((found.text, found.before, found.context), (TEXT, b"", ""))
            self.assertEqual(partition(body(TEXT), dialect), partition(body("Why?"), dialect))
            self.assertNotEqual(partition(body(TEXT), dialect), partition(body(TEXT) | {"seed": 1}, dialect))

    def test_what_was_said_before(self) -> None:
        """Is compared as a whole, and so are instructions, their number and each message's other fields."""

        def chat(*said: str, **last: str) -> dict[str, Any]:
            roles = {"s": "system", "u": "user", "a": "assistant"}
            messages = [{"role": roles[each[0]], "content": each[2:]} for each in said]
            return {"messages": [*messages[:-1], {**messages[-1], **last}]}

        one = partition(chat("u:Name a river", "a:The Po", "u:And another?"))
        same = partition(chat("u:Name a river", "a:The Po", "u:One more, please"))
        other = partition(chat("u:Name a hill", "a:The Po", "u:And another?"))
        self.assertEqual(one, same)
        self.assertEqual((one[0] == other[0], one[1] == other[1]), (True, False))
        different = [
            chat("u:And another?"),
            chat("s:Be brief", "u:And another?"),
            chat("s:Be rude", "u:And another?"),
            chat("u:And another?", name="Al"),
        ]
        self.assertEqual(len({one[0], *(partition(each)[0] for each in different)}), 5)
        found = question(chat("s:Be brief", "u:Name a river", "u:And another?"))
        assert found is not None
        self.assertEqual(found.context, "user: Name a river")

    def test_left_alone(self) -> None:
        """Long ones, tools, pictures, several parts, an answer that was begun, what nobody can read."""
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        user = {"role": "user", "content": TEXT}
        for fields in (
            {"messages": [user] * 4},
            {"messages": [user], "tools": []},
            {"messages": [user], "functions": [{"name": "f"}]},
            {"messages": [{"role": "user", "content": [_part(TEXT), picture]}]},
            {"messages": [{"role": "user", "content": [_part(TEXT), _part(TEXT)]}]},
            {"messages": [{"role": "user", "content": "x" * 2001}]},
            {"messages": [{"role": "user", "content": "  "}]},
            {"messages": [user, {"role": "assistant", "content": "A fox"}]},
            {"messages": [{"role": "user", "content": [picture]}, user]},
            {"messages": []},
            {"messages": 7},
        ):
            self.assertIsNone(question(fields), fields)
        self.assertIsNotNone(question({"messages": [user] * 4}, messages=4))
        self.assertIsNone(question({"messages": [user]}, chars=5))
        call = World(()).call()
        self.assertIsNone(question_of(call.changed(heavy=True), b"", 3, 2000))


class Texts(SynchronousTestCase):
    def test_unfit(self) -> None:
        """Code, addresses, and what moves with the day."""
        for why, texts in {
            "code": (
                "Why does `x` fail?",
                "Fix: SELECT name FROM users",
                "Explain ^a+b*$",
                "What does f() do?",
                "if (a == b) return;",
                "import os\nprint(1)",
            ),
            "address": ("Summarize https://example.org/a", "Is a@b.example valid?"),
            "relative": (
                "What is the weather today?",
                "Who won last week?",
                "What is the latest version of Python?",
                "Wie ist das Wetter heute?",
                "Quel temps fait-il demain ?",
                "¿Qué tiempo hace hoy?",
                "今日の天気は？",
                "明天天气怎么样？",
            ),
            "empty": ("", " \n"),
        }.items():
            for text in texts:
                self.assertEqual(unfit(text), why, text)
        for text in (
            TEXT,
            "What should I do last?",
            "How do I say good morning?",
            "Was ist ein Fuchs?",
            "狐は何ですか？",
        ):
            self.assertEqual(unfit(text), "", text)
