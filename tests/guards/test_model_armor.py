"""Google Cloud Model Armor: what is asked, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any

from llmedge.config import ConfigError
from llmedge.errors import ConnectFailed
from llmedge.guards.interfaces import Judgement
from tests.fakes import write_service_account
from tests.guards.asking import CANARY, Checking, guardrail, place
from tests.providers.test_google_token import FILE

TEMPLATE = "projects/p-1/locations/europe-west4/templates/t-1"


def toml(more: str = 'url = "http://127.0.0.1:8100"', template: str = TEMPLATE, **fields: str) -> str:
    file = write_service_account(**{name: value for name, value in FILE.items() if name != "type"} | fields)
    return f'type = "model_armor"\ntemplate = "{template}"\ncredentials = "{file}"\n{more}'


def result(state: str, invocation: str = "SUCCESS", **filters: Any) -> dict[str, Any]:
    return {
        "sanitizationResult": {
            "filterMatchState": state,
            "invocationResult": invocation,
            "filterResults": filters,
            "sanitizationMetadata": {},
        }
    }


FOUND, NOT_FOUND = "MATCH_FOUND", "NO_MATCH_FOUND"
JAILBREAK = {"piAndJailbreakFilterResult": {"matchState": FOUND, "confidenceLevel": "HIGH"}}
CLEAN = {"raiFilterResult": {"matchState": NOT_FOUND, "raiFilterTypeResults": {"hate": {"matchState": NOT_FOUND}}}}
INSPECTED = {"sdpFilterResult": {"inspectResult": {"matchState": FOUND, "findings": [{"infoType": CANARY}]}}}
MASKED = {"sdpFilterResult": {"deidentifyResult": {"matchState": FOUND, "data": {"text": "[EMAIL]"}}}}
ANSWERS: tuple[tuple[Any, Any], ...] = (
    (result(NOT_FOUND), Judgement()),
    (result(NOT_FOUND, rai=CLEAN), Judgement()),
    (
        result(FOUND, pi_and_jailbreak=JAILBREAK, rai=CLEAN),
        Judgement("block", "model_armor", finds={"PI_AND_JAILBREAK": 1}),
    ),
    (result(FOUND, sdp=INSPECTED), Judgement("block", "model_armor", finds={"SDP": 1})),
    (result(FOUND, sdp=MASKED), Judgement("change", "model_armor", finds={"SDP": 1}, texts=["[EMAIL]"])),
    (
        result(FOUND, sdp=MASKED, pi_and_jailbreak=JAILBREAK),
        Judgement("block", "model_armor", finds={"SDP": 1, "PI_AND_JAILBREAK": 1}),
    ),
    (
        result(FOUND, pi_and_jailbreak=JAILBREAK, sdp=MASKED),
        Judgement("block", "model_armor", finds={"SDP": 1, "PI_AND_JAILBREAK": 1}),
    ),
    (result(FOUND), Judgement("block", "model_armor", finds={"OTHER": 1})),
    (result(FOUND, "PARTIAL", sdp=MASKED), Judgement("block", "model_armor", finds={"SDP": 1})),
    (result(NOT_FOUND, "PARTIAL"), "answer"),
    (result(NOT_FOUND, "FAILURE"), "answer"),
    (result("FILTER_MATCH_STATE_UNSPECIFIED"), "answer"),
    ({"sanitizationResult": {}}, "answer"),
    ({}, "answer"),
    ({"error": {"code": 400}}, "answer"),
)


class Asking(Checking):
    def begin_with_token(self) -> None:
        self.begin(toml())
        self.checker._signer._headers = [("authorization", "Bearer access-1")]
        self.checker._signer._expires = self.reactor.seconds() + 3600

    def test_what_it_is_asked(self) -> None:
        for of, verb, field in (
            ("request", "sanitizeUserPrompt", "userPromptData"),
            ("response", "sanitizeModelResponse", "modelResponseData"),
        ):
            self.begin_with_token()
            self.check(place(""), place(CANARY), of=of)
            service = self.service()
            line, headers = service.head
            self.assertEqual(line, f"POST /v1/{TEMPLATE}:{verb} HTTP/1.1")
            self.assertEqual(headers["authorization"], "Bearer access-1")
            self.assertEqual(service.asked, {field: {"text": CANARY}})

    def test_answers(self) -> None:
        for said, means in ANSWERS:
            self.begin_with_token()
            judging = self.check(place(CANARY))
            self.service().answer(said)
            if isinstance(means, Judgement):
                found = self.successResultOf(judging)
                self.assertEqual(found, means)
                self.assertNotIn(CANARY, repr(found))
            else:
                self.fails(judging, means)

    def test_several_texts(self) -> None:
        """A question each; what one had masked stands beside what the other had not."""
        self.begin_with_token()
        judging = self.check(place("one"), place(CANARY))
        first, second = self.service(), self.service()
        second.answer(result(FOUND, sdp=MASKED))
        first.answer(result(NOT_FOUND))
        self.assertEqual(self.successResultOf(judging).texts, ["one", "[EMAIL]"])

    def test_its_token(self) -> None:
        """It is fetched first, over our own connections; without one it cannot say."""
        self.begin(toml('token_url = "http://127.0.0.1:8200/token"\nurl = "http://127.0.0.1:8100"'))
        judging = self.check(place(CANARY))
        token = self.service()
        self.assertEqual((token.where, token.head[0]), ("127.0.0.1:8200", "POST /token HTTP/1.1"))
        token.answer({"access_token": "access-2", "expires_in": 3600})
        asked = self.service()
        self.assertEqual((asked.where, asked.head[1]["authorization"]), ("127.0.0.1:8100", "Bearer access-2"))
        asked.answer(result(NOT_FOUND))
        self.assertEqual(self.successResultOf(judging), Judgement())
        self.checker.close()
        self.assertEqual(self.reactor.pending(), [])
        self.begin(toml())

        async def none(*args: Any) -> Any:
            raise ConnectFailed("could not get an access token")

        self.checker._signer.headers = none
        self.fails(self.check(place(CANARY)), "unavailable")

    def test_its_endpoint(self) -> None:
        self.begin(toml(""))
        self.assertEqual(self.checker._url, f"https://modelarmor.europe-west4.rep.googleapis.com/v1/{TEMPLATE}")

    def test_configuration(self) -> None:
        for text, words in (
            (toml(template="projects/p/locations/evil.example/templates/t"), "template must be projects/"),
            (toml('token_url = "http://evil.example/t"'), "token_url must be https"),
            (toml(token_uri="https://evil.example"), "has a token_uri that is not"),
            (f'type = "model_armor"\ntemplate = "{TEMPLATE}"', "needs credentials"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, text)))
        self.assertNotIn(json.dumps(FILE["private_key"])[1:40], repr(guardrail(toml())))
