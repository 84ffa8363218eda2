"""A vendor's moderation endpoint, asked by way of the gateway."""

from __future__ import annotations

import json
from typing import Any

from llmedge.errors import BudgetExhausted, ConnectFailed, UpstreamTimeout
from llmedge.guards import moderation
from llmedge.guards.interfaces import Judgement
from llmedge.operations import Operation
from tests.guards.asking import CANARY, Checking, place

TOML = 'type = "moderation"\nmodel = "openai/omni"\n'


def result(flagged: Any = False, hate: float = 0.1, violence: float = 0.0, **more: Any) -> dict[str, Any]:
    scores = {"hate": hate, "violence/graphic": violence}
    categories = {name: score > 0.5 for name, score in scores.items()}
    return {"flagged": flagged, "categories": categories, "category_scores": scores} | more


def blocked(score: float | None, **finds: int) -> Judgement:
    return Judgement("block", "moderation", score=score, finds=finds, cost=7)


CLEAN = Judgement(score=0.1, cost=7)
ANSWERS: tuple[tuple[str, Any, Any], ...] = (
    ("", [result(), result()], CLEAN),
    ("", [result(), result(True, 0.9)], blocked(0.9, HATE=1)),
    ("", [result(True, 0.9, 0.8), result(True, 0.7)], blocked(0.9, HATE=2, VIOLENCE_GRAPHIC=1)),
    ("", [result(True), result()], blocked(0.1, FLAGGED=1)),
    (
        "",
        [{"categories": {"pii": True}}, {"categories": {}}],
        Judgement("block", "moderation", finds={"PII": 1}, cost=7),
    ),
    ('categories = ["violence/graphic"]', [result(True, 0.9), result()], Judgement(score=0.9, cost=7)),
    ('categories = ["violence/graphic"]', [result(True, 0.1, 0.9), result()], blocked(0.9, VIOLENCE_GRAPHIC=1)),
    ("threshold = 0.95", [result(True, 0.9), result()], Judgement(score=0.9, cost=7)),
    ("threshold = 0.1", [result(False, 0.2), result()], blocked(0.2, HATE=2)),
    ("", [result()], "answer"),
    ("", [result()] * 3, "answer"),
    ("", [], "answer"),
    ("", [{}, {}], "answer"),
    ("", [{"categories": [CANARY]}] * 2, "answer"),
    ("", None, "answer"),
    ("", ConnectFailed("x"), "unavailable"),
    ("", BudgetExhausted("x"), "unavailable"),
    ("", UpstreamTimeout("x"), "timeout"),
)


class Asking(Checking):
    def test_what_is_asked(self) -> None:
        self.begin(TOML, lambda *args: {"results": [result()] * 2})
        material = self.material(place("one"), place(""), place(CANARY))
        self.judged(*material.places)
        ((operation, dialect, model, fields, about, seconds),) = self.asked
        self.assertEqual((operation, dialect, model), (Operation.MODERATIONS, "passthrough", "openai/omni"))
        self.assertEqual((json.loads(bytes(fields["input"])), seconds), (["one", CANARY], 3.0))
        self.assertEqual(about.places, material.places)

    def test_answers(self) -> None:
        for toml, said, means in ANSWERS:
            self.begin(TOML + toml, lambda *args, said=said: said if isinstance(said, Exception) else {"results": said})
            judging = self.check(place("one"), place(CANARY))
            if isinstance(means, Judgement):
                self.assertEqual(self.successResultOf(judging), means)
            else:
                self.fails(judging, means)

    def test_no_json(self) -> None:
        for said in (b"", b"[]", b"<html>"):
            self.begin(TOML, lambda *args, said=said: said)
            self.fails(self.check(place("one")), "answer")

    def test_long_texts(self) -> None:
        """In pieces, one after another; their costs add up."""
        self.patch(moderation, "MOST", 10)
        self.begin(TOML, lambda *args: {"results": [result()] * len(json.loads(bytes(args[3]["input"])))})
        self.assertEqual(self.judged(place("12345678 90123456"), place("x")).cost, 14)
        self.assertEqual(
            [json.loads(bytes(args[3]["input"])) for args in self.asked], [["12345678 "], ["90123456", "x"]]
        )

    def test_nothing_to_judge(self) -> None:
        self.begin(TOML)
        self.assertEqual(self.judged(place("")), Judgement())
