"""Azure AI Content Safety: what is asked, and what its answers mean."""

from __future__ import annotations

from typing import Any

from llmedge.config import ConfigError
from llmedge.guards import azure
from llmedge.guards.interfaces import Judgement
from tests.guards.asking import CANARY, Checking, guardrail, place

TOML = 'type = "azure"\nurl = "http://127.0.0.1:8100"\napi_key = "azure-key"\n'
HARM = TOML + 'checks = ["harm"]\n'
SHIELD = TOML + 'checks = ["shield"]\n'


def analysis(hate: int = 0, violence: int = 0, **more: Any) -> dict[str, Any]:
    severities = {"Hate": hate, "SelfHarm": 0, "Sexual": 0, "Violence": violence}
    categories = [{"category": name, "severity": severity} for name, severity in severities.items()]
    return {"categoriesAnalysis": categories, "blocklistsMatch": []} | more


BLOCKLIST = [{"blocklistName": "b", "blocklistItemId": "1", "blocklistItemText": CANARY}]
HARMS: tuple[tuple[Any, Any], ...] = (
    (analysis(), Judgement()),
    (analysis(hate=2), Judgement()),
    (analysis(hate=4), Judgement("block", "azure", finds={"HATE": 1})),
    (analysis(hate=6, violence=4), Judgement("block", "azure", finds={"HATE": 1, "VIOLENCE": 1})),
    (analysis(blocklistsMatch=BLOCKLIST), Judgement("block", "azure", finds={"BLOCKLIST": 1})),
    ({"categoriesAnalysis": []}, "answer"),
    ({"categoriesAnalysis": [{"category": "Hate", "severity": 0}]}, "answer"),
    ({"categoriesAnalysis": [{"category": "Hate", "severity": "high"}]}, "answer"),
    ({"error": {"code": "InvalidRequestBody"}}, "answer"),
)
USERS = {"userPromptAnalysis": {"attackDetected": False}}
DOCUMENTS = {"documentsAnalysis": [{"attackDetected": False}]}
ATTACK = {"attackDetected": True}
BLOCKED = Judgement("block", "azure", finds={"ATTACK": 1})
SHIELDS: tuple[tuple[Any, Any, Any], ...] = (
    ("request", USERS | {"documentsAnalysis": []}, Judgement()),
    ("request", {"userPromptAnalysis": ATTACK}, BLOCKED),
    ("request", DOCUMENTS, "answer"),
    ("request", {"userPromptAnalysis": {}}, "answer"),
    ("tool_results", DOCUMENTS, Judgement()),
    ("tool_results", {"documentsAnalysis": [ATTACK], **USERS}, BLOCKED),
    ("tool_results", USERS, "answer"),
    ("tool_results", {"documentsAnalysis": [{"attackDetected": False}] * 2}, "answer"),
    ("system", {"documentsAnalysis": [ATTACK]}, BLOCKED),
)


class Asking(Checking):
    def test_harm(self) -> None:
        """Texts are put together, each on its line."""
        self.begin(HARM)
        judging = self.check(place("one"), place(""), place(CANARY, "tool_results"))
        service = self.service()
        line, headers = service.head
        self.assertEqual(line, "POST /contentsafety/text:analyze?api-version=2024-09-01 HTTP/1.1")
        self.assertEqual(headers["ocp-apim-subscription-key"], "azure-key")
        categories = ["Hate", "SelfHarm", "Sexual", "Violence"]
        asked = {"text": f"one\n{CANARY}", "categories": categories, "outputType": "FourSeverityLevels"}
        self.assertEqual(service.asked, asked)
        service.answer(analysis())
        self.assertEqual(self.successResultOf(judging), Judgement())

    def test_answers_of_harm(self) -> None:
        for said, means in HARMS:
            self.begin(HARM)
            judging = self.check(place(CANARY))
            self.service().answer(said)
            self.means(judging, means)

    def test_answers_of_the_shield(self) -> None:
        """What a user says is the prompt; all else is documents."""
        for where, said, means in SHIELDS:
            self.begin(SHIELD)
            judging = self.check(place(CANARY, where))
            service = self.service()
            asked = {"userPrompt": CANARY} if where == "request" else {"documents": [CANARY]}
            self.assertEqual(service.asked, asked)
            self.assertIn("text:shieldPrompt?", service.head[0])
            service.answer(said)
            self.means(judging, means)

    def means(self, judging: Any, means: Any) -> None:
        if isinstance(means, Judgement):
            self.assertEqual(self.successResultOf(judging), means)
        else:
            self.fails(judging, means)

    def test_of_an_answer(self) -> None:
        """Nobody attacks in it."""
        self.begin(SHIELD)
        self.assertEqual(self.judged(place(CANARY, "response"), of="response"), Judgement())
        self.assertEqual(self.reactor.tcpClients, [])

    def test_settings(self) -> None:
        self.begin(HARM + 'categories = ["Violence"]\nseverity = 2\nblocklists = ["b"]\napi_version = "2025-01-01"')
        judging = self.check(place("x"))
        service = self.service()
        self.assertEqual(
            [service.asked[name] for name in ("categories", "blocklistNames", "haltOnBlocklistHit")],
            [["Violence"], ["b"], False],
        )
        self.assertIn("api-version=2025-01-01", service.head[0])
        service.answer({"categoriesAnalysis": [{"category": "Violence", "severity": 2}]})
        self.assertEqual(self.successResultOf(judging).finds, {"VIOLENCE": 1})

    def test_long_texts(self) -> None:
        """Are asked about in pieces that hold all of it; one of them is enough."""
        self.patch(azure, "MOST", 10)
        self.begin(HARM)
        judging = self.check(place("12345678 90123456"), place("x"))
        first, second = self.service(), self.service()
        self.assertEqual([first.asked["text"], second.asked["text"]], ["12345678 ", "90123456\nx"])
        first.answer(analysis())
        second.answer(analysis(hate=4))
        self.assertEqual(self.successResultOf(judging).verdict, "block")

    def test_configuration(self) -> None:
        for toml, words in (
            (TOML.replace('url = "http://127.0.0.1:8100"', ""), "needs url"),
            (TOML.replace('api_key = "azure-key"', ""), "needs api_key"),
            (TOML + 'api_version = "1 HTTP/1.1"', "api_version must be one of Azure's"),
            (TOML + "checks = []", "checks must have something to check"),
            (TOML + 'categories = ["Hats"]', "must be one of Hate"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, toml)))
        self.assertNotIn("azure-key", repr(guardrail(TOML)))
