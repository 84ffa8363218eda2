"""Clouds that are fakes on loopback, asked through a real ``twist llmedge`` by the vendors' clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import parse_qs

import anthropic
import openai
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from llmedge.dialects import ir
from llmedge.dialects.bedrock import Bedrock as BedrockDialect
from llmedge.dialects.dialect import ResponseContext as Wanted
from llmedge.model import Usage
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import Asked, Vendor
from tests.fakes import write_service_account

try:
    import botocore  # type: ignore[import-not-found]
except ImportError:
    botocore = None

ACCESS, SECRET, SESSION = "AKIDCANARY1", "canary-aws-secret-51aa", "canary-aws-session-77"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


def signature_of(asked: Asked) -> str:
    """The signature botocore makes of what was asked, at the same second."""
    from botocore import auth, awsrequest, credentials

    method, path, _ = asked.line.split(" ")
    request = awsrequest.AWSRequest(method=method, url=f"http://{asked.headers['host']}{path}", data=asked.body)
    signer = auth.SigV4Auth(credentials.ReadOnlyCredentials(ACCESS, SECRET, SESSION), "bedrock", "eu-central-1")
    at = datetime.strptime(asked.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with mock.patch.object(auth, "get_current_datetime", return_value=at):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


def converse(asked: Asked) -> None:
    """Bedrock: refuses a bad signature, else greets, whole or as an event stream."""
    shown = asked.headers.get("authorization")
    if shown != "Bearer canary-api-key" and shown != signature_of(asked):
        asked.connection.answer(403, {"message": "The request signature does not match"})
        return
    body, usage = asked.json(), Usage(input=3, output=2)
    text = body["messages"][0]["content"][0]["text"]
    if text == "fail":
        document = {"message": f"model failed for {SECRET} and {ACCESS}"}
        asked.connection.answer(
            424, document, x_amzn_requestid="aws-1", x_amzn_errortype="ModelErrorException:http://i/"
        )
    elif text == "refuse":
        asked.connection.answer(400, {"message": f"not {SESSION}"}, x_amzn_errortype="ValidationException:http://i/")
    elif "/converse-stream" in asked.line:
        connection = asked.connection
        connection.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-2\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        events: list[Any] = [ir.Begin(), ir.Open(0, "text"), ir.Delta(0, "hello "), ir.Delta(0, "there")]
        events += [ir.Close(0), ir.Finish("stop"), ir.Counted(usage), ir.End()]
        for event in BedrockDialect().encoder(Wanted("m")).encode(events):
            connection.chunk(event.frame)
        connection.end()
    else:
        said = ir.Answer((ir.Choice((ir.Text("hello there"),), "stop"),), usage=usage)
        asked.connection.answer(200, BedrockDialect().render_answer(said, Wanted("m")), x_amzn_requestid="aws-3")


class Clouds(TestCase):
    timeout = TIMEOUT

    async def begin(self, script: Any, toml: str, **environ: str) -> tuple[Vendor, Gateway]:
        vendor = Vendor(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        gateway = Gateway(toml.replace("URL", f"http://127.0.0.1:{vendor.port}"), environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await gateway.start()
        return vendor, gateway

    async def refused(self, toml: str) -> str:
        """What ``--check`` says of a configuration that is not good."""
        gateway = Gateway(toml, arguments=("--check",))
        gateway.process.ready.addErrback(lambda failure: None)  # it never is
        gateway.launch()
        self.assertEqual(await gateway.process.ended, 1)
        self.assertNotIn("Traceback", gateway.process.err)
        return gateway.process.err


class Bedrock(Clouds):
    skip = None if botocore else "botocore is not installed (extra bedrock)"

    toml = (
        '[providers.bedrock]\nvendor = "bedrock"\nbase_url = "URL"\nregion = "eu-central-1"\n'
        f'access_key = "{ACCESS}"\nsecret_key = "{SECRET}"\nsession_token = "{SESSION}"\n[routing]\nretries = 0\n'
    )

    async def test_signed(self) -> None:
        """An OpenAI client's chat, whole and streamed, signed as botocore signs it, the model's ARN quoted."""
        vendor, gateway = await self.begin(converse, self.toml)

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
                for model in ("bedrock/amazon.nova-lite-v1:0", f"bedrock/{PROFILE}"):
                    answer = client.chat.completions.create(model=model, **ASK)
                    self.assertEqual(answer.choices[0].message.content, "hello there")
                    self.assertEqual((answer.choices[0].finish_reason, answer.usage.total_tokens), ("stop", 5))
                    more = {"stream": True, "stream_options": {"include_usage": True}}
                    chunks = list(client.chat.completions.create(model=model, **ASK, **more))
                    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
                    self.assertEqual((text, chunks[-1].usage.total_tokens), ("hello there", 5))

        await deferToThread(work)
        paths = [asked.line.split(" ")[1] for asked in vendor.asked]
        self.assertEqual(
            paths[:2], [f"/model/amazon.nova-lite-v1%3A0/{end}" for end in ("converse", "converse-stream")]
        )
        self.assertIn("inference-profile%2Feu.anthropic", paths[2])
        await until(lambda: len(gateway.access()) == 4, "four access lines")
        ids = [fields["attempts"][0]["upstream_request_id"] for fields in gateway.access()]
        self.assertEqual(ids, ["aws-3", "aws-2"] * 2)

    async def test_failures(self) -> None:
        """A model's error is the vendor's; a refusal keeps its type; nothing says what the credentials are."""
        _, gateway = await self.begin(converse, self.toml)

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:

                def ask(text: str) -> Any:
                    messages: Any = [{"role": "user", "content": text}]
                    return client.chat.completions.create(model="bedrock/m", messages=messages)

                with self.assertRaises(openai.InternalServerError) as failed:
                    ask("fail")
                self.assertEqual(failed.exception.status_code, 502)
                self.assertIn("The provider 'bedrock' failed with status 424", failed.exception.message)
                with self.assertRaises(openai.BadRequestError) as refused:
                    ask("refuse")
                self.assertEqual(refused.exception.code, "ValidationException")
                for error in (failed.exception, refused.exception):
                    self.assertIn("***", error.message)
                    for secret in (ACCESS, SECRET, SESSION):
                        self.assertNotIn(secret, str(error.body))

        await deferToThread(work)
        for secret in (SECRET, SESSION):
            self.assertNotIn(secret, gateway.process.out)

    async def test_an_api_key_from_the_environment(self) -> None:
        toml = '[providers.bedrock]\nbase_url = "URL"\nmodels = ["*"]\n'
        keys = {"AWS_REGION": "eu-central-1", "AWS_BEARER_TOKEN_BEDROCK": "canary-api-key"}
        _, gateway = await self.begin(converse, toml, **keys)

        def work() -> None:
            with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as client:
                answer = client.messages.create(model="amazon.nova-lite-v1:0", **ASK)
                self.assertEqual((answer.content[0].text, answer.stop_reason), ("hello there", "end_turn"))

        await deferToThread(work)

    async def test_check(self) -> None:
        """One line and no traceback."""
        self.assertIn("needs region", await self.refused('[providers.bedrock]\napi_key = "k"\n'))
        self.assertIn("needs api_key, or access_key", await self.refused('[providers.bedrock]\nregion = "r"\n'))
        self.assertIn("needs credentials", await self.refused('[providers.vertex]\nlocation = "global"\n'))


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def vertex(asked: Asked) -> None:
    """Vertex, and Google's token endpoint."""
    line = asked.line.split(" ")[1]
    if line == "/token":
        assert "assertion" in parse_qs(asked.body.decode())
        asked.connection.answer(200, {"access_token": "canary-token-1", "expires_in": 3600, "token_type": "Bearer"})
    elif asked.headers.get("authorization") != "Bearer canary-token-1":
        asked.connection.answer(401, {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}})
    elif "count" in line:
        asked.connection.answer(200, {"totalTokens": 7, "input_tokens": 7})
    elif "/publishers/google/" in line:
        part = {"content": {"role": "model", "parts": [{"text": "from Gemini"}]}, "index": 0}
        usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
        document = {"candidates": [part | {"finishReason": "STOP"}], "usageMetadata": usage}
        if "streamGenerateContent?alt=sse" in line:
            asked.connection.begin_stream()
            asked.connection.event(document)
            asked.connection.end()
        else:
            asked.connection.answer(200, document)
    else:
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn"}
        content = [{"type": "text", "text": "from Claude"}]
        usage = {"input_tokens": 3, "output_tokens": 2}
        asked.connection.answer(200, message | {"content": content, "usage": usage, "stop_sequence": None})


class Vertex(Clouds):
    async def test_both_kinds_of_models(self) -> None:
        """Google's models in their dialect, Claude in Anthropic's, with one token for all."""
        key = f'credentials = "{write_service_account(private_key=KEY.decode())}"'
        toml = f'[providers.vertex]\nbase_url = "URL"\nlocation = "europe-west4"\ntoken_url = "URL/token"\n{key}\n'
        vendor, gateway = await self.begin(vertex, toml)

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
                answer = client.chat.completions.create(model="vertex/gemini-2.5-pro", **ASK)
                self.assertEqual(answer.choices[0].message.content, "from Gemini")
                chunks = list(client.chat.completions.create(model="vertex/gemini-2.5-pro", **ASK, stream=True))
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
                self.assertEqual(text, "from Gemini")
                answer = client.chat.completions.create(model="vertex/claude-opus-4-6@20260101", **ASK)
                self.assertEqual(answer.choices[0].message.content, "from Claude")
            with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as client:
                model = "vertex/claude-opus-4-6@20260101"
                self.assertEqual(client.messages.create(model=model, **ASK).content[0].text, "from Claude")
                counted = client.messages.count_tokens(model=model, messages=ASK["messages"])
                self.assertEqual(counted.input_tokens, 7)

        await deferToThread(work)
        at = "/v1/projects/p-1/locations/europe-west4/publishers"
        self.assertEqual(
            [asked.line.split(" ")[1] for asked in vendor.asked],
            [
                "/token",
                f"{at}/google/models/gemini-2.5-pro:generateContent",
                f"{at}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                f"{at}/anthropic/models/claude-opus-4-6@20260101:rawPredict",
                f"{at}/anthropic/models/claude-opus-4-6@20260101:rawPredict",
                f"{at}/anthropic/models/count-tokens:rawPredict",
            ],
        )
        bodies = [json.loads(asked.body) for asked in vendor.asked[3:]]
        self.assertEqual([body["anthropic_version"] for body in bodies], ["vertex-2023-10-16"] * 3)
        self.assertEqual(["model" in body for body in bodies], [False, False, True])

    async def test_a_service_account_that_is_refused(self) -> None:
        """Our trouble, said as such, and the key is nowhere."""
        key = f'credentials = "{write_service_account(private_key=KEY.decode())}"'
        toml = f'[providers.vertex]\nbase_url = "URL"\nlocation = "global"\ntoken_url = "URL/token"\n{key}\n'
        _, gateway = await self.begin(lambda asked: asked.connection.answer(400, {"error": "invalid_grant"}), toml)

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
                with self.assertRaises(openai.InternalServerError) as failed:
                    client.chat.completions.create(model="vertex/gemini-2.5-pro", **ASK)
                self.assertIn("The provider 'vertex' could not get an access token", failed.exception.message)

        await deferToThread(work)
        self.assertEqual(await gateway.stop(), 0)
        self.assertNotIn("PRIVATE", gateway.process.out)
