"""Traces of the real service, as real collectors get them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import rotel
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client, wait
from tests.e2e.service import TIMEOUT, Gateway, Process, connections, free_port, reactor, until
from tests.e2e.vendor import ANSWER, Vendor
from tests.fakes import CHAT, request

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COMING = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300", "ENABLE_TRACING": "true"}


class Traces(TestCase):
    timeout = TIMEOUT

    async def gateway(self, told: str | dict[str, str]) -> Gateway:
        """:param told: the endpoint, or the variables that say it."""
        self.vendor = vendor = Vendor(lambda asked: asked.connection.answer(200, ANSWER))
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        environ = QUICK | {"OTLP_ENDPOINT": told} if isinstance(told, str) else told
        gateway = Gateway(self.vendor.toml, environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return await gateway.start()

    async def collector(self, *arguments: str) -> Process:
        process = Process(None)
        process.ready.addErrback(lambda failure: None)
        process.start([*arguments], {"PYTHONUNBUFFERED": "1"})
        self.addCleanup(lambda: Deferred.fromCoroutine(process.stop()))
        return process

    async def listening(self, port: int) -> None:
        await until(lambda: connections(port, "0A"), f"somebody listening on {port}")

    async def ask(self, gateway: Gateway) -> Any:
        client = await Client.connect(gateway.port)
        client.send(request(body=CHAT, headers=COMING))
        response = await client.response()
        client.leave()
        self.assertEqual(response.status, 200)
        return response

    def warnings(self, gateway: Gateway) -> list[str]:
        return [
            line["fields"]["message"]
            for line in gateway.logs()
            if line["level"] in ("WARN", "ERROR") or "Traceback" in str(line)
        ]

    async def test_over_http(self) -> None:
        """Vendor and collector see one trace: the vendor's parent is the attempt's span."""
        port = free_port()
        tap = await self.collector(sys.executable, "-m", "oteltap", "--port", str(port))
        await self.listening(port)
        gateway = await self.gateway(f"http://127.0.0.1:{port}/v1/traces")
        await self.ask(gateway)
        version, trace_id, span_id, flags = self.vendor.asked[0].headers["traceparent"].split("-")
        self.assertEqual((version, trace_id, flags), ("00", TRACE, "01"))
        self.assertNotEqual(span_id, PARENT)
        self.assertEqual(self.vendor.asked[0].headers["tracestate"], "a=1")
        await until(lambda: "gen_ai.client.token.usage" in tap.out and "chat mock-model" in tap.out, "both came")
        lines = [json.loads(line) for line in tap.out.splitlines() if line.startswith("{")]
        spans = {
            span["name"]: span for span in find(lines, "name") if "POST " in span["name"] or "chat " in span["name"]
        }
        server, attempt = spans["POST /v1/chat/completions"], spans["chat mock-model"]
        text = json.dumps([server, attempt])
        self.assertIn(span_id, json.dumps(attempt))
        self.assertIn(PARENT, json.dumps(server))
        self.assertIn("gen_ai.usage.input_tokens", text)
        self.assertNotIn("one two three", tap.out)
        self.assertNotIn("hello", tap.out)
        self.assertIn("gen_ai.server.request.duration", tap.out)
        self.assertEqual(self.warnings(gateway), [])
        self.assertIn(f"tracing: to http://127.0.0.1:{port}/v1/traces (http)", gateway.process.out)

    async def test_over_grpc(self) -> None:
        """The last spans arrive too: stopping exports them."""
        port, other = free_port(), free_port()
        agent = Path(rotel.__file__).with_name("rotel-agent")
        tried = await getProcessOutputAndValue(str(agent), ["--version"], env={})
        if tried[2] != 0:
            self.skipTest(f"rotel-agent does not run here: {tried[1].decode()} (Debian package libpythonX.Y)")
        collector = await self.collector(
            str(agent), "start", "--otlp-grpc-endpoint", f"127.0.0.1:{port}", "--otlp-http-endpoint",
            f"127.0.0.1:{other}", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "metrics",
            "--debug-log-verbosity", "detailed",
        )  # fmt: skip
        await self.listening(port)
        gateway = await self.gateway(f"http://127.0.0.1:{port}")
        await self.ask(gateway)
        self.assertEqual(await gateway.stop(), 0)
        await until(lambda: "chat mock-model" in collector.out + collector.err, "the spans")
        out = collector.out + collector.err
        self.assertIn(TRACE, out)
        self.assertIn(self.vendor.asked[0].headers["traceparent"].split("-")[2], out)
        self.assertTrue(re.search("gen_ai.server.request.duration", out))
        self.assertEqual(self.warnings(gateway), [])

    async def test_no_collector(self) -> None:
        """Calls go on, one line says so, and stopping takes no longer than the goodbye."""
        for endpoint in (f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}/v1/traces"):
            gateway = await self.gateway(endpoint)
            for _ in range(20):
                await self.ask(gateway)
            await until(lambda gateway=gateway: self.warnings(gateway), "the warning")
            for _ in range(3):
                await self.ask(gateway)
                await wait(0.5)
            (warning,) = self.warnings(gateway)
            self.assertIn(f"{endpoint} takes no ", warning)
            began = reactor.seconds()
            self.assertEqual(await gateway.stop(), 0)
            self.assertLess(reactor.seconds() - began, 30)  # an exporter left alone tries for a minute
            self.assertEqual(gateway.process.err, "")
            self.assertEqual(len(self.warnings(gateway)), 1)

    async def test_off(self) -> None:
        """The client's own trace goes to the vendor, as it came."""
        self.vendor = vendor = Vendor(lambda asked: asked.connection.answer(200, ANSWER))
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        gateway = Gateway(self.vendor.toml)
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await self.ask(await gateway.start())
        found = {name: self.vendor.asked[0].headers.get(name) for name in COMING}
        self.assertEqual(found, COMING)

    async def test_opentelemetrys_own_variables(self) -> None:
        """They are enough, alone."""
        port = free_port()
        tap = await self.collector(sys.executable, "-m", "oteltap", "--port", str(port))
        await self.listening(port)
        told = {name: value for name, value in QUICK.items() if name.startswith("OTEL_")}
        told["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        told["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"  # which the port does not tell
        await self.ask(await self.gateway(told))
        await until(lambda: "gen_ai.client.token.usage" in tap.out and "chat mock-model" in tap.out, "both came")


def find(value: Any, key: str) -> list[Any]:
    """Every object in ``value`` that has ``key``."""
    found: list[Any] = []
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        found += find(inner, key)
    if isinstance(value, dict) and key in value:
        found.append(value)
    return found
