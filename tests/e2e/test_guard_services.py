"""Guardrails that ask a service, on the real gateway: one that is slow, dead, wrong or lying lets nothing pass that is
closed, and all that is open, with a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.defer import Deferred

from tests.e2e.service import until
from tests.e2e.test_clouds import ACCESS, SECRET, SESSION, botocore, signature_of
from tests.e2e.vendor import ANSWER, Asked, Vendor
from tests.e2e.with_vendor import WithVendor
from tests.fakes import CHAT, Response, write_service_account

CANARY = "canary-guarded-62e0"
GUARD = """
[[guardrails]]
name = "{name}"
type = "webhook"
mode = "enforce"
url = "http://127.0.0.1:{port}"
api_key = "canary-guard-key-3b"
timeout = {timeout}
models = ["{name}"]
{more}
"""


def answers(status: int, document: Any) -> Callable[[Asked], None]:
    return lambda asked: asked.connection.answer(status, document)


def sends(data: bytes, close: bool = False) -> Callable[[Asked], None]:
    def script(asked: Asked) -> None:
        asked.connection.send(data)
        if close:
            asked.connection.close()

    return script


GOOD = answers(200, {"action": "NONE"})
SLOW: dict[str, Callable[[Asked], None]] = {
    "silent": lambda asked: None,
    "stalls in the head": sends(b"HTTP/1.1 200 OK\r\ncontent-"),
    "stalls in the body": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"action": "NONE"'),
}
WRONG: dict[str, Callable[[Asked], None]] = {
    "resets": lambda asked: asked.connection.reset(),
    "cut": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"action": "NONE"', close=True),
    "no HTTP": sends(b"+PONG\r\n", close=True),
    "500": answers(500, {"action": "NONE"}),
    "404": answers(404, {"action": "NONE"}),
    "400": answers(400, {"action": "NONE"}),
    "redirect": lambda asked: asked.connection.answer(302, {"action": "NONE"}, location="http://127.0.0.1:9/"),
    "no JSON": answers(200, b"NONE"),
    "empty": answers(200, b""),
    "no verdict": answers(200, {"texts": None}),
    "unknown verdict": answers(200, {"action": "ALLOW"}),
    "verdict of another type": answers(200, {"action": True}),
    "too few texts": answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": []}),
    "too many texts": answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": ["a", "b", "c"]}),
    "texts of another type": answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": [1]}),
    "without an end": sends(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + b" " * 2_000_000),
}


def said(response: Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"])


class Guarded(WithVendor):
    async def begin_guarded(self, *guards: str, timeout: float = 60.0) -> None:
        """A gateway with guardrails called ``guards``, each for the model of its name."""
        self.answer: Callable[[Asked], None] = GOOD
        self.service = service = Vendor(lambda asked: self.answer(asked))
        self.addCleanup(lambda: Deferred.fromCoroutine(service.stop()))
        toml = "".join(
            GUARD.format(name=name, port=service.port, timeout=timeout, more=more)
            for name, _, more in (each.partition("\n") for each in guards)
        )
        await self.begin(lambda asked: asked.connection.answer(200, ANSWER), toml)

    async def chat(self, model: str, text: str = CANARY, **fields: Any) -> tuple[Response, dict[str, Any]]:
        """What is answered, and what the record says of the guardrail."""
        before = len(self.gateway.access())
        response = await self.ask(CHAT | {"model": model, "messages": [{"role": "user", "content": text}]} | fields)
        await until(lambda: len(self.gateway.access()) > before, "an access line")
        (told,) = self.gateway.access()[-1]["guardrails"]
        return response, told

    def leaks_nothing(self) -> None:
        """What was said, and the service's key, are in nothing that the gateway wrote."""
        for secret in (CANARY, "canary-guard-key-3b", SECRET, "canary-azure-key"):
            self.assertNotIn(secret, self.gateway.process.out + self.gateway.process.err)


class Services(Guarded):
    async def keeps_well(self) -> None:
        """So that one failure after another is not left alone."""
        self.answer = GOOD
        for model in ("closed", "open") * 2:
            response, _ = await self.chat(model)
            self.assertEqual(response.status, 200)

    async def fails(self, cause: str = "") -> None:
        """What is closed is refused, and its vendor not asked; what is open passes, with a record."""
        asked, questions = len(self.vendor.asked), len(self.service.asked)
        response, told = await self.chat("closed")
        self.assertEqual((response.status, response.error["code"]), (503, "guardrail_unavailable"))
        self.assertEqual((told["verdict"], told["mode"]), ("unavailable", "enforce"))
        self.assertEqual(len(self.vendor.asked), asked)
        response, told = await self.chat("open")
        self.assertEqual((response.status, told["verdict"]), (200, "open"))
        self.assertEqual(len(self.vendor.asked), asked + 1)
        if cause:
            self.assertEqual(told["cause"], cause)
            self.assertEqual(len(self.service.asked), questions + 2)

    async def test_slow(self) -> None:
        """It is given up after its time, and its connection closed."""
        await self.begin_guarded("closed", 'open\non_failure = "open"', timeout=0.3)
        for name, script in SLOW.items():
            self.answer = script
            await self.fails("timeout")
            for asked in self.service.asked[-2:]:
                await until(lambda asked=asked: asked.connection.closed_at is not None, f"{name}: its end")
            await self.keeps_well()
        self.leaks_nothing()

    async def test_wrong(self) -> None:
        await self.begin_guarded("closed", 'open\non_failure = "open"')
        for script in WRONG.values():
            self.answer = script
            cause = "answer" if script in list(WRONG.values())[5:-1] else "unavailable"
            await self.fails(cause)
            await self.keeps_well()
        self.leaks_nothing()

    async def test_dead(self) -> None:
        """Nobody listens; and after a while nobody asks."""
        await self.begin_guarded("closed", 'open\non_failure = "open"')
        await self.service.stop()
        for _ in range(8):
            await self.fails()
        self.assertIn("is left alone: 5 in a row failed", self.gateway.process.out)

    async def test_answers(self) -> None:
        """Of an answer that cannot be judged the client sees nothing, streamed or not."""
        await self.begin_guarded('closed\non = ["response"]', 'open\non = ["response"]\non_failure = "open"')
        self.answer = answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": []})
        response, told = await self.chat("closed")
        self.assertEqual((response.status, told["on"]), (503, "response"))
        self.assertNotIn(b"hello", response.body)
        response, told = await self.chat("open")
        self.assertEqual((said(response), told["verdict"], told["cause"]), ("hello", "open", "answer"))
        self.answer = answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": ["bye"]})
        response, told = await self.chat("closed")
        self.assertEqual((said(response), told["verdict"]), ("bye", "change"))
        self.answer = answers(200, {"action": "BLOCKED", "blocked_reason": CANARY})
        response, told = await self.chat("closed")
        self.assertEqual((response.json()["choices"][0]["finish_reason"], told["verdict"]), ("content_filter", "block"))
        self.assertNotIn(b"hello", response.body)
        self.leaks_nothing()

    async def test_verdicts(self) -> None:
        """What it blocks is refused without its reason, what it changes goes on changed; one connection does."""
        await self.begin_guarded("closed")
        for _ in range(3):
            response, told = await self.chat("closed")
            self.assertEqual((response.status, told["verdict"]), (200, "pass"))
        self.answer = answers(200, {"action": "BLOCKED", "blocked_reason": f"has {CANARY}"})
        response, told = await self.chat("closed")
        self.assertEqual((response.status, response.error["code"]), (400, "content_policy_violation"))
        self.assertEqual((told["verdict"], told["reason"]), ("block", "webhook"))
        self.assertNotIn(CANARY.encode(), response.body)
        self.answer = answers(200, {"action": "GUARDRAIL_INTERVENED", "texts": ["[NAME]"]})
        response, told = await self.chat("closed")
        self.assertEqual((response.status, told["verdict"]), (200, "change"))
        self.assertEqual(self.vendor.asked[-1].json()["messages"], [{"role": "user", "content": "[NAME]"}])
        self.assertEqual(len(self.service.connections), 1)
        self.assertEqual(self.service.asked[0].headers["x-api-key"], "canary-guard-key-3b")
        self.leaks_nothing()


CLOUDS = """
[[guardrails]]
name = "bedrock"
type = "bedrock"
mode = "enforce"
models = ["bedrock"]
guardrail = "gr1"
region = "eu-central-1"
access_key = "{access}"
secret_key = "{secret}"
session_token = "{session}"
url = "http://127.0.0.1:{port}"
timeout = 60
[[guardrails]]
name = "azure"
type = "azure"
mode = "enforce"
models = ["azure"]
url = "http://127.0.0.1:{port}"
api_key = "canary-azure-key"
timeout = 60
[[guardrails]]
name = "model_armor"
type = "model_armor"
mode = "enforce"
models = ["model_armor"]
template = "projects/p/locations/l/templates/t"
credentials = "{account}"
token_url = "http://127.0.0.1:{port}/token"
url = "http://127.0.0.1:{port}"
timeout = 60
[[guardrails]]
name = "moderation"
type = "moderation"
mode = "enforce"
models = ["moderation"]
model = "v/omni"
timeout = 60
[[guardrails]]
name = "judge"
type = "judge"
mode = "enforce"
models = ["judge"]
model = "v/small"
policy = "No talk of canaries."
timeout = 60
"""
SEVERITIES = ("Hate", "SelfHarm", "Sexual", "Violence")


def cloud(asked: Asked) -> None:
    """All of their services: each finds the canary, and nothing else."""
    connection, found = asked.connection, CANARY.encode() in asked.body
    path = asked.line.split(" ")[1]
    if path == "/token":
        connection.answer(200, {"access_token": "access-1", "expires_in": 3600})
    elif path.startswith("/guardrail/"):
        filters = [{"type": "MISCONDUCT", "action": "BLOCKED"}]
        acted = {"action": "GUARDRAIL_INTERVENED", "assessments": [{"contentPolicy": {"filters": filters}}]}
        signed = asked.headers["authorization"] == signature_of(asked)
        connection.answer(200 if signed else 403, acted if found else {"action": "NONE"})
    elif "text:analyze" in path:
        severities = [{"category": name, "severity": 6 if found else 0} for name in SEVERITIES]
        connection.answer(200, {"categoriesAnalysis": severities})
    elif "text:shieldPrompt" in path:
        connection.answer(200, {"userPromptAnalysis": {"attackDetected": False}, "documentsAnalysis": []})
    elif "sanitizeUserPrompt" in path:
        state = "MATCH_FOUND" if found else "NO_MATCH_FOUND"
        results = {"rai": {"raiFilterResult": {"matchState": state}}}
        result = {"filterMatchState": state, "invocationResult": "SUCCESS", "filterResults": results}
        connection.answer(200, {"sanitizationResult": result})


def vendor(asked: Asked) -> None:
    """Answers, moderates and judges."""
    body, found = asked.json(), CANARY.encode() in asked.body
    if asked.line.startswith("POST /v1/moderations "):
        result = {"flagged": found, "categories": {"hate": found}, "category_scores": {"hate": 0.75}}
        asked.connection.answer(200, {"id": "m", "model": "omni", "results": [result] * len(body["input"])})
    elif body["model"] == "small":
        message = {"role": "assistant", "content": json.dumps({"violation": found, "score": 0.75})}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        asked.connection.answer(200, ANSWER | {"choices": [choice]})
    else:
        asked.connection.answer(200, ANSWER)


FOUND = {
    "bedrock": {"MISCONDUCT": 1},
    "azure": {"HATE": 1, "SELFHARM": 1, "SEXUAL": 1, "VIOLENCE": 1},
    "model_armor": {"RAI": 1},
    "moderation": {"HATE": 1},
    "judge": {"POLICY": 1},
}


class Clouds(Guarded):
    async def test_each(self) -> None:
        """Of each vendor: its verdict, its record, and nothing of what was said."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()).decode()
        account = write_service_account(private_key=pem)
        self.service = service = Vendor(cloud)
        self.addCleanup(lambda: Deferred.fromCoroutine(service.stop()))
        given = {"port": service.port, "account": account, "access": ACCESS, "secret": SECRET, "session": SESSION}
        toml = CLOUDS.format(**given)
        if botocore is None:
            toml = toml.replace(f'access_key = "{ACCESS}"', 'api_key = "x"')
        await self.begin(vendor, toml)
        for name, finds in FOUND.items():
            if name == "bedrock" and botocore is None:
                continue
            response, told = await self.chat(name, "hello")
            self.assertEqual((response.status, told["verdict"]), (200, "pass"), name)
            response, told = await self.chat(name)
            self.assertEqual((response.status, response.error["code"]), (400, "content_policy_violation"), name)
            self.assertEqual((told["verdict"], told["finds"]), ("block", finds))
        self.leaks_nothing()
