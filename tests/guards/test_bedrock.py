"""Amazon Bedrock Guardrails: what is asked, and what its answers mean."""

from __future__ import annotations

import importlib.util
from typing import Any

from twisted.internet.defer import Deferred

from llmedge.config import ConfigError
from llmedge.guards import bedrock
from llmedge.guards.interfaces import Judgement
from tests.guards.asking import CANARY, Checking, guardrail, place

KEY = """
type = "bedrock"
guardrail = "gr1"
version = "3"
region = "eu-central-1"
api_key = "bedrock-key"
url = "http://127.0.0.1:8100"
"""
SIGNED = KEY.replace('api_key = "bedrock-key"', 'access_key = "AKID"\nsecret_key = "hush-hush"')
PLACES = (place("one"), place(""), place(CANARY))


def outputs(*texts: str) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def acted(policy: str, entries: str, *found: dict[str, str]) -> list[dict[str, Any]]:
    return [{policy: {entries: list(found)}, "invocationMetrics": {"guardrailProcessingLatency": 3}}]


MASKED = {"type": "EMAIL", "match": CANARY, "action": "ANONYMIZED"}
WORD = {"match": CANARY, "action": "BLOCKED"}
HATE = {"type": "HATE", "confidence": "HIGH", "action": "BLOCKED"}
LESS = {"textCharacters": {"guarded": 3, "total": 9}}
ALL = {"textCharacters": {"guarded": 9, "total": 9}}
INTERVENED = "GUARDRAIL_INTERVENED"
ANSWERS: tuple[tuple[dict[str, Any], Any], ...] = (
    ({"action": "NONE"}, Judgement()),
    ({"action": "NONE", "outputs": [], "assessments": [], "guardrailCoverage": ALL, "usage": {}}, Judgement()),
    (
        {
            "action": INTERVENED,
            "outputs": outputs("one", "{EMAIL}"),
            "assessments": acted("sensitiveInformationPolicy", "piiEntities", MASKED),
        },
        Judgement("change", "bedrock", finds={"EMAIL": 1}, texts=["one", "", "{EMAIL}"]),
    ),
    (
        {
            "action": INTERVENED,
            "outputs": outputs("Sorry."),
            "assessments": acted("contentPolicy", "filters", HATE)
            + acted("sensitiveInformationPolicy", "piiEntities", MASKED),
        },
        Judgement("block", "bedrock", finds={"HATE": 1, "EMAIL": 1}),
    ),
    (
        {
            "action": INTERVENED,
            "outputs": outputs("Sorry."),
            "assessments": acted("topicPolicy", "topics", {"name": CANARY, "type": "DENY", "action": "BLOCKED"}),
        },
        Judgement("block", "bedrock", finds={"TOPIC": 1}),
    ),
    (
        {"action": INTERVENED, "outputs": outputs("Sorry."), "assessments": acted("wordPolicy", "customWords", WORD)},
        Judgement("block", "bedrock", finds={"WORD": 1}),
    ),
    ({"action": INTERVENED, "outputs": outputs("Sorry.")}, Judgement("block", "bedrock")),
    ({"action": INTERVENED, "outputs": outputs("one", "x"), "assessments": [{"newPolicy": 3}]}, "block"),
    ({"action": "NONE", "guardrailCoverage": LESS}, "answer"),
    (
        {
            "action": INTERVENED,
            "outputs": outputs("{EMAIL}"),
            "assessments": acted("sensitiveInformationPolicy", "piiEntities", MASKED),
        },
        "answer",
    ),
    ({"action": "ALLOWED"}, "answer"),
    ({}, "answer"),
    ({"action": INTERVENED, "outputs": [{"text": None}]}, "answer"),
    ({"message": "The security token included in the request is expired"}, "answer"),
)


class Asking(Checking):
    def test_what_it_is_asked(self) -> None:
        """All texts in one question, with its key; empty ones are not asked about."""
        for of, source in (("request", "INPUT"), ("response", "OUTPUT")):
            self.begin(KEY)
            self.check(*PLACES, of=of)
            service = self.service()
            line, headers = service.head
            self.assertEqual(line, "POST /guardrail/gr1/version/3/apply HTTP/1.1")
            self.assertEqual(headers["authorization"], "Bearer bedrock-key")
            content = [{"text": {"text": "one"}}, {"text": {"text": CANARY}}]
            self.assertEqual(service.asked, {"source": source, "content": content})

    def test_signed(self) -> None:
        """For the host and path that are asked, with the body's digest."""
        if importlib.util.find_spec("botocore") is None:
            self.skipTest("botocore is not installed (extra bedrock)")
        self.begin(SIGNED.replace('"gr1"', '"arn:aws:bedrock:eu-central-1:123456789012:guardrail/gr1"'))
        self.check(*PLACES)
        line, headers = self.service().head
        name = "arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Aguardrail%2Fgr1"
        self.assertEqual(line, f"POST /guardrail/{name}/version/3/apply HTTP/1.1")
        scope = "Credential=AKID/20231114/eu-central-1/bedrock/aws4_request"
        self.assertIn(scope, headers["authorization"])
        self.assertNotIn("hush-hush", str(headers))

    def test_its_endpoint(self) -> None:
        for region, host in (("us-east-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")):
            self.begin(KEY.replace("eu-central-1", region).replace('url = "http://127.0.0.1:8100"', ""))
            self.assertEqual(
                self.checker._url, f"https://bedrock-runtime.{region}.{host}/guardrail/gr1/version/3/apply"
            )

    def test_answers(self) -> None:
        for said, means in ANSWERS:
            self.begin(KEY)
            judging = self.check(*PLACES)
            self.service().answer(said)
            if isinstance(means, Judgement):
                found = self.successResultOf(judging)
                self.assertEqual(found, means, said)
                self.assertNotIn(CANARY, repr(found))
            elif means == "block":
                self.assertEqual(self.successResultOf(judging).verdict, means)
            else:
                self.fails(judging, means)

    def test_long_texts(self) -> None:
        """Are asked about in pieces, and put together again; one piece that is blocked blocks."""
        self.patch(bedrock, "MOST", 10)
        masked = {
            "action": INTERVENED,
            "outputs": outputs("MASKED "),
            "assessments": acted("sensitiveInformationPolicy", "regexes", MASKED),
        }
        for second, means in (({"action": "NONE"}, "change"), (ANSWERS[5][0], "block")):
            self.begin(KEY)
            judging: Deferred[Judgement] = self.check(place("12345678 90123456"))
            first_service, second_service = self.service(), self.service()
            asked = [each.asked["content"][0]["text"]["text"] for each in (first_service, second_service)]
            self.assertEqual(asked, ["12345678 ", "90123456"])
            second_service.answer(second)
            first_service.answer(masked)
            found = self.successResultOf(judging)
            self.assertEqual(found.verdict, means)
            self.assertEqual(found.texts, ["MASKED 90123456"] if means == "change" else None)

    def test_nothing_to_judge(self) -> None:
        self.begin(KEY)
        self.assertEqual(self.judged(place("")).verdict, "pass")

    def test_configuration(self) -> None:
        for toml, words in (
            (KEY.replace('guardrail = "gr1"', ""), "needs guardrail"),
            (KEY.replace("eu-central-1", "evil.example/"), "region must be one of AWS's"),
            (KEY.replace('api_key = "bedrock-key"', 'access_key = "x"'), "needs access_key and secret_key"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, toml)))
        self.assertNotIn("hush", repr(guardrail(SIGNED)))
