"""Health, metrics, logs and proxies, by curl, promtool and haproxy."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from tests.e2e.client import Client, reactor
from tests.e2e.service import Gateway, Process, free_port, until
from tests.e2e.tools import find
from tests.e2e.tools_of_others.edge import BODY, CHAT, MOCK, PATH, Edge


class Operators(Edge):
    async def test_health_by_curl(self) -> None:
        """Three health endpoints answer without a key, and not with a page for any other method."""
        gateway = await self.begin(MOCK + '[[auth.keys]]\nname = "a"\nkey = "k"\n')
        for path in ("/health", "/health/ready", "/health/live"):
            status, _, body = await self.curl(gateway.url + path)
            document = json.loads(body)
            self.assertEqual((status, document["status"]), (200, "healthy"))
            datetime.strptime(document["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
            status, headers, _ = await self.curl("-X", "DELETE", gateway.url + path)
            self.assertEqual((status, "GET" in headers["allow"]), (405, True))

    async def test_metrics_by_promtool(self) -> None:
        """A scrape after traffic of every kind is well-formed, and Prometheus's own linter has nothing to say."""
        find("promtool")
        gateway = await self.begin()
        stream = BODY.replace("{", '{"stream":true,', 1)
        for arguments in ((*CHAT, PATH), (*CHAT[:3], stream, PATH), (*CHAT[:3], "{", PATH), ("/nowhere",)):
            await self.curl(*arguments[:-1], gateway.url + arguments[-1])
        _, headers, scrape = await self.curl(f"{gateway.url}/metrics")
        self.assertTrue(headers["content-type"].startswith("text/plain; version=0.0.4"))
        self.assertIn('status="200"', scrape)
        result = await self.program("promtool", "check", "metrics", stdin=scrape.encode())
        self.assertEqual((result.code, result.out, result.err), (0, "", ""))

    async def test_log_lines(self) -> None:
        """Each line is one JSON object with the documented keys; a request's line has all that belongs to it."""
        gateway = await self.begin()
        await self.curl(*CHAT, "-H", "x-request-id: mine-1", gateway.url + PATH)
        await until(lambda: bool(gateway.access()), "the access line")
        await gateway.stop()
        lines = [json.loads(line) for line in gateway.process.out.splitlines()]
        self.assertGreater(len(lines), 2)
        always = {"timestamp", "level", "fields", "target", "threadId"}
        known = always | {"span", "request_id", "filename", "line_number"}
        for line in lines:
            self.assertEqual((always - set(line), set(line) - known), (set(), set()), line)
            self.assertIn(line["level"], ("TRACE", "DEBUG", "INFO", "WARN", "ERROR"))
            self.assertIsInstance(line["fields"]["message"], str)
            self.assertEqual(datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds(), 0)  # type: ignore
        access: Any = next(line for line in lines if line["target"] == "llmedge.access")
        self.assertEqual((access["request_id"], "name" in access["span"]), ("mine-1", True))
        expected = "method route status outcome duration_ms overhead_ms peer caller bytes_in bytes_out model "
        expected += "message_count stream attempts input_tokens output_tokens"
        self.assertEqual(set(expected.split()) - set(access["fields"]), set())

    async def test_behind_haproxy(self) -> None:
        """``haproxy:tcp:PORT`` takes the client's address from the PROXY protocol, version 1 and 2."""
        find("haproxy")
        gateway = await self.begin(port="haproxy:tcp:0:interface=127.0.0.1")
        for version in ("send-proxy", "send-proxy-v2"):
            port = await self.proxy(gateway, version)
            count = len(gateway.access())
            status, _, _ = await self.curl("--interface", "127.0.0.2", *CHAT, f"http://127.0.0.1:{port}{PATH}")
            self.assertEqual(status, 200)
            await until(lambda n=count: len(gateway.access()) > n, "the access line")
            self.assertEqual(gateway.access()[-1]["peer"], "127.0.0.2")

    async def test_limits_behind_haproxy(self) -> None:
        """The limit for one address holds for the client's, not the proxy's, and is given back with a connection."""
        find("haproxy")
        toml = MOCK + "[server]\nmax_connections_per_address = 2\n"
        gateway = await self.begin(toml, port="haproxy:tcp:0:interface=127.0.0.1")
        port = await self.proxy(gateway, "send-proxy")
        for _ in range(5):
            status, _, _ = await self.curl("--interface", "127.0.0.2", f"http://127.0.0.1:{port}/health")
            self.assertEqual(status, 200)
        held = []
        for _ in range(3):
            endpoint = HostnameEndpoint(reactor, "127.0.0.1", port, bindAddress=("127.0.0.2", 0))
            client: Client = await connectProtocol(endpoint, Client())
            client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            held.append(client)
            if len(held) < 3:
                await client.wait_for(b"healthy")
        await held[2].closed
        self.assertEqual(held[2].received, b"")
        status, _, _ = await self.curl("--interface", "127.0.0.3", f"http://127.0.0.1:{port}/health")
        self.assertEqual(status, 200)
        for client in held[:2]:
            client.leave()

    async def proxy(self, gateway: Gateway, version: str) -> int:
        """A haproxy in front of ``gateway``; its port."""
        port = free_port()
        config = self.folder / f"{version}.cfg"
        config.write_text(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n"
            f"frontend edge\n    bind 127.0.0.1:{port}\n    default_backend llmedge\n"
            f"backend llmedge\n    server one 127.0.0.1:{gateway.port} {version}\n"
        )
        process = Process(None)
        process.ready.callback("")
        process.start([find("haproxy"), "-db", "-f", str(config)], {})
        self.addCleanup(lambda: Deferred.fromCoroutine(process.stop()))
        for _ in range(100):
            result = await self.program("curl", "-s", "-o", "ignored", f"http://127.0.0.1:{port}/health")
            if result.code == 0:
                return port
        raise AssertionError(process.err)
