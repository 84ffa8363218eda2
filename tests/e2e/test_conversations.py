"""Agents and SDKs as people use them hold a conversation with tools, streamed, with a vendor of each dialect.

The gateway has its default settings. What the vendor gets has to keep the rules of its API.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.conversations import held
from tests.e2e.conversations.agents import ClaudeCode, Codex, GeminiCli
from tests.e2e.conversations.vendors import DIALECTS
from tests.e2e.service import TIMEOUT, until


class Conversations(TestCase):
    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.stage = await held.Stage().start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stage.stop()))

    def all_held(self, results: held.Results, ways: int = 1) -> None:
        self.assertEqual({pair: problem for pair, problem in results.items() if problem}, {})
        self.assertEqual(len(results), ways * len(DIALECTS))

    async def test_claude_code(self) -> None:
        self.all_held(await held.agents(self.stage, ClaudeCode))

    async def test_claude_code_with_a_wrong_key(self) -> None:
        """It is told so, and does not ask again and again."""
        agent = ClaudeCode(self.stage.gateway.url, "m-chat", key="wrong")
        agent.settle()
        _, problem = await agent.ask(1)
        self.assertIn("Failed to authenticate", problem)
        gateway = self.stage.gateway
        await until(lambda: bool(gateway.access()), "the access line")
        self.assertEqual([(line["route"], line["status"]) for line in gateway.access()], [("/v1/messages", 401)])

    async def test_codex(self) -> None:
        self.all_held(await held.agents(self.stage, Codex))

    async def test_gemini_cli(self) -> None:
        self.all_held(await held.agents(self.stage, GeminiCli))

    async def test_ai_sdk(self) -> None:
        self.all_held(await held.node(self.stage, "ai_sdk"), ways=6)

    async def test_npm_google_genai(self) -> None:
        self.all_held(await held.node(self.stage, "google_genai"))

    async def test_langchain_google(self) -> None:
        self.all_held(await held.python(self.stage, "langchain_google"))

    async def test_pydantic_ai(self) -> None:
        self.all_held(await held.python(self.stage, "pydantic_agents"), ways=4)

    async def test_llama_index(self) -> None:
        self.all_held(await held.python(self.stage, "llama_index_agents", held.llama_index()), ways=2)
