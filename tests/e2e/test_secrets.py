"""What must never be seen: keys, and where else a call could go."""

from __future__ import annotations

import re
from pathlib import Path

import treq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.service import CANARY_KEY, CANARY_VENDOR
from tests.e2e.vendor import ANSWER, Asked, Vendor
from tests.e2e.with_vendor import WithVendor
from tests.fakes import CHAT


class Secrets(WithVendor):
    async def test_canaries(self) -> None:
        """Neither key turns up in a log, an answer, a metric, or a header sent to the other side."""

        def script(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            headers = {
                "set_cookie": "vendor=1",
                "server": "vendor-server",
                "x_vendor": "internal",
                "x_request_id": "up-7",
            }
            if how == "echo":
                leak = {"code": CANARY_VENDOR, "type": CANARY_VENDOR, "param": CANARY_VENDOR}
                asked.connection.answer(400, {"error": {"message": f"bad: {asked.headers}"} | leak}, **headers)
            elif how == "401":
                asked.connection.answer(401, {"error": {"message": f"Incorrect API key: {CANARY_VENDOR}"}}, **headers)
            elif how == "close":
                asked.connection.close()
            else:
                asked.connection.answer(200, ANSWER, **headers)

        vendor_key = f'api_key = "{CANARY_VENDOR}"\nheaders = {{x-extra = "canary-extra-header-5"}}\n'
        keys = f'[[auth.keys]]\nname = "team"\nkey = "{CANARY_KEY}"\n'
        await self.begin(script, vendor_key + keys)
        seen = ""
        for how in ("ok", "echo", "401", "close"):
            sent = {
                "authorization": f"Bearer {CANARY_KEY}",
                "cookie": "client-cookie=1",
                "x-client-secret": "client-header",
                "user-agent": "client-agent",
                "x-forwarded-for": "10.1.2.3",
                "x-request-id": f"id-{how}",
            }
            response = await self.ask(CHAT | {"messages": [{"role": "user", "content": how}]}, **sent)
            seen += f"{response.headers}{response.body.decode()}"
        for key in (CANARY_KEY + "x", "wrong-" + CANARY_KEY):
            seen += str(await self.ask(CHAT, **{"x-api-key": key}))
        await self.ask(b"{" + CANARY_KEY.encode(), **{"x-api-key": CANARY_KEY})
        metrics = await treq.content(await treq.get(f"{self.gateway.url}/metrics", persistent=False))
        await self.gateway.stop()  # all is logged
        seen += metrics.decode() + self.gateway.process.out + self.gateway.process.err
        for secret in (CANARY_VENDOR, CANARY_KEY, "canary-extra", "vendor-server", "set-cookie", "internal"):
            self.assertNotIn(secret, seen, secret)
        self.assertIn("up-7", seen)  # the vendor's request id is in our log, for support
        for asked in self.vendor.asked:
            self.assertEqual(asked.headers["authorization"], f"Bearer {CANARY_VENDOR}")
            allowed = {"host", "user-agent", "content-type", "content-length", "accept", "accept-encoding"}
            self.assertEqual(set(asked.headers) - allowed, {"authorization", "x-extra", "x-request-id"})
            self.assertTrue(asked.headers["user-agent"].startswith("llmedge/"))
            self.assertNotIn(CANARY_KEY, str(asked.headers))

    async def test_destinations_come_from_configuration(self) -> None:
        """Nothing a client sends makes the gateway call another address."""
        await self.begin(lambda asked: asked.connection.answer(200, ANSWER))
        target = Vendor(lambda asked: asked.connection.answer(200, ANSWER))
        self.addCleanup(lambda: Deferred.fromCoroutine(target.stop()))
        evil = f"127.0.0.1:{target.port}"
        for headers in ({"x-forwarded-host": evil}, {"x-base-url": f"http://{evil}"}, {"x-llmedge-target": evil}, {}):
            for model in (f"http://{evil}/v1", f"v/../../{evil}", f"v@{evil}/x", f"{evil}/x"):
                await self.ask(
                    CHAT | {"model": model, "base_url": f"http://{evil}", "api_base": f"http://{evil}"}, **headers
                )
        self.assertEqual(target.connections, [])
        for asked in self.vendor.asked:
            self.assertEqual(asked.line, "POST /v1/chat/completions HTTP/1.1")


class NoTraces(TestCase):
    def test_no_canary_is_written_to_disk_by_us(self) -> None:
        """The source itself holds no secret-like constant of the tests."""
        source = Path(__file__).parent.parent.parent / "src"
        for path in source.rglob("*.py"):
            self.assertIsNone(re.search("canary-", path.read_text()), str(path))
