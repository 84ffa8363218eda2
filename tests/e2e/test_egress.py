"""The way out of the real service: a real proxy (tinyproxy), a unix socket, certificates of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.certificates import Authority
from tests.e2e.client import Client
from tests.e2e.service import TIMEOUT, Gateway, Process, connections, free_port, until
from tests.e2e.tools import find
from tests.e2e.vendor import ANSWER, Asked, Vendor, delta
from tests.fakes import CHAT, Response, request, write_service_account
from tests.folders import new_folder

LOGIN = "canary-user:canary%2Dword"
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300", "ENABLE_TRACING": "true"}


def answer(asked: Asked) -> None:
    asked.connection.answer(200, ANSWER)


class Egress(TestCase):
    timeout = TIMEOUT

    async def proxy(self, *more: str) -> str:
        """tinyproxy, which wants a login; its URL without that."""
        program, port = find("tinyproxy"), free_port()
        folder = new_folder()
        self.log = folder / "log"
        lines = [
            f"Port {port}",
            "Listen 127.0.0.1",
            f'LogFile "{self.log}"',
            "LogLevel Info",
            "BasicAuth canary-user canary-word",
            *more,
        ]
        (folder / "conf").write_text("\n".join(lines) + "\n")
        process = Process(None)
        process.ready.addErrback(lambda failure: None)
        process.start([program, "-d", "-c", str(folder / "conf")], {})
        self.addCleanup(lambda: Deferred.fromCoroutine(process.stop()))
        await until(lambda: connections(port, "0A"), "the proxy listening")
        return f"127.0.0.1:{port}"

    def told(self) -> str:
        """What the proxy was asked for."""
        return self.log.read_text() if self.log.exists() else ""

    async def vendor(self, script: Any = answer, **how: Any) -> Vendor:
        vendor = Vendor(script, **how)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        return vendor

    async def begin(self, toml: str, **environ: str) -> Gateway:
        self.gateway = gateway = Gateway(toml + "\n[routing]\nretries = 0\n", environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return await gateway.start()

    async def ask(self, stream: bool = False) -> Response:
        client = await Client.connect(self.gateway.port)
        client.send(request(body=CHAT | {"stream": stream}))
        response = await client.response()
        client.leave()
        return response

    def nothing_leaks(self) -> None:
        for word in ("canary", "Y2FuYXJ5"):  # plain and in base64
            self.assertNotIn(word, self.gateway.process.out + self.gateway.process.err)

    async def test_https_through_a_tunnel(self) -> None:
        """The proxy knows host and port, and no more; connections are kept."""
        authority = Authority()
        vendor = await self.vendor(certificate=authority.issue("v", "localhost"))
        where = await self.proxy()
        toml = f'[providers.v]\nbase_url = "https://localhost:{vendor.port}/v1"\nmodels = ["*"]\n'
        environ = {"HTTPS_PROXY": f"http://{LOGIN}@{where}", "SSL_CERT_FILE": authority.path}
        gateway = await self.begin(toml, **environ)
        for _ in range(3):
            self.assertEqual((await self.ask()).status, 200)
        self.assertEqual(self.told().count(f"CONNECT localhost:{vendor.port} HTTP/1.1"), 1)
        self.assertEqual(len(vendor.connections), 1)
        self.assertNotIn("chat/completions", self.told())
        self.assertNotIn("proxy-authorization", vendor.asked[0].headers)
        self.assertIn(f"/v1 through the proxy http://{where}", gateway.process.out)
        self.assertIn(f"trusted in the place of the system's authorities: {authority.path}", gateway.process.out)
        self.nothing_leaks()

    async def test_http_and_streams(self) -> None:
        """The proxy reads along, and passes each event on when it comes."""
        asked: list[Asked] = []

        def script(one: Asked) -> None:
            asked.append(one)
            one.connection.begin_stream()
            one.connection.event(delta("one"))

        vendor = await self.vendor(script)
        where = await self.proxy()
        await self.begin(vendor.toml, http_proxy=f"http://{LOGIN}@{where}")
        client = await Client.connect(self.gateway.port)
        client.send(request(body=CHAT | {"stream": True}))
        await until(lambda: b"one" in client.received, "the first event")
        asked[0].connection.event(delta("two", "stop"))
        asked[0].connection.event(b"[DONE]")
        asked[0].connection.end()
        response = await client.response()
        client.leave()
        self.assertEqual((response.status, response.events()[-1]), (200, "[DONE]"))
        self.assertIn(f"POST http://127.0.0.1:{vendor.port}/v1/chat/completions HTTP/1.1", self.told())
        self.assertEqual(asked[0].headers["host"], f"127.0.0.1:{vendor.port}")
        self.assertNotIn("proxy-authorization", asked[0].headers)
        self.nothing_leaks()

    async def test_past_the_proxy(self) -> None:
        """By the environment, or for one provider."""
        vendor = await self.vendor()
        where = await self.proxy()
        for more, environ in (("", {"NO_PROXY": "127.0.0.0/8"}), ('proxy = "off"\n', {})):
            await self.begin(vendor.toml + more, ALL_PROXY=f"http://{LOGIN}@{where}", **environ)
            self.assertEqual((await self.ask()).status, 200)
            await self.gateway.stop()
        self.assertNotIn("Connect", self.told())

    async def test_the_proxy_refuses(self) -> None:
        """A wrong login; a port that it opens no tunnel to; nobody there."""
        authority = Authority()
        vendor = await self.vendor(certificate=authority.issue("v", "localhost"))
        where = await self.proxy("ConnectPort 443")
        toml = f'[providers.v]\nbase_url = "https://localhost:{vendor.port}/v1"\nmodels = ["*"]\n'
        for proxy, cause, words in (
            (f"u:canary@{where}", "proxy", "its proxy wants a user name and a password, or others"),
            (f"{LOGIN}@{where}", "proxy", "its proxy answered with status 403"),
            (f"127.0.0.1:{free_port()}", "refused", "its proxy could not be reached: connection refused"),
        ):
            gateway = await self.begin(f'{toml}proxy = "http://{proxy}"\n')
            response = await self.ask()
            self.assertEqual(response.status, 502)
            self.assertIn(words, response.error["message"])
            await until(lambda gateway=gateway: gateway.access(), "the access line")
            self.assertEqual(gateway.access()[-1]["attempts"][0]["cause"], cause)
            self.nothing_leaks()
        self.assertEqual(vendor.connections, [])

    async def test_tokens(self) -> None:
        """What proves who asks goes the way of what is asked."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = write_service_account(private_key=pem.decode())

        def script(asked: Asked) -> None:
            if "/token" in asked.line:
                asked.connection.answer(200, {"access_token": "t", "expires_in": 3600})
            else:
                asked.connection.answer(200, {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]})

        vendor = await self.vendor(script)
        where = await self.proxy()
        url = f"http://127.0.0.1:{vendor.port}"
        lines = ('vendor = "vertex"', f'credentials = "{file}"', 'location = "global"', 'models = ["*"]')
        lines += (f'base_url = "{url}"', f'token_url = "{url}/token"', f'proxy = "http://{LOGIN}@{where}"')
        await self.begin("[providers.v]\n" + "\n".join(lines) + "\n")
        self.assertEqual((await self.ask()).status, 200)
        self.assertIn(f"POST {url}/token HTTP/1.1", self.told())
        self.assertIn("generateContent HTTP/1.1", self.told())
        self.nothing_leaks()

    async def test_traces(self) -> None:
        """Over gRPC by a tunnel, over HTTP as any http URL."""
        vendor = await self.vendor()
        collector = await self.vendor()
        where = await self.proxy()
        for endpoint, protocol, line in (
            (
                f"http://127.0.0.1:{collector.port}",
                "http",
                f"POST http://127.0.0.1:{collector.port}/v1/traces HTTP/1.1",
            ),
            ("http://collector.invalid:4317", "grpc", "CONNECT collector.invalid:4317 HTTP/1.1"),
        ):
            toml = f'{vendor.toml}proxy = "off"\n[tracing]\nendpoint = "{endpoint}"\nprotocol = "{protocol}"\n'
            gateway = await self.begin(toml, **QUICK, HTTP_PROXY=f"http://{LOGIN}@{where}")
            self.assertEqual((await self.ask()).status, 200)
            await until(lambda line=line: line in self.told(), line)
            self.assertIn(f"tracing: to {endpoint} through the proxy http://{where}", gateway.process.out)
            self.nothing_leaks()

    async def test_a_unix_socket(self) -> None:
        """With a path of its own, streams too; it is told no strange Host."""
        path = str(new_folder() / "v.sock")

        def script(asked: Asked) -> None:
            if not asked.json()["stream"]:
                answer(asked)
                return
            asked.connection.begin_stream()
            asked.connection.event(delta("one", "stop"))
            asked.connection.event(b"[DONE]")
            asked.connection.end()

        vendor = await self.vendor(script, path=path)
        toml = f'[providers.v]\nbase_url = "unix:{path}:/v1"\nmodels = ["*"]\n'
        gateway = await self.begin(toml, ALL_PROXY="http://127.0.0.1:1")
        for stream in (False, True, False):
            self.assertEqual((await self.ask(stream)).status, 200)
        self.assertEqual(vendor.asked[0].line, "POST /v1/chat/completions HTTP/1.1")
        self.assertEqual(vendor.asked[0].headers["host"], "localhost")
        self.assertEqual(len(vendor.connections), 1)
        self.assertIn(f"provider v: unix:{path}:/v1,", gateway.process.out)

    async def test_a_certificate_that_is_renewed(self) -> None:
        """A vendor that wants ours gets it; the new one is shown after a reload."""
        theirs, ours = Authority("theirs"), Authority("ours")
        cert, key = ours.issue("gateway", "gateway.example", client=True, days=-0.5)
        vendor = await self.vendor(certificate=theirs.issue("v", "localhost"), clients=ours.path)
        toml = f'[providers.v]\nbase_url = "https://localhost:{vendor.port}/v1"\nmodels = ["*"]\n'
        toml += f'ca_file = "{theirs.path}"\nclient_cert = "{cert}"\nclient_key = "{key}"\n'
        gateway = await self.begin(toml)
        response = await self.ask()
        self.assertEqual(response.status, 502)
        self.assertIn("TLS failed", response.error["message"])
        self.assertIn("expired", response.error["message"])
        ours.issue("gateway", "gateway.example", client=True)
        gateway.process.transport.signalProcess("HUP")  # type: ignore[union-attr]
        await until(lambda: "the configuration was read again" in gateway.process.out, "the reload")
        self.assertEqual((await self.ask()).status, 200)
        self.assertIn("providers.v.client_key: changed", gateway.process.out)
        self.assertNotIn("BEGIN", json.dumps(gateway.logs()))
        self.assertTrue(Path(cert).exists())
