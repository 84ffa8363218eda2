"""Two real llama.cpp servers, one of them killed and started again now and then, under many streams."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client, wait
from tests.e2e.service import TIMEOUT, Gateway, LlamaServer, until
from tests.effort import so_many
from tests.fakes import request

KILLS = so_many(3, soak=20)
STREAMS = so_many(20, soak=50)
PROMPTS = ["hello", "a longer question about nothing", "the the the"]


class Killing(TestCase):
    timeout = TIMEOUT

    async def ask(self, prompt: str) -> str:
        """A stream, checked to its last byte; its text."""
        client = await Client.connect(self.gateway.port)
        messages = [{"role": "user", "content": prompt}]
        body = {"model": "m", "messages": messages, "max_tokens": 300, "temperature": 0, "stream": True}
        client.send(request(body=body))
        response = await client.response()
        client.leave()
        assert (response.status, response.complete) == (200, True), response
        *events, done = response.events()
        assert done == "[DONE]", response
        text, finishes = "", []
        for event in map(json.loads, events):
            assert "error" not in event, event
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                finishes += [choice["finish_reason"]] if choice["finish_reason"] else []
        assert finishes == ["length"], response
        return text

    async def test_every_answer_is_whole(self) -> None:
        """Every answer is complete and equal to the undisturbed one, whatever dies meanwhile."""
        servers = [await LlamaServer().start() for _ in range(2)]

        async def stop() -> None:
            for server in servers:
                if not server.process.ended.called:
                    await server.stop()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        ports = [server.port for server in servers]
        providers = "".join(
            f'[providers.p{number}]\nbase_url = "http://127.0.0.1:{port}/v1"\n' for number, port in enumerate(ports)
        )
        self.gateway = Gateway(
            '[models.m]\ntargets = ["p0/tiny", "p1/tiny"]\nstrategy = "round_robin"\nstream_recovery = "splice"\n'
            "[routing]\nretries = 4\nretry_ratio = 2\n" + providers
        )
        await self.gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))
        alone = {prompt: await self.ask(prompt) for prompt in PROMPTS}
        self.assertEqual({len(text) > 250 for text in alone.values()}, {True})
        answered = 0
        over = False

        async def streams(number: int) -> None:
            nonlocal answered
            while not over:
                prompt = PROMPTS[number % len(PROMPTS)]
                try:
                    self.assertEqual(await self.ask(prompt), alone[prompt])
                except AssertionError as error:
                    await wait(0.2)
                    broken = [record for record in self.gateway.access() if record["outcome"] != "ok"]
                    raise AssertionError(f"{str(error)[-400:]}\n{json.dumps(broken, indent=1)}") from None
                answered += 1

        async def more(count: int) -> None:
            wanted = answered + count
            await until(lambda: over or answered >= wanted, f"{count} more answers")

        async def kill() -> None:
            nonlocal over
            for _ in range(KILLS):
                await more(STREAMS)  # so that others are under way
                await servers[0].stop()
                await more(1)
                servers[0] = await LlamaServer(port=ports[0]).start()
            over = True

        works = [kill(), *(streams(number) for number in range(STREAMS))]
        try:
            await gatherResults([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)
        finally:
            over = True
        await until(lambda: len(self.gateway.access()) == answered + len(PROMPTS), "all records")
        records = self.gateway.access()
        self.assertEqual({record["outcome"] for record in records}, {"ok"})
        kinds = [attempt["kind"] for record in records for attempt in record["attempts"]]
        self.assertGreater(kinds.count("splice"), 0)
