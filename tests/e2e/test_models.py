"""``/v1/models`` of a real ``twist llmedge``: what vendors list, shown to real clients."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import anthropic
import openai
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.client import wait
from tests.e2e.service import CANARY_VENDOR, TIMEOUT, Gateway, LlamaServer, until
from tests.e2e.vendor import Asked, Vendor


def script(asked: Asked) -> None:
    """Lists as OpenAI's, Anthropic's and Gemini's, to who shows the key as each wants it; one that never answers."""
    method, path, _ = asked.line.split(" ")
    assert method == "GET", asked.line
    key = f"key-{CANARY_VENDOR}"
    if path == "/v1/models" and asked.headers.get("authorization") == f"Bearer {key}":
        asked.connection.answer(200, {"object": "list", "data": [{"id": "o-1", "secret": key}, {"id": "else"}]})
    elif path == "/v1/models?limit=1000" and asked.headers.get("x-api-key") == key:
        assert asked.headers["anthropic-version"] == "2023-06-01"
        asked.connection.answer(200, {"data": [{"type": "model", "id": "claude-x"}], "has_more": False})
    elif path == "/v1beta/models?pageSize=1000" and asked.headers.get("x-goog-api-key") == key:
        model = {"name": "models/gemini-x", "inputTokenLimit": 77, "outputTokenLimit": 7}
        asked.connection.answer(200, {"models": [model]})
    elif path == "/broken/models":
        asked.connection.answer(500, {"error": key})


class Models(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str) -> Gateway:
        gateway = Gateway(toml)
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await gateway.start()
        return gateway

    async def test_vendors_lists(self) -> None:
        """In the asker's shape; a vendor that fails or is silent holds nobody up for long, and says so in one line."""
        vendor = Vendor(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        at, key = f"http://127.0.0.1:{vendor.port}", f'api_key = "key-{CANARY_VENDOR}"'
        gateway = await self.begin(
            f'[providers.plain]\nbase_url = "{at}/v1"\n{key}\nmodels = ["o-*"]\n'
            f'[providers.anthropic]\nvendor = "anthropic"\nbase_url = "{at}"\n{key}\nmodels = ["claude-*"]\n'
            f'[providers.gemini]\nvendor = "gemini"\nbase_url = "{at}"\n{key}\nmodels = []\n'
            f'[providers.broken]\nbase_url = "{at}/broken"\n{key}\n'
            f'[providers.silent]\nbase_url = "{at}/silent"\n'
            '[models."mine"]\ntargets = ["plain/o-1"]\n'
            '[[auth.keys]]\nname = "all"\nkey = "key-all"\n'
            '[[auth.keys]]\nname = "some"\nkey = "key-some"\nmodels = ["mine", "gemini/*"]\n'
        )
        names = ["claude-x", "gemini/gemini-x", "mine", "o-1", "plain/else"]

        def fetch(path: str, key: str, **headers: str) -> Any:
            headers |= {"authorization": f"Bearer {key}"}
            with urlopen(Request(f"{gateway.url}{path}", headers=headers)) as answer:
                return json.load(answer)

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="key-all", max_retries=0) as client:
                listed = list(client.models.list())
                self.assertEqual([model.id for model in listed], names)
                owners = [model.owned_by for model in listed]
                self.assertEqual(owners, ["anthropic", "gemini", "plain", "plain", "plain"])
                self.assertEqual({str(model.model_extra) for model in listed}, {"{}"})
                self.assertEqual(client.models.retrieve("plain/else").owned_by, "plain")
            with anthropic.Anthropic(base_url=gateway.url, api_key="key-all", max_retries=0) as client:
                self.assertEqual([model.id for model in client.models.list()], names)
            shown = {model["baseModelId"]: model for model in fetch("/v1beta/models", "key-all")["models"]}
            self.assertEqual(shown["gemini/gemini-x"]["inputTokenLimit"], 77)
            self.assertEqual(fetch("/v1beta/models/gemini/gemini-x", "key-all")["outputTokenLimit"], 7)
            some = fetch("/v1/models", "key-some")["data"]
            self.assertEqual([model["id"] for model in some], ["gemini/gemini-x", "mine"])

        await deferToThread(work)
        self.assertEqual(len(vendor.asked), 5)
        lines = [line for line in gateway.logs() if "could not be listed" in json.dumps(line)]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("The provider 'broken' answered with status 500", json.dumps(lines))
        self.assertNotIn(CANARY_VENDOR, gateway.process.out)

    async def test_a_real_server(self) -> None:
        """llama.cpp's own list; the last good one when it has gone."""
        llama = await LlamaServer(api_key=CANARY_VENDOR).start()
        alive = [llama]
        self.addCleanup(lambda: Deferred.fromCoroutine(alive.pop().stop()) if alive else None)
        gateway = await self.begin(
            f'[providers.llamacpp]\nbase_url = "http://127.0.0.1:{llama.port}/v1"\napi_key = "{CANARY_VENDOR}"\n'
            'models = ["tiny*"]\n[upstream]\nmodels_refresh = 0.1\n'
        )

        def names() -> list[str]:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
                listed = [model.id for model in client.models.list()]
                self.assertEqual(client.models.retrieve(listed[0]).owned_by, "llamacpp")
                return listed

        self.assertEqual(await deferToThread(names), ["tiny"])
        await alive.pop().stop()
        await wait(0.2)
        self.assertEqual(await deferToThread(names), ["tiny"])
        await until(lambda: "could not be listed" in gateway.process.out, "a line about it")
        self.assertEqual(await deferToThread(names), ["tiny"])
