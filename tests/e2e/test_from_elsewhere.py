"""SDKs that are set up for other servers → a real ``twist llmedge``: nothing is changed but where that is."""

from __future__ import annotations

import io

import anthropic
import openai
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.service import CANARY_KEY, TIMEOUT, Gateway

TOML = f'[[auth.keys]]\nname = "a"\nkey = "{CANARY_KEY}"\n[providers.m]\nvendor = "mock"\nmodels = ["*"]\n'
HELLO = [{"role": "user", "content": "hello"}]


class FromElsewhere(TestCase):
    timeout = TIMEOUT

    async def test_base_urls(self) -> None:
        gateway = await Gateway(TOML).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

        def work() -> None:
            for below in ("", "/", "/v1/", "//v1", "/openai/v1/"):
                with openai.OpenAI(base_url=gateway.url + below, api_key=CANARY_KEY, max_retries=0) as client:
                    self.use(client, "a/model")
            for deployment in (None, "of/its/own"):
                with openai.AzureOpenAI(
                    azure_endpoint=gateway.url,
                    azure_deployment=deployment,
                    api_version="2024-10-21",
                    api_key=CANARY_KEY,
                    max_retries=0,
                ) as azure:
                    self.use(azure, "a/model")
            for below in ("", "/", "//"):
                with anthropic.Anthropic(base_url=gateway.url + below, api_key=CANARY_KEY, max_retries=0) as claude:
                    claude.messages.create(model="c", max_tokens=9, messages=HELLO)
            with anthropic.Anthropic(base_url=f"{gateway.url}/v1", api_key=CANARY_KEY, max_retries=0) as claude:
                with self.assertRaisesRegex(anthropic.NotFoundError, "Did you mean /v1/messages"):
                    claude.messages.create(model="c", max_tokens=9, messages=HELLO)

        await deferToThread(work)

    def use(self, client: openai.OpenAI, model: str) -> None:
        client.chat.completions.create(model=model, messages=HELLO)
        list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
        client.embeddings.create(model=model, input="x")
        client.audio.transcriptions.create(model=model, file=("a.mp3", io.BytesIO(b"x" * 3000), "audio/mpeg"))
        if not isinstance(client, openai.AzureOpenAI) or client._azure_deployment is None:
            client.responses.create(model=model, input="x")
            client.models.list()
