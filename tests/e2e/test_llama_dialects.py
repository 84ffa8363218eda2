"""llama.cpp's real server, in each dialect it speaks itself: asked directly, and through every client dialect."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.dialect_clients import ASKERS, Asker, Said
from tests.e2e.service import TIMEOUT, Gateway, LlamaServer

SPOKEN = {"openai": "chat", "openai_responses": "responses", "anthropic": "anthropic"}
"""Dialect of a provider → the asker that speaks it."""
BY_NAME = {asker.name: asker for asker in ASKERS}


class LlamaDialects(TestCase):
    """The same text, reason and usage, whichever way the question went.

    What is the server's own, as of this writing: its Responses API says ``completed`` of an answer that was cut at
    ``max_output_tokens``, and its Messages API ``end_turn`` of one that met a stop sequence.
    """

    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.llama = await LlamaServer().start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.llama.stop()))
        toml = "".join(
            f'[providers.{dialect}]\nvendor = "llamacpp"\ndialect = "{dialect}"\n'
            f'base_url = "http://127.0.0.1:{self.llama.port}/v1"\n[models.m-{asker}]\ntargets = ["{dialect}/tiny"]\n'
            for dialect, asker in SPOKEN.items()
        )
        self.gateway = await Gateway(toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))

    async def compare(self, spoken: Asker, content: str, reason: str, *, limit: int, stop: str | None = None) -> Said:
        """Ask ``spoken`` directly and everybody through the gateway; what it said directly.

        :param reason: the key of :attr:`Asker.stops` for why it ends, as ``spoken`` tells it.
        """
        await spoken.ask(self.llama.port, "tiny", content, stream=False, limit=limit, stop=stop)  # fills the cache
        direct = await spoken.ask(self.llama.port, "tiny", content, stream=False, limit=limit, stop=stop)
        self.assertEqual((direct.stop, direct.status), (spoken.stops[reason], 200), direct)
        self.assertEqual(
            await spoken.ask(self.llama.port, "tiny", content, stream=True, limit=limit, stop=stop), direct
        )
        for asker in ASKERS:
            if stop and asker.name == "responses":
                continue  # it has no stop sequences
            words = asker.stops[reason]
            for stream in (False, True):
                said = await asker.ask(
                    self.gateway.port, f"m-{spoken.name}", content, stream=stream, limit=limit, stop=stop
                )
                wanted = Said(200, direct.text, stop=words, usage=direct.usage)
                self.assertEqual(said, wanted, (asker.name, spoken.name, stream))
        return direct

    async def test_max_tokens(self) -> None:
        """Cut at the limit; most of the prompt is in the server's cache, and so in everybody's usage."""
        texts = set()
        for name in SPOKEN.values():
            reason = "stop" if name == "responses" else "length"
            direct = await self.compare(BY_NAME[name], "hello", reason, limit=12)
            assert direct.usage is not None
            prompt, cached, output = direct.usage
            self.assertEqual((cached, output), (prompt - 1, 12))
            texts.add(direct.text)
        self.assertEqual(len(texts), 1)  # one model, one template, whatever the dialect

    async def test_stop_sequence(self) -> None:
        """It ends before the sequence, which is in nobody's text."""
        whole = await BY_NAME["chat"].ask(self.llama.port, "tiny", "hello", stream=False, limit=12)
        for name in ("chat", "anthropic"):
            direct = await self.compare(BY_NAME[name], "hello", "stop", limit=12, stop=whole.text[5:7])
            self.assertEqual(direct.text, whole.text[:5])

    async def test_stop_sequence_where_there_is_none(self) -> None:
        """The Responses API cannot be told one: the gateway ends the answer there itself."""
        for asker in ("chat", "anthropic", "gemini"):
            for stream in (False, True):
                ask = partial(BY_NAME[asker].ask, self.gateway.port, "m-responses", "hello", stream=stream, limit=12)
                letter = next((each for each in (await ask()).text if each.isalpha()), "e")
                said = await ask(stop=letter)
                self.assertEqual(said.status, 200)
                self.assertNotIn(letter, said.text)
