"""Vendors that keep the beginnings of prompts as Anthropic does, each its own, behind a real ``twist llmedge``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import Asked, Vendor
from tests.fakes import Response, request

LONG = "you are a cat and say nothing of dogs. " * 200
PRICES = '[prices."*/*"]\ninput = 10\noutput = 10\ncached = 1\ncache_write = 12.5\n'
TOOL = {"name": "purr", "description": LONG, "input_schema": {"type": "object"}}


class Keeper:
    """Answers ``/v1/messages``, and keeps what is before each mark; a tool and a block is a token a character."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.vendor = Vendor(self.answer)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [asked.json() for asked in self.vendor.asked]

    def answer(self, asked: Asked) -> None:
        body = asked.json()
        size, beginnings = self._looked(body)
        read = max((len(each) for each in beginnings if each in self.kept), default=0)
        written = max(map(len, beginnings), default=read) - read
        self.kept.update(beginnings)
        usage = {
            "input_tokens": size - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": 1,
        }
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
        text = {"type": "text", "text": "miaow"}
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        connection = asked.connection
        if not body.get("stream"):
            connection.answer(200, message | ended | {"content": [text], "usage": usage})
            return
        connection.begin_stream()
        for event in (
            {"type": "message_start", "message": message | {"usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "miaow"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ):
            connection.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        connection.end()

    def _looked(self, body: dict[str, Any]) -> tuple[int, list[str]]:
        """The prompt's size, and what of it is before each mark."""
        blocks: list[Any] = list(body.get("tools", []))
        for said in [body.get("system", []), *(message["content"] for message in body["messages"])]:
            blocks += [{"type": "text", "text": said}] if isinstance(said, str) else said
        so_far, found = "", []
        for block in blocks:
            plain = {name: value for name, value in block.items() if name != "cache_control"}
            so_far += json.dumps(plain, sort_keys=True)
            if "cache_control" in block:
                found.append(so_far)
        assert len(found) <= 4, "as Anthropic has it"
        return len(so_far), found


class Keeping(TestCase):
    timeout = TIMEOUT

    async def begin(self, *model: str) -> None:
        """Two accounts of one vendor, in turn."""
        self.keepers = [Keeper(), Keeper()]
        toml = ""
        for number, keeper in enumerate(self.keepers):
            self.addCleanup(lambda keeper=keeper: Deferred.fromCoroutine(keeper.vendor.stop()))
            url = f"http://127.0.0.1:{keeper.vendor.port}"
            toml += f'[providers.a{number}]\nvendor = "anthropic"\napi_key = "k"\nbase_url = "{url}"\n'
        toml += '[models.claude]\nstrategy = "round_robin"\n'
        toml += 'targets = ["a0/claude-sonnet-4-5", "a1/claude-sonnet-4-5"]\n' + "\n".join(model)
        self.gateway = Gateway(f"{toml}\n{PRICES}")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))
        await self.gateway.start()

    async def ask(self, path: str, body: Any) -> Response:
        client = await Client.connect(self.gateway.port)
        client.send(request(path=path, body={"model": "claude", "max_tokens": 20} | body))
        response = await client.response()
        self.assertEqual(response.status, 200, response.body)
        client.leave()
        return response

    async def told(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.gateway.access()) >= count, "the access lines")
        return self.gateway.access()[:count]

    def asked(self) -> list[int]:
        """How often each was."""
        return [len(keeper.bodies) for keeper in self.keepers]

    async def test_in_chats(self) -> None:
        """An OpenAI client's second question finds what the first one wrote, at the same account; log and metrics say
        what it saved."""
        await self.begin('prompt_cache = "auto"')
        system = {"role": "system", "content": LONG}
        usages = []
        for question in ("who?", "what?", "why?"):
            answer = await self.ask(
                "/v1/chat/completions", {"messages": [system, {"role": "user", "content": question}]}
            )
            usages.append(answer.json()["usage"]["prompt_tokens_details"])
        self.assertEqual(self.asked(), [3, 0])
        self.assertEqual(usages[0]["cached_tokens"], 0)
        self.assertGreater(usages[0]["cache_write_tokens"], len(LONG))
        for usage in usages[1:]:
            self.assertGreater(usage["cached_tokens"], len(LONG))
            self.assertLess(usage["cache_write_tokens"], 100)
        lines = await self.told(3)
        self.assertEqual([line["prompt_affinity"] for line in lines], ["new", "kept", "kept"])
        saved = [line["prompt_cache_saved_usd"] for line in lines]
        self.assertLess(saved[0], 0)
        self.assertGreater(saved[1], 0.05)
        self.assertAlmostEqual(saved[0], -usages[0]["cache_write_tokens"] * 2.5e-6)
        self.assertAlmostEqual(saved[1], usages[1]["cached_tokens"] * 9e-6 - usages[1]["cache_write_tokens"] * 2.5e-6)
        client = await Client.connect(self.gateway.port)
        client.send(request("GET", "/metrics"))
        shown = (await client.response()).body.decode()
        client.leave()
        labels = 'operation="chat",provider="a0",model="claude"'
        for name, sum_of in (("saved", saved[1:]), ("extra", [-saved[0]])):
            line = next(each for each in shown.splitlines() if each.startswith(f"llm_prompt_cache_{name}_usd_total{{"))
            self.assertIn(labels, line)
            self.assertAlmostEqual(float(line.rpartition(" ")[2]), sum(sum_of))
        self.assertIn('llm_prompt_affinity_total{result="kept"} 2', shown)

    async def test_in_messages(self) -> None:
        """An agent's conversation with tools, passed through, whole and as streams: each turn finds all that was said
        before it."""
        await self.begin('prompt_cache = "auto"', 'prompt_cache_ttl = "1h"')
        turns: list[Any] = [{"role": "user", "content": "hello"}]
        for stream in (False, True, False, True):
            await self.ask("/v1/messages", {"system": LONG, "tools": [TOOL], "messages": turns, "stream": stream})
            turns += [{"role": "assistant", "content": "miaow"}, {"role": "user", "content": "and then?"}]
        self.assertEqual(self.asked(), [4, 0])
        for body in self.keepers[0].bodies:
            marks = [body["tools"][-1], body["system"][-1], body["messages"][-1]["content"][-1]]
            self.assertEqual([each["cache_control"]["ttl"] for each in marks], ["1h"] * 3)
            self.assertEqual(json.dumps(body).count("cache_control"), 3)
        lines = await self.told(4)
        self.assertEqual([line["cached_tokens"] > len(LONG) for line in lines], [False, True, True, True])
        self.assertTrue(
            all(line["cached_tokens"] + line["cache_write_tokens"] == line["input_tokens"] for line in lines)
        )

    async def test_the_clients_own_marks(self) -> None:
        """They go as they come, and the next call still goes where they are kept."""
        await self.begin('prompt_cache = "auto"')
        system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
        for question in ("who?", "what?"):
            await self.ask("/v1/messages", {"system": system, "messages": [{"role": "user", "content": question}]})
        self.assertEqual(self.asked(), [2, 0])
        self.assertEqual([json.dumps(body).count("cache_control") for body in self.keepers[0].bodies], [1, 1])

    async def test_a_target_that_is_down(self) -> None:
        """Its calls go to the other one, which is asked from then on."""
        await self.begin('prompt_cache = "auto"')

        async def ask() -> None:
            await self.ask("/v1/messages", {"system": LONG, "messages": [{"role": "user", "content": "who?"}]})

        await ask()
        self.keepers[0].vendor.script = lambda asked: asked.connection.answer(503, {"type": "error"})
        for _ in range(3):
            await ask()
        self.assertEqual(self.asked()[1], 3)
        self.assertGreater((await self.told(4))[-1]["cached_tokens"], len(LONG))

    async def test_off(self) -> None:
        """In turn, to each account, which has never heard of it; a body that is passed through is the bytes it was."""
        await self.begin()
        plain = {"system": LONG, "messages": [{"role": "user", "content": "who?"}]}
        for _ in range(2):
            await self.ask("/v1/messages", plain)
        self.assertEqual(self.asked(), [1, 1])
        for keeper in self.keepers:
            self.assertEqual(keeper.bodies, [{"model": "claude-sonnet-4-5", "max_tokens": 20} | plain])
        odd = b'"system":"%b","messages":[{"role" :"user","content": "\\u0078"}]}' % LONG.encode()
        client = await Client.connect(self.gateway.port)
        client.send(request(path="/v1/messages", body=b'{"model":"claude","max_tokens":20,' + odd))
        await client.response()
        client.leave()
        asked = self.keepers[0].vendor.asked[-1].body
        self.assertEqual(asked, b'{"model":"claude-sonnet-4-5","max_tokens":20,' + odd)
        self.assertNotIn("prompt_affinity", (await self.told(3))[-1])
