"""A gateway and a vendor that does what a test says, over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import Script, Vendor
from tests.fakes import CHAT, Response, request

STREAM = CHAT | {"stream": True}


class WithVendor(TestCase):
    timeout = TIMEOUT

    async def begin(self, script: Script, more: str = "", **kw: Any) -> None:
        self.vendor = vendor = Vendor(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        if "[routing]" not in more:
            # The vendor's failures are looked at one by one: nothing is asked again, nobody is left alone.
            more += "\n[routing]\nretries = 0\nbreaker_failures = 10000\nbreaker_rate = 2\n"
        self.gateway = gateway = Gateway(vendor.toml + more, **kw)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

    async def ask(self, body: Any, **headers: str) -> Response:
        client = await Client.connect(self.gateway.port)
        client.send(request(body=body, headers=headers))
        response = await client.response()
        client.leave()
        return response

    async def record(self) -> dict[str, Any]:
        await until(lambda: bool(self.gateway.access()), "an access line")
        return self.gateway.access()[-1]
