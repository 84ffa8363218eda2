"""Every limit of time fires."""

from __future__ import annotations

import json

from tests.e2e.service import until
from tests.e2e.vendor import ROLE, Asked, delta
from tests.e2e.with_vendor import STREAM, WithVendor
from tests.fakes import CHAT


class Time(WithVendor):
    async def test_every_limit_fires(self) -> None:
        """First byte, first token, idle, and the whole: each ends a silent vendor's call."""

        def script(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            vendor = asked.connection
            if how == "headers only":
                vendor.begin_stream()
                vendor.event(ROLE)
            elif how == "one word":
                vendor.begin_stream()
                vendor.event(delta("x"))
            elif how == "half a body":
                vendor.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")

        for how, limit, seconds, body, words in (
            ("silent", "first_byte", 0.3, CHAT, "first byte of its answer within 0.3 s"),
            ("silent", "first_byte", 0.3, STREAM, "first byte of its answer within 0.3 s"),
            ("headers only", "first_token", 0.5, STREAM, "first content of its answer within 0."),
            ("half a body", "idle", 0.3, CHAT, "go on with its answer within 0.3 s"),
        ):
            await self.begin(script, f"[upstream]\n{limit}_timeout = {seconds}\n")
            response = await self.ask(body | {"messages": [{"role": "user", "content": how}]})
            self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"), how)
            self.assertIn(words, response.error["message"])
            await self.closed()
        await self.begin(script, "[upstream]\nidle_timeout = 0.3\n")
        response = await self.ask(STREAM | {"messages": [{"role": "user", "content": "one word"}]})
        self.assertFalse(response.complete)
        self.assertIn("go on with its answer within 0.3 s", json.loads(response.events()[-1])["error"]["message"])
        await self.closed()

    async def closed(self) -> None:
        """Until the vendor has seen the close of every connection."""
        for asked in self.vendor.asked:
            await until(lambda c=asked.connection: c.closed_at is not None, "the close at the vendor")

    async def test_the_whole_call(self) -> None:
        """A silent vendor is a 504 after server.timeout, whatever the other limits are."""
        await self.begin(lambda asked: None, "[server]\ntimeout = 0.5\n")
        for body in (CHAT, STREAM):
            response = await self.ask(body)
            self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"))
