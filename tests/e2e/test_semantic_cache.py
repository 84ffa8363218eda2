"""The cache by meaning in a process, with the model of the extra."""

from __future__ import annotations

import re
from typing import Any

from tests.e2e.client import Client
from tests.e2e.service import until
from tests.e2e.vendor import Asked
from tests.e2e.with_vendor import WithVendor
from tests.fakes import CHAT, request

MORE = """
[auth]
enabled = false
[cache]
enabled = true
[cache.semantic]
mode = "strict"
wrong = 0.2
audit = 0.001
"""
THINGS = (
    "passport visa permit licence card ticket lease badge insurance registration contract domain pass key membership"
)


class Meaning(WithVendor):
    def answer(self, asked: Asked) -> None:
        said = asked.json()["messages"][-1]["content"]
        thing = re.findall(r"\w+", said)[-1]
        message = {"role": "assistant", "content": f"Take your {thing} to the office."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
        document = {"id": "chatcmpl-12345678", "object": "chat.completion", "created": 1, "model": "m"}
        asked.connection.answer(200, document | {"choices": [choice], "usage": usage})

    async def say(self, question: str) -> tuple[str, str]:
        """What the cache did, and the answer."""
        response = await self.ask(CHAT | {"messages": [{"role": "user", "content": question}]})
        return response.headers["x-llmedge-cache"], response.json()["choices"][0]["message"]["content"]

    async def figure(self, name: str) -> float:
        client = await Client.connect(self.gateway.port)
        client.send(request("GET", "/metrics"))
        text = (await client.response()).body.decode()
        client.leave()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def reaches(self, name: str, figure: float) -> None:
        while await self.figure(name) < figure:
            await until(lambda: True, name)

    async def test_proven_and_served(self) -> None:
        """Of fourteen things asked for in two ways every answer would have done: then the third way is answered from
        the cache, and one of another thing is not."""
        await self.begin(self.answer, MORE)
        for number, thing in enumerate(THINGS.split()[:14], 1):
            self.assertEqual((await self.say(f"How do I renew my {thing}?"))[0], "MISS")
            await self.reaches("llm_cache_semantic_questions", 2 * number - 1)
            self.assertEqual((await self.say(f"What are the steps to renew my {thing}?"))[0], "MISS")
            await self.reaches("llm_cache_semantic_questions", 2 * number)
        await self.reaches('llm_cache_semantic_audit_total{verdict="right"}', 14)
        asked = len(self.vendor.asked)
        told: tuple[str, Any] = ("SEMANTIC", "Take your visa to the office.")
        found = [await self.say(f"{please} tell me how to renew my visa?") for please in ("Could you", "Would you")]
        self.assertIn(told, found)  # one in a thousand is asked for all the same
        self.assertLess(len(self.vendor.asked), asked + 2)
        self.assertEqual((await self.say("Could you please tell me how to renew my boat?"))[0], "MISS")
        self.assertEqual(await self.figure("llm_cache_semantic_serving"), 1)
        self.assertGreater(await self.figure('llm_cache_hit_total{level="semantic"}'), 0)
