"""What docs/front.rst says to write into nginx, HAProxy and Caddy, done."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from twisted.internet.defer import Deferred

from tests.e2e.certificates import Authority
from tests.e2e.client import reactor
from tests.e2e.service import PATIENCE, ROOT, Gateway, Process, free_port, until
from tests.e2e.tools import find
from tests.e2e.tools_of_others.edge import BODY, PATH, Edge

PAGE = (Path(ROOT) / "docs" / "front.rst").read_text()
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
STALLS = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n[providers.s]\ndialect = "mock"\nfault = "stall"\n'


def example(title: str, language: str) -> str:
    """The code under a heading of the page."""
    _, _, section = PAGE.partition(f"\n{title}\n---")
    found = re.search(rf"\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)", section)
    assert found is not None, title
    return textwrap.dedent(found[1])


class Fronts(Edge):
    async def behind(self) -> Gateway:
        """The gateway as the page has it, on ports of its own."""
        toml = example("The gateway's side", "toml")
        self.ready_port = free_port()
        for stated, mine in (
            ("tcp:8080:", "tcp:0:"),
            ("tcp:9901:", f"tcp:{self.ready_port}:"),
            ('"env:TEAM_A_KEY"', '"team-key"'),
        ):
            self.assertIn(stated, toml)
            toml = toml.replace(stated, mine)
        gateway = Gateway(toml + STALLS, arguments=())
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        authority = Authority()
        cert, key = authority.issue("server", "llm.example.com")
        self.cert = self.folder / "both.pem"
        self.cert.write_text(Path(cert).read_text() + Path(key).read_text())
        self.ca = authority.path
        self.port = free_port()
        return gateway

    def adapted(self, text: str, gateway: Gateway, **changes: str) -> str:
        """The page's example, on this test's ports and with its certificate."""
        changes = {"127.0.0.1:8080": f"127.0.0.1:{gateway.port}"} | changes
        for stated, mine in changes.items():
            self.assertIn(stated, text)
            text = text.replace(stated, mine)
        return text

    async def run_front(self, *command: str, url: str = "", to: tuple[str, ...] = (), answer: str = "401") -> None:
        """Start it, and wait until it passes calls on."""
        process = Process(None)
        process.ready.callback("")
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        process.start([find(command[0]), *command[1:]], home, str(self.folder))
        self.addCleanup(lambda: Deferred.fromCoroutine(process.stop()))
        asking = ("-s", "-o", "up", "-w", "%{http_code}", *(to or self.to()), url or self.url("/v1/models"))
        late = reactor.seconds() + PATIENCE
        while (await self.program("curl", *asking)).out != answer:
            if process.ended.called or reactor.seconds() > late:
                raise AssertionError(process.out + process.err)

    def nginx(self, servers: str) -> tuple[str, ...]:
        """The command that runs it with these."""
        temporary = " ".join(f"{name}_temp_path {name};" for name in TEMPORARY)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid pid; error_log stderr; events {{}}\nhttp {{ access_log off; {temporary}\n{servers}\n}}\n"
        )
        return ("nginx", "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr")

    def url(self, path: str) -> str:
        return f"https://llm.example.com:{self.port}{path}"

    def to(self) -> tuple[str, ...]:
        """Curl's options for asking the proxy, by its name, from an address of our own."""
        return ("--cacert", self.ca, "--resolve", f"llm.example.com:{self.port}:127.0.0.1", "--interface", "127.0.0.9")

    async def passes(self, gateway: Gateway, cuts: bool = False) -> None:
        """Calls, streams, sizes and refusals are the gateway's, the peer is the client; metrics stay inside.

        A front that ``cuts`` may lose the body of a refusal that comes while the client still sends.
        """
        key = ("-H", "authorization: Bearer team-key", "-H", "content-type: application/json")
        for version in ("--http1.1", "--http2"):
            status, headers, body = await self.curl(version, *self.to(), *key, "-d", BODY, self.url(PATH))
            self.assertEqual((status, json.loads(body)["object"]), (200, "chat.completion"))
            self.assertEqual(headers["x-content-type-options"], "nosniff")
        await until(lambda: len([line for line in gateway.access() if line["status"] == 200]) == 2, "the access lines")
        self.assertEqual({line["peer"] for line in gateway.access() if line["status"] == 200}, {"127.0.0.9"})
        for path in ("/metrics", "/health", "/health/ready"):
            status, _, _ = await self.curl(*self.to(), *key, self.url(path))
            self.assertEqual(status, 404, path)
        big = self.folder / "big"
        for size, expected in ((3_000_000, 200), (11_000_000, 413)):
            big.write_text(json.dumps(json.loads(BODY) | {"user": "x" * size}))
            asked = (*self.to(), *key, "-H", "expect:", "-d", f"@{big}", self.url(PATH))
            status, headers, body = await self.curl(*asked, cut=cuts and expected == 413)
            self.assertEqual(status, expected)
            self.assertEqual(headers.get("x-request-id", "")[:4], "req_")  # the gateway's answer
            if body or not (cuts and status == 413):
                code = json.loads(body).get("error", {}).get("code")
                self.assertEqual(code, {413: "REQUEST_TOO_LARGE"}.get(status))
        await self.streams(key)
        await self.upgrades()

    async def streams(self, key: tuple[str, ...]) -> None:
        """Events come while the vendor is still silent about the rest."""
        curl = Process("data: {")
        body = json.dumps(json.loads(BODY) | {"model": "s/x", "stream": True})
        curl.start([find("curl"), "-sSN", *self.to(), *key, "-d", body, self.url(PATH)], {})
        await curl.ready
        self.assertNotIn("[DONE]", curl.out)
        await curl.stop()

    async def upgrades(self) -> None:
        """A WebSocket opens."""
        openssl = Process("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        to = ("-connect", f"127.0.0.1:{self.port}", "-servername", "llm.example.com")
        openssl.start([find("openssl"), "s_client", "-quiet", "-CAfile", self.ca, *to], {})
        asked = (
            f"GET {PATH} HTTP/1.1\r\nhost: llm.example.com\r\nauthorization: Bearer team-key\r\n"
            "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        openssl.transport.write(asked.encode())  # type: ignore[union-attr]
        await openssl.ready
        self.assertTrue(openssl.out.startswith("HTTP/1.1 101 "))
        await openssl.stop()

    async def test_nginx(self) -> None:
        find("nginx")
        gateway = await self.behind()
        text = self.adapted(
            example("nginx", "nginx"),
            gateway,
            **{
                "listen 443": f"listen 127.0.0.1:{self.port}",
                "/etc/ssl/llm.example.com.pem": str(self.cert),
                "/etc/ssl/llm.example.com.key": str(self.cert),
            },
        )
        await self.run_front(*self.nginx(text))
        await self.passes(gateway)

    async def test_haproxy(self) -> None:
        find("haproxy")
        gateway = await self.behind()
        text = self.adapted(
            example("HAProxy", "text"),
            gateway,
            **{
                "bind :443": f"bind 127.0.0.1:{self.port}",
                "/etc/ssl/llm.example.com.pem": str(self.cert),
                "port 9901": f"port {self.ready_port}",
            },
        )
        (self.folder / "haproxy.cfg").write_text(text)
        await self.run_front("haproxy", "-db", "-f", "haproxy.cfg")
        await self.passes(gateway)

    async def test_caddy(self) -> None:
        find("caddy")
        gateway = await self.behind()
        named = f"https://llm.example.com:{self.port} {{\n    tls {self.cert} {self.cert}"
        text = self.adapted(example("Caddy", "text"), gateway, **{"llm.example.com {": named})
        options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
        (self.folder / "Caddyfile").write_text(options + text)
        await self.run_front("caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
        await self.passes(gateway, cuts=True)

    async def test_several_gateways(self) -> None:
        """What keeps a caller at one of them is understood by the proxy that the page names it for."""
        words = " ".join(PAGE.partition("\nSeveral gateways\n")[2].split())
        nginx, haproxy, caddy = re.findall(r"``((?:hash|balance|lb_policy) [^`]+)``", words)
        more = "server 127.0.0.1:8081;"
        self.assertIn(f"``{more}`` for nginx", words)
        front = example("nginx", "nginx").partition("map ")[0].replace("keepalive", f"{more} {nginx}; keepalive")
        command = self.nginx(front)
        checked = await self.program(command[0], "-t", *command[1:])
        self.assertEqual(checked.code, 0, checked.err)
        text = re.sub(r"(?s)frontend.*?(?=\nbackend)", "", example("HAProxy", "text"))
        text = text.replace("balance leastconn", haproxy) + "    server two 127.0.0.1:8081 check port 9902\n"
        (self.folder / "haproxy.cfg").write_text(f"{text}listen idle\n    bind 127.0.0.1:{free_port()}\n")
        checked = await self.program("haproxy", "-c", "-f", "haproxy.cfg")
        self.assertEqual(checked.code, 0, checked.err)
        text = example("Caddy", "text").replace("8080 {", f"8080 127.0.0.1:8081 {{\n        {caddy}")
        (self.folder / "Caddyfile").write_text(text)
        checked = await self.program("caddy", "adapt", "--config", "Caddyfile", "--adapter", "caddyfile")
        self.assertEqual((checked.code, "header" in checked.out), (0, True), checked.err)

    async def test_nginx_as_it_comes(self) -> None:
        """One line of it, and no keys: nobody gets in."""
        find("nginx")
        gateway = await self.begin()
        url = f"http://127.0.0.1:{free_port()}"
        server = f"server {{ listen {url.removeprefix('http://')}; location / {{ proxy_pass {gateway.url}; }} }}"
        await self.run_front(*self.nginx(server), url=f"{url}/health", to=("-4",), answer="200")
        status, _, body = await self.curl("-H", "host: llm.example.com", f"{url}/v1/models")
        self.assertEqual(status, 401)
        self.assertIn("HTTP/1.0", body)
