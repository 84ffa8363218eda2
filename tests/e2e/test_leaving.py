"""Clients that leave: the vendor hears of it, in each phase."""

from __future__ import annotations

from tests.e2e.client import Client
from tests.e2e.service import connections, until
from tests.e2e.vendor import Asked, delta
from tests.e2e.with_vendor import WithVendor
from tests.fakes import CHAT, request

NO_LIMITS = "[server]\ntimeout = 86400\n[upstream]\nconnect_timeout = 3600\nidle_timeout = 3600\n"


class Leaving(WithVendor):
    """Nothing else ends these calls: the gateway's own limits are far away."""

    async def test_in_each_phase(self) -> None:
        """The vendor sees the close and the record is settled."""

        def script(asked: Asked) -> None:
            if asked.json()["stream"]:
                asked.connection.begin_stream()
                if asked.json()["messages"][0]["content"] == "content":
                    asked.connection.event(delta("x"))

        await self.begin(script, NO_LIMITS)
        for content in ("headers", "content"):
            for stream in (False, True):
                self.vendor.asked.clear()
                count = len(self.gateway.access())
                client = await Client.connect(self.gateway.port)
                client.send(request(body=CHAT | {"stream": stream, "messages": [{"role": "user", "content": content}]}))
                await until(lambda: bool(self.vendor.asked), "the request at the vendor")
                if stream and content == "content":
                    await client.wait_for(b"data: ")
                client.leave()
                connection = self.vendor.asked[0].connection
                await until(lambda c=connection: c.closed_at is not None, "the close at the vendor")
                await until(lambda n=count: len(self.gateway.access()) > n, "the record")
                self.assertEqual(self.gateway.access()[-1]["outcome"], "client_closed")

    async def test_while_connecting(self) -> None:
        """A vendor that does not even accept: the wait ends with the client."""
        import socket

        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            self.addCleanup(filler.close)
        more = f'[providers.full]\nbase_url = "http://127.0.0.1:{full.getsockname()[1]}"\n'
        await self.begin(lambda asked: None, more + NO_LIMITS)
        port = full.getsockname()[1]
        before = connections(port, "02", remote=True)
        client = await Client.connect(self.gateway.port)
        client.send(request(body=CHAT | {"model": "full/x"}))
        await until(lambda: connections(port, "02", remote=True) > before, "the connecting")
        client.leave()
        record = await self.record()
        self.assertEqual((record["outcome"], record["attempts"][0]["outcome"]), ("client_closed", "aborted"))
