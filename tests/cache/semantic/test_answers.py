"""What is said in an answer, whole or streamed, whatever the dialect."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.answers import said_in
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError

EVENTS: list[ir.StreamEvent] = [
    ir.Begin("id-12345678", "m"),
    ir.Open(0, "thinking"),
    ir.Delta(0, "hm"),
    ir.Close(0),
    ir.Open(1, "text"),
    ir.Delta(1, "Go "),
    ir.Delta(1, "home."),
    ir.Close(1),
    ir.Finish("stop"),
    ir.End(),
]


class Answers(SynchronousTestCase):
    def test_each_dialect(self) -> None:
        """The text, and no thought."""
        answer = ir.Answer((ir.Choice((ir.Text("Go home."),), "stop"),), "id-12345678", "m")
        for name in ("openai_chat", "openai_responses", "anthropic", "gemini"):
            dialect = DIALECTS[name]
            assert isinstance(dialect, ChatDialect)
            context = ResponseContext("m", "id-12345678", 1, now=lambda: 1.0)
            body = dialect.render_answer(answer, context)
            self.assertEqual(said_in(name, body, False), "Go home.", name)
            frames = b"".join(event.frame for event in dialect.encoder(context).encode(list(EVENTS)))
            self.assertEqual(said_in(name, frames, True), "Go home.", name)

    def test_choices(self) -> None:
        choices = [{"index": at, "finish_reason": "stop", "message": {"content": text}} for at, text in enumerate("ab")]
        body = json.dumps({"id": "c", "choices": choices}).encode()
        self.assertEqual(said_in("openai_chat", body, False, 2), "a\nb")

    def test_none(self) -> None:
        self.assertRaises(EdgeError, said_in, "openai_chat", b"{", False)
