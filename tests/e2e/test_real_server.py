"""The openai package → a real ``twist llmedge`` → llama.cpp's real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client
from tests.e2e.service import CANARY_KEY, CANARY_VENDOR, TIMEOUT, Gateway, LlamaServer, until
from tests.fakes import request

ASK: dict[str, Any] = {
    "model": "gpt-4",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 12,
    "temperature": 0,
}


class RealServer(TestCase):
    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.llama = await LlamaServer(api_key=CANARY_VENDOR).start()
        self.addCleanup(lambda: self._ended(self.llama))
        self.gateway = await Gateway(self.toml(CANARY_VENDOR)).start()
        self.addCleanup(lambda gateway=self.gateway: self._ended(gateway))

    def _ended(self, thing: Any) -> Any:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(thing.stop())

    def toml(self, api_key: str) -> str:
        return (
            f'[[auth.keys]]\nname = "tests"\nkey = "{CANARY_KEY}"\n'
            f'[providers.local]\nbase_url = "http://127.0.0.1:{self.llama.port}/v1"\napi_key = "{api_key}"\n'
            '[models."gpt-4"]\ntargets = ["local/tiny"]\n'
        )

    def client(self, **kw: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=CANARY_KEY, max_retries=0, **kw)

    async def with_sdk(self, work: Callable[[openai.OpenAI], Any]) -> Any:
        def run() -> Any:
            with self.client() as client:
                return work(client)

        return await deferToThread(run)

    async def test_chat(self) -> None:
        """An answer, typed and whole; the same one streamed, with and without usage."""

        def work(client: openai.OpenAI) -> None:
            answer = client.chat.completions.create(**ASK)
            text = answer.choices[0].message.content
            self.assertEqual(len(text), 12)
            self.assertEqual(answer.choices[0].finish_reason, "length")
            self.assertEqual((answer.model, answer.usage.completion_tokens), ("tiny", 12))
            chunks = list(client.chat.completions.create(**ASK, stream=True))
            self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), text)
            self.assertEqual(chunks[-1].choices[0].finish_reason, "length")
            self.assertTrue(all(chunk.usage is None for chunk in chunks))
            chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
            self.assertEqual((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 12))

        await self.with_sdk(work)
        await until(lambda: len(self.gateway.access()) == 3, "three access lines")
        whole, streamed, asked = self.gateway.access()
        for fields in (whole, streamed, asked):
            self.assertEqual((fields["output_tokens"], fields["outcome"], fields["caller"]), (12, "ok", "tests"))
            self.assertEqual(fields["attempts"][0]["target"], "local/tiny")

    async def test_parameters(self) -> None:
        """n, stop, logprobs, max_tokens and legacy completions do at the server what the client asked."""

        def work(client: openai.OpenAI) -> None:
            text = client.chat.completions.create(**ASK).choices[0].message.content
            stopped = client.chat.completions.create(**ASK, stop=[text[4:6]])
            self.assertEqual((stopped.choices[0].message.content, stopped.choices[0].finish_reason), (text[:4], "stop"))
            several = client.chat.completions.create(**ASK, n=2)
            self.assertEqual([choice.index for choice in several.choices], [0, 1])
            likely = client.chat.completions.create(**ASK, logprobs=True, top_logprobs=2)
            self.assertEqual(len(likely.choices[0].logprobs.content[0].top_logprobs), 2)
            short = client.chat.completions.create(**(ASK | {"max_tokens": 3}))
            self.assertEqual(short.usage.completion_tokens, 3)
            legacy = {"model": "gpt-4", "prompt": "once upon", "max_tokens": 5, "temperature": 0}
            whole = client.completions.create(**legacy)
            self.assertEqual(whole.usage.completion_tokens, 5)
            pieces = client.completions.create(**legacy, stream=True)
            self.assertEqual("".join(p.choices[0].text for p in pieces), whole.choices[0].text)
            several_streams = list(client.chat.completions.create(**ASK, n=2, stream=True))
            self.assertEqual({c.choices[0].index for c in several_streams if c.choices}, {0, 1})
            self.assertEqual([model.id for model in client.models.list()], ["gpt-4", "local/tiny"])
            self.assertEqual(client.models.retrieve("gpt-4").owned_by, "local")

        await self.with_sdk(work)

    async def test_errors(self) -> None:
        """SDKs raise their own exception classes, with the server's own words and codes."""

        def work(client: openai.OpenAI) -> None:
            long = ASK | {"messages": [{"role": "user", "content": "word " * 3000}]}
            for stream in (False, True):
                with self.assertRaises(openai.BadRequestError) as caught:
                    client.chat.completions.create(**long, stream=stream)
                self.assertEqual(caught.exception.code, "exceed_context_size_error")
                self.assertIn("exceeds the available context size", caught.exception.message)
            with self.assertRaises(openai.NotFoundError):
                client.chat.completions.create(**(ASK | {"model": "nope"}))
            with self.assertRaises(openai.BadRequestError):  # the server says so itself
                client.chat.completions.create(**(ASK | {"temperature": "hot"}))
            with self.assertRaises(openai.AuthenticationError):
                client.with_options(api_key="wrong").chat.completions.create(**ASK)

        await self.with_sdk(work)

    async def test_a_thousand_requests_on_few_connections(self) -> None:
        """Keep-alive holds on both sides: all succeed, and the server saw few connections."""

        def work() -> int:
            with self.client() as client:
                return sum(
                    client.chat.completions.create(**(ASK | {"max_tokens": 1})).usage.completion_tokens
                    for _ in range(250)
                )

        counts = await gatherResults([deferToThread(work) for _ in range(4)])
        self.assertEqual(sum(counts), 1000)
        await until(lambda: len(self.gateway.access()) == 1000, "1000 access lines")
        opened = [a for fields in self.gateway.access() for a in fields["attempts"] if not a["reused"]]
        self.assertLess(len(opened), 40)  # the server closes each connection after a hundred requests

    async def test_two_hundred_streams_at_once(self) -> None:
        """Each is complete and equal to the answer asked for alone."""
        body = ASK | {"stream": True, "max_tokens": 24}

        async def stream() -> str:
            client = await Client.connect(self.gateway.port)
            client.send(request(body=body, headers={"x-api-key": CANARY_KEY}))
            response = await client.response()
            assert response.complete, response
            assert response.events()[-1:] == ["[DONE]"], response
            client.leave()
            chunks = [json.loads(event) for event in response.events()[:-1]]
            return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

        from twisted.internet.defer import Deferred

        alone = await stream()
        texts = await gatherResults([Deferred.fromCoroutine(stream()) for _ in range(200)])
        self.assertEqual(set(texts), {alone})
        await until(lambda: len(self.gateway.access()) == 201, "201 access lines")

    async def test_the_server_goes_down(self) -> None:
        """A dead server is a 502 that names the provider, at once."""
        await self.llama.stop()
        self.llama.stop = self._nothing  # type: ignore[method-assign]

        def work(client: openai.OpenAI) -> None:
            with self.assertRaises(openai.InternalServerError) as caught:
                client.chat.completions.create(**ASK)
            self.assertEqual((caught.exception.status_code, caught.exception.code), (502, "UPSTREAM_ERROR"))
            self.assertIn("The provider 'local' could not be reached: connection refused", caught.exception.message)

        await self.with_sdk(work)

    async def _nothing(self) -> int:
        return 0

    async def test_our_credentials_are_refused(self) -> None:
        """The vendor's 401 is our 502, and the credential is nowhere in it."""
        gateway = await Gateway(self.toml("wrong-" + CANARY_VENDOR)).start()
        self.addCleanup(lambda: self._ended(gateway))
        self.gateway, before = gateway, self.gateway

        def work(client: openai.OpenAI) -> None:
            with self.assertRaises(openai.InternalServerError) as caught:
                client.chat.completions.create(**ASK)
            self.assertEqual(caught.exception.status_code, 502)
            self.assertIn("refused the gateway's credentials", caught.exception.message)
            self.assertNotIn(CANARY_VENDOR, str(caught.exception.body))

        await self.with_sdk(work)
        self.assertNotIn(CANARY_VENDOR, gateway.process.out + before.process.out)

    async def test_leaving_stops_the_server(self) -> None:
        """The server's slot is free again when the client has left: nobody generates the other thousand tokens."""
        client = await Client.connect(self.gateway.port)
        client.send(request(body=ASK | {"stream": True, "max_tokens": 1000}, headers={"x-api-key": CANARY_KEY}))
        await client.wait_for(b"data: ")
        client.leave()
        await until(lambda: bool(self.gateway.access()), "an access line")
        self.assertEqual(self.gateway.access()[0]["outcome"], "client_closed")
