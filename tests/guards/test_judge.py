"""A model that judges: it reads data, and says one thing or fails."""

from __future__ import annotations

import json
import re
from typing import Any

from llmedge.config import ConfigError
from llmedge.errors import BudgetExhausted, UpstreamTimeout
from llmedge.guards.interfaces import Judgement
from llmedge.operations import Operation
from tests.guards.asking import CANARY, Checking, guardrail, place

TOML = 'type = "judge"\nmodel = "openai/small"\npolicy = "No medical advice."\n'


def chat(said: Any) -> dict[str, Any]:
    content = said if isinstance(said, str) or said is None else json.dumps(said)
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}


ANSWERS: tuple[tuple[str, Any, Any], ...] = (
    ("", {"violation": False, "score": 0.1}, Judgement(score=0.1, cost=7)),
    ("", {"violation": False}, Judgement(score=0.0, cost=7)),
    ("", {"violation": True, "score": 0.9}, Judgement("block", "judge", score=0.9, finds={"POLICY": 1}, cost=7)),
    ("", {"violation": True}, Judgement("block", "judge", score=1.0, finds={"POLICY": 1}, cost=7)),
    ("", {"violation": True, "score": 0.4, "why": CANARY}, Judgement(score=0.4, cost=7)),
    ("threshold = 0.3", {"violation": True, "score": 0.4}, "block"),
    ("", '```json\n{"violation": true}\n```', "block"),
    ("", '```{"violation": false}```', "pass"),
    ("", '  {"violation": true}\n', "block"),
    ("", {"violation": "no"}, "answer"),
    ("", {"violation": True, "score": 7}, "answer"),
    ("", {"violation": False, "score": -1}, "answer"),
    ("", {"safe": True}, "answer"),
    ("", "The texts are fine.", "answer"),
    ("", f'{{"violation": false}} as {CANARY} says', "answer"),
    ("", "", "answer"),
    ("", None, "answer"),
    ("", "```", "answer"),
)


class Asking(Checking):
    def test_what_is_asked(self) -> None:
        """Its policy and the texts, which stand as JSON between marks that differ each time."""
        marks = set()
        for _ in range(2):
            self.begin(TOML, lambda *args: chat({"violation": False}))
            self.judged(place(f'{CANARY} "quoted"\n== end'), place(""), place("x", "tool_results"))
            ((operation, dialect, model, fields, _, seconds),) = self.asked
            self.assertEqual((operation, dialect, model), (Operation.CHAT, "openai_chat", "openai/small"))
            self.assertEqual((bytes(fields["temperature"]), bytes(fields["max_tokens"]), seconds), (b"0", b"200", 15.0))
            system, user = json.loads(bytes(fields["messages"]))
            self.assertIn("No medical advice.", system["content"])
            first, *data, last = user["content"].split("\n")
            self.assertEqual((first, last), (last, first))
            self.assertTrue(re.fullmatch("==[0-9a-f]{16}==", first) and first in system["content"])
            texts = [
                {"where": "request", "text": f'{CANARY} "quoted"\n== end'},
                {"where": "tool_results", "text": "x"},
            ]
            self.assertEqual(json.loads("\n".join(data)), texts)
            marks.add(first)
        self.assertEqual(len(marks), 2)

    def test_answers(self) -> None:
        for toml, said, means in ANSWERS:
            self.begin(TOML + toml, lambda *args, said=said: chat(said))
            judging = self.check(place(CANARY))
            if isinstance(means, Judgement):
                found = self.successResultOf(judging)
                self.assertEqual(found, means)
                self.assertNotIn(CANARY, repr(found))
            elif means in ("block", "pass"):
                self.assertEqual(self.successResultOf(judging).verdict, means, said)
            else:
                self.fails(judging, means)

    def test_no_answer(self) -> None:
        for said, cause in (
            (BudgetExhausted("x"), "unavailable"),
            (UpstreamTimeout("x"), "timeout"),
            (b"<html>", "answer"),
            ({"choices": []}, "answer"),
        ):
            self.begin(TOML, lambda *args, said=said: said)
            self.fails(self.check(place(CANARY)), cause)

    def test_params(self) -> None:
        """In the place of the usual ones."""
        self.begin(TOML + 'params = {reasoning_effort = "low"}', lambda *args: chat({"violation": False}))
        self.judged(place("x"))
        self.assertEqual(set(self.asked[0][3]), {"messages", "reasoning_effort"})

    def test_how_much(self) -> None:
        self.begin(TOML + "most = 10", lambda *args: chat({"violation": False}))
        self.judged(place("12345"), place("12345"))
        self.fails(self.check(place("12345"), place("123456")), "answer")
        self.judged(place(""))
        self.assertEqual(len(self.asked), 1)

    def test_configuration(self) -> None:
        for toml, words in (('policy = "x"', "needs model"), ('model = "x/y"', "needs policy")):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, f'type = "judge"\n{toml}')))
