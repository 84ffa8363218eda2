"""Stopping, reloading and looking after a running service, under load."""

from __future__ import annotations

import json
import signal
from typing import Any

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client, wait
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import ANSWER, Vendor
from tests.fakes import CHAT, request
from tests.folders import new_folder

STREAM = CHAT | {"stream": True}
MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'


class Operating(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str = "", **kw: Any) -> Gateway:
        gateway = Gateway(toml, **kw)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def signal(self, gateway: Gateway, number: int) -> None:
        gateway.process.transport.signalProcess(number)  # type: ignore[union-attr]

    async def stream(self, gateway: Gateway) -> bool:
        """Whether one stream arrived whole."""
        client = await Client.connect(gateway.port)
        client.send(request(body=STREAM))
        return await self.whole(client)

    async def whole(self, client: Client) -> bool:
        response = await client.response()
        return response.complete and response.events()[-1] == "[DONE]"

    async def test_sigterm_loses_no_stream(self) -> None:
        """200 streams under way when SIGTERM comes all end well; then the process ends with 0."""
        gateway = await self.begin(MOCK + "chunk_interval = 0.5\n")
        idle = await Client.connect(gateway.port)
        idle.send(request("GET", "/health"))
        await idle.wait_for(b"healthy")
        clients = [await Client.connect(gateway.port) for _ in range(200)]
        for client in clients:
            client.send(request(body=STREAM))
        await gatherResults([Deferred.fromCoroutine(client.wait_for(b"data: ")) for client in clients])
        streams = [Deferred.fromCoroutine(self.whole(client)) for client in clients]
        self.signal(gateway, signal.SIGTERM)
        await idle.closed  # nothing was under way on it
        with self.assertRaises(Exception):  # noqa: B017 - refused: the listener is closed
            await Client.connect(gateway.port)
        self.assertEqual(sum(await gatherResults(streams)), 200)
        self.assertEqual(await gateway.process.ended, 0)
        self.assertIn("connections are finishing", gateway.process.out)

    async def test_the_grace_has_an_end(self) -> None:
        """What takes longer is cut off, and said; a second signal does not wait at all."""
        vendor = self.silent()
        for grace, signals in (("0.5", 1), ("3600", 2)):
            server = f"[server]\ntimeout = 3600\nshutdown_grace = {grace}\n"
            gateway = await self.begin(server + vendor.toml)
            await self.under_way(gateway, vendor)
            for _ in range(signals):
                self.signal(gateway, signal.SIGTERM)
                await until(lambda g=gateway: "connections are finishing" in g.process.out, "the draining")
            self.assertEqual(await gateway.process.ended, 0)

    async def test_what_is_cut_off(self) -> None:
        """A stream ends with its error event, a whole answer is a 503; both are in the log, with a cost."""
        vendor = self.silent()
        more = '[prices."*/*"]\ninput = 1\noutput = 1\n[server]\nshutdown_grace = 0.5\n'
        gateway = await self.begin(more + vendor.toml + '[providers.slow]\ndialect = "mock"\nchunk_interval = 2\n')
        stream = await Client.connect(gateway.port)
        stream.send(request(body=STREAM | {"model": "slow/m"}))
        await stream.wait_for(b'"content":"')
        whole = await self.under_way(gateway, vendor)
        self.signal(gateway, signal.SIGTERM)
        await gatherResults([Deferred.fromCoroutine(self.gone(each)) for each in (stream, whole)])
        self.assertEqual(await gateway.process.ended, 0)
        self.assertIn(b'"code":"UNAVAILABLE"', stream.received)
        self.assertTrue(whole.received.startswith(b"HTTP/1.1 503"), whole.received)
        self.assertIn(b"Connection: close", whole.received)
        lines = [json.loads(line) for line in gateway.process.out.splitlines() if '"llmedge.access"' in line]
        found = [each["fields"] for each in lines if each["fields"]["outcome"] == "stopped"]
        self.assertEqual(sorted(each["status"] for each in found), [200, 503])
        for each in found:
            self.assertTrue(each["cost_usd"] > 0 and each["tokens_estimated"], each)

    async def gone(self, client: Client) -> None:
        await client.closed

    def silent(self) -> Vendor:
        """A vendor that answers when the test does."""
        vendor = Vendor(lambda asked: None)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        return vendor

    async def under_way(self, gateway: Gateway, vendor: Vendor) -> Client:
        """A client whose question the vendor has."""
        client = await Client.connect(gateway.port)
        count = len(vendor.asked)
        client.send(request(body=CHAT))
        await until(lambda: len(vendor.asked) > count, "the question at the vendor")
        return client

    async def test_ready_is_503_while_stopping(self) -> None:
        """On the admin port, which stays until the end; it has taken health and metrics off the public one."""
        path = new_folder() / "admin.sock"
        vendor = self.silent()
        gateway = await self.begin(
            vendor.toml,
            arguments=("--port", "tcp:0:interface=127.0.0.1", "--admin-port", f"unix:{path}"),
        )
        from twisted.internet import reactor
        from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol

        async def admin(what: str) -> bytes:
            client: Client = await connectProtocol(UNIXClientEndpoint(reactor, str(path)), Client())
            client.send(request("GET", what, headers={"connection": "close"}))
            await client.closed
            return client.received

        for what in ("/health", "/health/ready", "/metrics"):
            self.assertTrue((await admin(what)).startswith(b"HTTP/1.1 200"))
            public = await treq.get(gateway.url + what, persistent=False)
            self.assertEqual(public.code, 404)
            await public.text()
        self.assertTrue((await admin("/v1/models")).startswith(b"HTTP/1.1 404"))
        client = await self.under_way(gateway, vendor)
        self.signal(gateway, signal.SIGTERM)
        await until(lambda: "connections are finishing" in gateway.process.out, "the draining")
        self.assertTrue((await admin("/health/ready")).startswith(b"HTTP/1.1 503"))
        vendor.asked[0].connection.answer(200, ANSWER)
        self.assertEqual((await client.response()).status, 200)
        self.assertIn(b"Connection: close", client.received)
        self.assertEqual(await gateway.process.ended, 0)

    async def test_reload(self) -> None:
        """A good configuration is in force for new calls at once, a bad one changes nothing."""
        one = MOCK + '[models.one]\ntargets = ["m/one"]\n'
        gateway = await self.begin(one)
        write = gateway.write

        async def models() -> list[str]:
            response = await treq.get(gateway.url + "/v1/models", persistent=False)
            return [model["id"] for model in (await response.json())["data"]]

        self.assertEqual(await models(), ["one"])
        write(one + '[models.two]\ntargets = ["m/two"]\n[server]\ntimeout = 9\n')
        self.signal(gateway, signal.SIGHUP)
        await until(lambda: "read again: 2 changes" in gateway.process.out, "the reload")
        self.assertEqual(await models(), ["one", "two"])
        self.assertIn("models.two: added", gateway.process.out)
        self.assertIn("→ 9.0", gateway.process.out)
        write('[models.three]\ntargets = ["nobody/x"]\n[server]\ntimeout = 5\n')
        self.signal(gateway, signal.SIGHUP)
        await until(lambda: "the new configuration is refused" in gateway.process.out, "the refusal")
        self.assertEqual(await models(), ["one", "two"])
        refusal = next(line for line in gateway.logs() if "refused" in line["fields"]["message"])
        self.assertIn("names the provider 'nobody'", refusal["fields"]["problem"])

    async def test_fifty_reloads_lose_nothing(self) -> None:
        """Calls and streams go on through 50 SIGHUPs in a row."""
        gateway = await self.begin(MOCK + "chunk_interval = 0.1\nlatency = 0.05\n")
        answers: list[int] = []
        stop: list[bool] = []

        async def ask() -> None:
            while not stop:
                response = await treq.post(gateway.url + "/v1/chat/completions", json=CHAT, persistent=False)
                await response.text()
                answers.append(response.code)

        askers = [Deferred.fromCoroutine(ask()) for _ in range(8)]
        streams = [Deferred.fromCoroutine(self.stream(gateway)) for _ in range(50)]
        for number in range(50):
            gateway.write(MOCK + f"chunk_interval = 0.1\nlatency = 0.05\n[server]\ntimeout = {10 + number}\n")
            self.signal(gateway, signal.SIGHUP)
            await wait(0.03)
        self.assertEqual(sum(await gatherResults(streams)), 50)
        stop.append(True)
        await gatherResults(askers)
        self.assertEqual(set(answers), {200})
        await until(
            lambda: "timeout: 58.0 → 59.0" in gateway.process.out or "→ 59.0" in gateway.process.out, "the last"
        )

    async def test_socket_activation(self) -> None:
        """systemd's sockets: the port is open before the service is, and is handed over."""
        import os
        import socket

        from tests.e2e.service import PYTHONPATH, ROOT, Process, command

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            early = await Client.connect(port)
            early.send(request("GET", "/health", headers={"connection": "close"}))
            process = Process("listening on ")
            script = f'export LISTEN_PID=$$; exec "{command("twist")}" llmedge --port systemd:domain=INET:index=0'
            environ = {
                "PYTHONPATH": PYTHONPATH,
                "LISTEN_FDS": "1",
                "LISTEN_FDNAMES": "llmedge.socket",
                "PATH": os.environ["PATH"],
            }
            files = {0: "w", 1: "r", 2: "r", 3: listener.fileno()}
            from twisted.internet import reactor

            reactor.spawnProcess(process, "/bin/sh", ["sh", "-c", script], env=environ, path=ROOT, childFDs=files)
            await process.ready
        self.assertEqual((await early.response()).status, 200)
        self.assertEqual(await process.stop(), 0)

    async def test_limits_outlive_a_reload(self) -> None:
        """Nobody refills their bucket by waiting for a SIGHUP."""
        toml = MOCK + "[rate_limit]\nrpm = 1\nburst = 2\n"
        gateway = await self.begin(toml, environ={"RATE_LIMIT_ENABLED": ""})

        async def ask() -> int:
            response = await treq.post(gateway.url + "/v1/chat/completions", json=CHAT, persistent=False)
            await response.text()
            return response.code

        self.assertEqual([await ask() for _ in range(3)], [200, 200, 429])
        gateway.write(toml + "[server]\ntimeout = 3\n")
        self.signal(gateway, signal.SIGHUP)
        await until(lambda: "read again" in gateway.process.out, "the reload")
        self.assertEqual(await ask(), 429)

    async def test_start_is_quick(self) -> None:
        """Ready in well under ten seconds even on a busy machine; the figure itself is in the benchmark."""
        gateway = await self.begin()
        lines = gateway.logs()
        self.assertTrue(any("listening on" in json.dumps(line) for line in lines))
