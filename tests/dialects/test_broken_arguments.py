"""Arguments that are no JSON object, for clients who read one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from tests.effort import examples

CLIENTS = ("anthropic", "gemini")
_PIECES = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6), min_size=1, max_size=5)


def call_in(client: str, data: bytes) -> Any:
    """What a client makes of the call's arguments."""
    events = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
    if client == "gemini":
        parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
        (call,) = (part["functionCall"]["args"] for part in parts if "functionCall" in part)
        return call
    deltas = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    return json.loads("".join(deltas) or "{}")


def streamed(client: str, *pieces: str) -> Any:
    dialect: Any = DIALECTS[client]
    deltas = [ir.Delta(1, piece) for piece in pieces]
    before: list[ir.StreamEvent] = [ir.Begin(), ir.Open(0, "tool", 0, "x", "f"), ir.Open(1, "tool", 0, "c", "f")]
    encoder = dialect.encoder(ResponseContext("m"))
    encoder.encode([*before, ir.Delta(0, "{}"), ir.Close(0)])
    frames = encoder.encode([*deltas, ir.Close(1), ir.Finish("tool"), ir.End()])
    return call_in(client, b"".join(frame.frame for frame in frames))


def whole(client: str, text: str) -> Any:
    dialect: Any = DIALECTS[client]
    answer = ir.Answer((ir.Choice((ir.ToolCall("c", "f", text),), "tool"),))
    body = json.loads(dialect.render_answer(answer, ResponseContext("m")))
    if client == "gemini":
        return body["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]
    return body["content"][0]["input"]


class Broken(SynchronousTestCase):
    def test_put_into_an_object(self) -> None:
        """The same one in a stream and in a whole answer, wherever it is cut."""
        for text in ("false", "[1]", ' "a\\n"', "not json", "☀ é \U0001f600", "null"):
            for client in CLIENTS:
                with self.subTest(f"{client}: {text}"):
                    self.assertEqual(whole(client, text), {"invalid_arguments": text})
                    for pieces in ([text], list(text)):
                        self.assertEqual(streamed(client, *pieces), {"invalid_arguments": text})

    def test_objects_stay(self) -> None:
        """As they are, white space in front included; nothing at all is an object without members."""
        for text, expected in ((' \n{"a": 1}', {"a": 1}), ("{}", {}), ("", {}), (" ", {})):
            for client in CLIENTS:
                with self.subTest(f"{client}: {text!r}"):
                    self.assertEqual(whole(client, text), expected)
                    for pieces in ([text] if text else [], list(text)):
                        self.assertEqual(streamed(client, *pieces), expected)

    def test_an_object_that_never_ends(self) -> None:
        """In a stream it goes on as it is, as Anthropic's own does; Gemini's calls are told when they are whole."""
        self.assertEqual(whole("anthropic", '{"a"'), {"invalid_arguments": '{"a"'})
        self.assertEqual(streamed("gemini", "{", '"a"'), {"invalid_arguments": '{"a"'})
        self.assertRaises(ValueError, streamed, "anthropic", "{", '"a"')

    @settings(max_examples=examples(100), deadline=None)
    @given(_PIECES)
    def test_any_pieces(self, pieces: list[str]) -> None:
        """Whatever the model wrote, a stream says what a whole answer says."""
        text = "".join(pieces)
        for client in CLIENTS:
            if client == "gemini" or not text.lstrip().startswith("{"):
                self.assertEqual(streamed(client, *pieces), whole(client, text))
