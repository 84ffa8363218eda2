"""Two gateways and the Redis they share."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from llmedge.redis.connection import FAILURES
from tests import redis_server
from tests.e2e.client import Client
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.fakes import CHAT, Response, request
from tests.redis_server import RedisServer

SECRET = "a-secret-of-the-whole-deployment"


class SharedCache(TestCase):
    timeout = TIMEOUT
    skip = redis_server.missing() or None

    def setUp(self) -> None:
        self.redis = RedisServer()
        self.addCleanup(self.redis.remove)

    async def begin(self, more: str = "") -> Gateway:
        gateway = Gateway(
            f'[auth]\nenabled = false\n[cache]\nenabled = true\n[redis]\nurl = "{self.redis.url}"\n{more}\n'
        )
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await until(lambda: self.lines(gateway), "redis is in use")
        return gateway

    async def ask(self, gateway: Gateway, text: str, method: str = "POST", **more: Any) -> Response:
        client = await Client.connect(gateway.port)
        if method == "GET":
            client.send(request("GET", text))
        else:
            client.send(request(body=CHAT | {"messages": [{"role": "user", "content": text}]} | more))
        response = await client.response()
        client.leave()
        return response

    async def told(self, gateway: Gateway, text: str, **more: Any) -> tuple[str, str]:
        """What the cache had to do with a call, and from where it had the answer."""
        response = await self.ask(gateway, text, **more)
        self.assertEqual(response.status, 200)
        id = response.headers["x-request-id"]
        lines: list[dict[str, Any]] = []

        def found() -> bool:
            calls = [line for line in gateway.logs() if line["target"] == "llmedge.access"]
            lines[:] = [line["fields"] for line in calls if line["request_id"] == id]
            return bool(lines)

        await until(found, "its line")
        return response.headers["x-llmedge-cache"], lines[0].get("cache_level", "")

    def lines(self, gateway: Gateway) -> list[str]:
        return [line["fields"]["message"] for line in gateway.logs() if line["target"] == "llmedge.redis.client"]

    def kept(self) -> int:
        return sum(b":cache:" in name for name in self.redis.ask("KEYS", "*"))

    async def test_hits(self) -> None:
        """What one has asked for the other has, whole or as a stream, the same bytes but for its id and time."""
        one, other = await self.begin(), await self.begin()
        for number, stream in enumerate((False, True), 1):
            self.assertEqual(await self.told(one, "hello", stream=stream), ("MISS", ""))
            await until(lambda number=number: self.kept() == number, "it is kept")
            self.assertEqual(await self.told(other, "hello", stream=stream), ("HIT", "redis"))
            self.assertEqual(await self.told(other, "hello", stream=stream), ("HIT", "memory"))
            bodies = [await self.ask(gateway, "hello", stream=stream) for gateway in (one, other)]
            plain = [re.sub(rb'"(id|created)":("[^"]*"|\d+)', b"", each.body) for each in bodies]
            self.assertEqual(plain[0], plain[1])

    async def test_sealed(self) -> None:
        """Nothing of what was said is there; who has another secret, or none, has no hits."""
        sealed = f'encrypt = "{SECRET}"'
        one, other, without = await self.begin(sealed), await self.begin(sealed), await self.begin()
        self.assertEqual(await self.told(one, "canary"), ("MISS", ""))
        await until(lambda: self.kept() == 1, "it is kept")
        (name,) = [name for name in self.redis.ask("KEYS", "*") if b":cache:" in name]
        self.assertNotIn(b"canary", self.redis.ask("GET", name))
        self.assertEqual(await self.told(other, "canary"), ("HIT", "redis"))
        self.assertEqual(await self.told(without, "canary"), ("MISS", ""))
        for gateway in (one, other, without):
            self.assertNotIn(SECRET, gateway.process.out + gateway.process.err)

    async def test_stopped(self) -> None:
        """Five calls wait for a moment, at most, and then none does; all are answered."""
        gateway = await self.begin()
        await self.told(gateway, "hello")
        self.redis.freeze()
        told = [await self.told(gateway, f"call {number}") for number in range(50)]
        self.assertEqual(set(told), {("MISS", "")})
        metrics = (await self.ask(gateway, "/metrics", "GET")).body.decode()
        reads = {
            outcome: float(re.search(rf'llm_cache_redis_reads_total{{outcome="{outcome}"}} (.*)', metrics)[1])  # type: ignore[index]
            for outcome in ("late", "skipped")
        }
        self.assertLessEqual(reads["late"], FAILURES)
        self.assertGreaterEqual(reads["skipped"], 50 - FAILURES)
        self.assertIn("llm_cache_redis_state 2.0", metrics)
        self.assertEqual(len(self.lines(gateway)), 2)
        self.redis.thaw()
