"""Ids for calls that have none, or one that is not theirs alone."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.registry import CHAT, DIALECTS
from llmedge.dialects.tool_ids import unsigned_id

GIVEN = ("", "a", "a", "", "b")


def answer(*ids: str) -> ir.Answer:
    return ir.Answer((ir.Choice(tuple(ir.ToolCall(id, "f", "{}") for id in ids), "tool"),))


def opened(*ids: str) -> list[ir.Open]:
    return [ir.Open(number, "tool", tool_id=id) for number, id in enumerate(ids)]


def ids_of(answer: ir.Answer) -> list[str]:
    return [part.id for choice in answer.choices for part in choice.parts if isinstance(part, ir.ToolCall)]


class Made(SynchronousTestCase):
    def test_whole_and_streamed(self) -> None:
        """Each call has one of its own, which stays where it can; made ones do for every vendor."""
        events = opened(*GIVEN)
        streaming = CallIds("1")
        for ids in (ids_of(CallIds("1").answer(answer(*GIVEN))), [streaming.opened(event).tool_id for event in events]):
            self.assertEqual((ids[1], ids[4]), ("a", "b"))
            self.assertEqual(len(set(ids)), 5)
            for made in (ids[0], ids[2], ids[3]):
                self.assertRegex(made, r"\A[a-zA-Z0-9_-]{1,40}\Z")

    def test_of_two_answers(self) -> None:
        """A history holds both; the same answer has the same ids, however often it is read."""
        one, again, other = (ids_of(CallIds(seed).answer(answer("", ""))) for seed in ("1", "1", "2"))
        self.assertEqual(one, again)
        self.assertFalse(set(one) & set(other))

    def test_of_several_choices(self) -> None:
        call = ir.ToolCall("", "f", "{}")
        two = ir.Answer((ir.Choice((call,), "tool"), ir.Choice((ir.Text("x"), call), "tool", 1)))
        self.assertEqual(len(set(ids_of(CallIds("1").answer(two)))), 2)

    def test_nothing_else_is_touched(self) -> None:
        texts = ir.Answer((ir.Choice((ir.Text("a"),), "stop"),))
        self.assertEqual(CallIds("1").answer(texts), texts)
        self.assertEqual(CallIds("1").opened(ir.Open(0, "text")), ir.Open(0, "text"))


class ForClients(SynchronousTestCase):
    def test_every_client(self) -> None:
        """A vendor that gives no ids, in a stream."""
        call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
        calls = [{"choices": [{"delta": {"tool_calls": [call | {"index": number}]}}]} for number in (0, 1)]
        end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
        data = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in [*calls, end]) + b"data: [DONE]\n\n"
        seen: set[str] = set()
        for turn in ("1", "2"):
            for client in ("openai_responses", "anthropic", "gemini"):
                dialect: Any = DIALECTS[client]
                context = ResponseContext("m", f"{client}{turn}", 5)
                decoder = CHAT.decoder(choices=1, max_event=9999)
                reader = TranslatedReader(decoder, dialect.encoder(context), context.call_ids())
                frames = b"".join(event.frame for event in reader.feed(data))
                again = dialect.decoder(choices=1, max_event=9999)
                events = again.feed(frames)
                ids = [event.tool_id for event in events if isinstance(event, ir.Open)]
                self.assertEqual(len({*ids, *seen}), len(seen) + 2, ids)
                seen.update(ids)


class Signatures(SynchronousTestCase):
    def test_a_calls_signature(self) -> None:
        """Anthropic has no field for it: it is in the id, whole and streamed. The others tell it in the first piece."""
        signed = ir.ToolCall("c", "f", "{}", "U2ln")
        for client in ("openai_chat", "openai_responses", "anthropic", "gemini"):
            dialect: Any = DIALECTS[client]
            body = dialect.render_answer(ir.Answer((ir.Choice((signed,), "tool"),)), ResponseContext("m"))
            (choice,) = dialect.parse_answer(body).choices
            events = [ir.Begin(), ir.Open(0, "tool", 0, "c", "f", "U2ln"), ir.Delta(0, "{}"), ir.Close(0)]
            frames = dialect.encoder(ResponseContext("m")).encode([*events, ir.Finish("tool"), ir.End()])
            decoder = dialect.decoder(choices=1, max_event=9999)
            heard = decoder.feed(b"".join(frame.frame for frame in frames))
            (opened,) = (event for event in heard if isinstance(event, ir.Open))
            for id, signature in ((choice.parts[0].id, choice.parts[0].signature), (opened.tool_id, opened.signature)):
                with self.subTest(client):
                    self.assertEqual(unsigned_id(id) if client == "anthropic" else (id, signature), ("c", "U2ln"))
