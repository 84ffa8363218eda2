"""Answers of services that have the right words in the wrong places: a verdict or a failure, never a defect."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from llmedge.guards.interfaces import GuardFailed, Judgement
from tests.effort import examples
from tests.guards.asking import CANARY, Checking, place
from tests.guards.test_azure import HARM, SHIELD
from tests.guards.test_bedrock import KEY
from tests.guards.test_judge import TOML as JUDGE
from tests.guards.test_model_armor import toml as model_armor
from tests.guards.test_moderation import TOML as MODERATION
from tests.guards.test_webhook import TOML as WEBHOOK

ARMOR = model_armor()
WORDS = (
    *("action", "texts", "images", "tools", "structured_messages", "outputs", "text", "assessments", "type", "name"),
    *("contentPolicy", "filters", "topicPolicy", "guardrailCoverage", "textCharacters", "guarded", "total"),
    *("categoriesAnalysis", "category", "severity", "blocklistsMatch", "userPromptAnalysis", "documentsAnalysis"),
    *("attackDetected", "sanitizationResult", "filterMatchState", "invocationResult", "filterResults", "matchState"),
    *("sdp", "sdpFilterResult", "deidentifyResult", "data", "results", "flagged", "categories", "category_scores"),
    *("choices", "message", "content", "violation", "score"),
)
TEXTS = (
    *("NONE", "GUARDRAIL_INTERVENED", "BLOCKED", "ANONYMIZED", "MATCH_FOUND", "NO_MATCH_FOUND", "SUCCESS", "Hate"),
    *(CANARY, '{"violation": false}', '{"violation": true, "score": 1e9}', "", "hate"),
)
LEAVES = st.sampled_from([*TEXTS, None, True, False, 0, 4, -1, 0.5, 1e300])
ANY = st.recursive(
    LEAVES,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(WORDS), each, max_size=4),
    max_leaves=12,
)
SHAPES = (
    {"action": "NONE", "outputs": [], "assessments": [], "guardrailCoverage": {"textCharacters": None}},
    {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "x"}], "assessments": [{"contentPolicy": {"filters": []}}]},
    {"categoriesAnalysis": [{"category": "Hate", "severity": 0}], "blocklistsMatch": []},
    {"userPromptAnalysis": {"attackDetected": False}, "documentsAnalysis": []},
    {
        "sanitizationResult": {
            "filterMatchState": "MATCH_FOUND",
            "invocationResult": "SUCCESS",
            "filterResults": {"sdp": {"matchState": "MATCH_FOUND", "deidentifyResult": {"data": {"text": "x"}}}},
        }
    },
    {"results": [{"flagged": False, "categories": {}, "category_scores": {}}]},
    {"choices": [{"message": {"content": '{"violation": false}'}}]},
)


def places_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in within for place in places_of(each, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], other)
    return copy


@st.composite
def altered(draw: Any) -> Any:
    """One of the shapes, with something else in up to two places."""
    value = draw(st.sampled_from(SHAPES))
    for _ in range(draw(st.integers(0, 2))):
        value = put(value, draw(st.sampled_from(places_of(value))), draw(ANY))
    return value


class Lies(Checking):
    def told(self, toml: str, said: Any) -> Judgement | None:
        """What a service's or a model's answer comes to; ``None`` for a failure."""
        self.begin(toml, lambda *args: said)
        signer = getattr(self.checker, "_signer", None)
        if signer is not None:
            signer._headers, signer._expires = [("authorization", "Bearer x")], self.reactor.seconds() + 3600
        judging: Deferred[Judgement] = self.check(place(CANARY))
        if not judging.called:
            self.service().answer(said)
        found: list[Any] = []
        judging.addBoth(found.append)
        if isinstance(found[0], Judgement):
            return found[0]
        found[0].trap(GuardFailed)
        return None

    @settings(max_examples=examples(150), deadline=None)
    @given(ANY | altered())
    def test_anything(self, said: Any) -> None:
        """No answer makes any of them fail otherwise, and none tells what was said."""
        said = json.loads(json.dumps(said))
        for toml in (WEBHOOK, KEY, HARM, SHIELD, MODERATION, JUDGE, ARMOR):
            found = self.told(toml, said)
            if found is not None and found.verdict != "change":
                self.assertNotIn(CANARY, repr(found))
