"""What the edge promises, each promise tried with a client, a scanner or a proxy that others wrote."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from tests.e2e.certificates import Authority
from tests.e2e.client import Client, reactor
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, Process, free_port, until
from tests.e2e.tools import Output, find, run
from tests.folders import new_folder

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
BODY = '{"model":"m","messages":[{"role":"user","content":"hi"}]}'
CHAT = ("-H", "content-type: application/json", "-d", BODY)
PATH = "/v1/chat/completions"


class Edge(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.folder = new_folder()

    async def program(self, name: str, *arguments: str, stdin: bytes = b"") -> Output:
        """Run a program in the test's folder."""
        return await run(name, *arguments, stdin=stdin, folder=self.folder)

    async def begin(self, toml: str = MOCK, port: str = "tcp:0:interface=127.0.0.1", **environ: str) -> Gateway:
        gateway = Gateway(toml, environ, ("--port", port))
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def begin_tls(self) -> Gateway:
        self.authority = Authority()
        cert, key = self.authority.issue("server", "localhost")
        return await self.begin(port="ssl:0:interface=127.0.0.1", TLS_CERT_PATH=cert, TLS_KEY_PATH=key)

    async def curl(self, *arguments: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of the last answer, whatever its status."""
        result = await self.program("curl", "-sS", "--max-time", str(PATIENCE), "-D", "headers", *arguments)
        self.assertEqual((result.code, result.err), (0, ""))
        top = (self.folder / "headers").read_text().strip().replace("\r\n", "\n").split("\n\n")[-1]
        line, *fields = top.split("\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        return int(line.split(" ")[1]), headers, result.out


class Protocols(Edge):
    async def test_http11_by_curl(self) -> None:
        """HTTP/1.1: a whole answer, a stream that ends as it should, and two requests on one connection."""
        gateway = await self.begin()
        status, headers, body = await self.curl("--http1.1", *CHAT, gateway.url + PATH)
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(body)["object"], "chat.completion")
        stream = BODY.replace("{", '{"stream":true,', 1)
        status, headers, body = await self.curl("--http1.1", "-N", *CHAT[:3], stream, gateway.url + PATH)
        self.assertEqual((status, headers["transfer-encoding"]), (200, "chunked"))
        self.assertTrue(headers["content-type"].startswith("text/event-stream"))
        self.assertTrue(body.endswith("data: [DONE]\n\n"))
        url = f"{gateway.url}/health"
        result = await self.program(
            "curl", "-sS", "-o", "one", "-o", "two", "-w", "%{num_connects} %{http_version} ", url, url
        )
        self.assertEqual(result.out, "1 1.1 0 1.1 ")

    async def test_h2_over_tls_by_h2load(self) -> None:
        """100 requests in 10 streams at once on one TLS connection: all are answered 200."""
        gateway = await self.begin_tls()
        (self.folder / "body.json").write_text(BODY)
        arguments = ("-n", "100", "-c", "1", "-m", "10", "-d", "body.json", "-H", "content-type: application/json")
        result = await self.program("h2load", *arguments, f"https://127.0.0.1:{gateway.port}{PATH}")
        self.assertIn("Application protocol: h2", result.out)
        self.assertIn("100 succeeded, 0 failed, 0 errored, 0 timeout", result.out)
        self.assertIn("status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx", result.out)

    async def test_h2_over_tls_by_curl(self) -> None:
        """ALPN chooses h2 where the client offers it, and HTTP/1.1 where it does not."""
        gateway = await self.begin_tls()
        for version, number in (("--http2", "2"), ("--http1.1", "1.1")):
            arguments = ("-sS", "--cacert", self.authority.path, version, "-w", " %{http_version} %{http_code}", *CHAT)
            result = await self.program("curl", *arguments, f"https://localhost:{gateway.port}{PATH}")
            self.assertTrue(result.out.endswith(f"}} {number} 200"), result)

    async def test_h2c_by_nghttp(self) -> None:
        """Prior knowledge: HTTP/2 in cleartext on the same port, settings first, then the answer; curl likewise."""
        gateway = await self.begin()
        result = await self.program("nghttp", "-v", "--no-dep", f"--timeout={PATIENCE:g}", f"{gateway.url}/health")
        self.assertEqual(result.code, 0, result)
        first = re.search(r"recv (\w+) frame", result.out)
        assert first is not None
        self.assertEqual(first[1], "SETTINGS")
        for setting in ("SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100", "SETTINGS_MAX_HEADER_LIST_SIZE(0x06):16384"):
            self.assertIn(setting, result.out)
        self.assertIn(":status: 200", result.out)
        arguments = ("-sS", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", *CHAT)
        result = await self.program("curl", *arguments, gateway.url + PATH)
        self.assertTrue(result.out.endswith("} 2 200"), result)

    async def test_gzip_by_curl(self) -> None:
        """A client that takes gzip gets it where it saves something, and reads the same as one that does not."""
        models = "".join(f'[models."model-{number}"]\ntargets = ["m/x"]\n' for number in range(100))
        gateway = await self.begin(MOCK + models)
        url = f"{gateway.url}/v1/models"
        _, plain_headers, plain = await self.curl(url)
        _, headers, body = await self.curl("--compressed", "-H", "accept-encoding: gzip", url)
        self.assertNotIn("content-encoding", plain_headers)
        self.assertEqual((headers["content-encoding"], headers["vary"]), ("gzip", "Accept-Encoding"))
        self.assertLess(int(headers["content-length"]), int(plain_headers["content-length"]) // 3)
        ids = [[model["id"] for model in json.loads(text)["data"]] for text in (plain, body)]
        self.assertEqual(ids[0], ids[1])
        self.assertIn("model-99", ids[0])

    async def test_cors_by_curl(self) -> None:
        """A preflight from a listed origin is allowed without a key; another origin is told nothing."""
        toml = '[cors]\norigins = ["https://app.example.com"]\n[[auth.keys]]\nname = "a"\nkey = "k"\n'
        gateway = await self.begin(MOCK + toml)
        asked = ("-X", "OPTIONS", "-H", "access-control-request-method: POST")
        asked += ("-H", "access-control-request-headers: content-type, x-stainless-os")
        status, headers, _ = await self.curl(*asked, "-H", "origin: https://app.example.com", gateway.url + PATH)
        self.assertEqual((status, headers["access-control-allow-origin"]), (204, "https://app.example.com"))
        self.assertIn("POST", headers["access-control-allow-methods"])
        self.assertIn("x-stainless-os", headers["access-control-allow-headers"])
        self.assertEqual(headers["access-control-max-age"], "600")
        _, headers, _ = await self.curl(*asked, "-H", "origin: https://evil.example.com", gateway.url + PATH)
        self.assertNotIn("access-control-allow-origin", headers)


class Tls(Edge):
    async def client(self, gateway: Gateway, *arguments: str) -> Output:
        """One request by ``openssl s_client``, which reads to the end."""
        hello = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        verify = ("-CAfile", self.authority.path, "-verify_return_error", "-servername", "localhost")
        at = ("-connect", f"127.0.0.1:{gateway.port}", "-ign_eof")
        return await self.program("openssl", "s_client", *at, *verify, *arguments, stdin=hello)

    async def test_versions_by_openssl(self) -> None:
        """TLS 1.2 and 1.3 are spoken; 1.1 and 1.0 are refused by name."""
        gateway = await self.begin_tls()
        for option, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            result = await self.client(gateway, option)
            self.assertEqual(result.code, 0, result)
            self.assertIn(f"New, {name}, Cipher is ", result.out)
            self.assertIn("Verify return code: 0 (ok)", result.out)
            self.assertIn("HTTP/1.1 200 OK", result.out)
        for option in ("-tls1_1", "-tls1"):
            result = await self.client(gateway, option, "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotEqual(result.code, 0)
            self.assertIn("alert protocol version", result.err)

    async def test_resumption_by_openssl(self) -> None:
        """A session that the client kept is resumed, under TLS 1.2 and 1.3."""
        gateway = await self.begin_tls()
        for option in ("-tls1_2", "-tls1_3"):
            first = await self.client(gateway, option, "-sess_out", "session")
            self.assertIn("New, TLSv1", first.out)
            second = await self.client(gateway, option, "-sess_in", "session")
            self.assertIn("Reused, TLSv1", second.out)
            self.assertIn("HTTP/1.1 200 OK", second.out)

    async def test_nothing_weak_by_sslscan(self) -> None:
        """No old version, no cipher without forward secrecy and AEAD, no compression, renegotiation or Heartbleed."""
        gateway = await self.begin_tls()
        result = await self.program("sslscan", "--no-colour", f"127.0.0.1:{gateway.port}")
        self.assertEqual(result.code, 0, result)
        versions = dict(re.findall(r"^((?:SSL|TLS)v[\d.]+) +(enabled|disabled)$", result.out, re.M))
        off = dict.fromkeys(("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"), "disabled")
        self.assertEqual(versions, off | {"TLSv1.2": "enabled", "TLSv1.3": "enabled"})
        ciphers = re.findall(r"^(?:Accepted|Preferred) +\S+ +(\d+) bits +(\S+)", result.out, re.M)
        self.assertGreater(len(ciphers), 3)
        for bits, name in ciphers:  # no RSA key exchange either, so nothing for ROBOT
            self.assertGreaterEqual(int(bits), 128)
            self.assertRegex(name, r"^(TLS_|ECDHE-).*(GCM|POLY1305)")
        self.assertIn("Session renegotiation not supported", result.out)
        self.assertNotIn("Compression enabled", result.out)
        self.assertNotRegex(result.out, r"(?<!not )vulnerable")
        self.assertIn("not vulnerable to heartbleed", result.out)
        self.assertIn("Server supports TLS Fallback SCSV", result.out)
        for bits in re.findall(r"(\d+) bits +\S+ \(?NIST|Key Strength: +(\d+)", result.out):
            self.assertGreaterEqual(int(bits[0] or bits[1]), 112)

    async def test_no_finding_by_sslyze(self) -> None:
        """Every check of sslyze passes; what it tells beyond that (curves, staples) is information."""
        gateway = await self.begin_tls()
        result = await self.program("sslyze", "--json_out=sslyze.json", f"localhost:{gateway.port}")
        self.assertIn("SCANS COMPLETED", result.out, result)
        (server,) = json.loads((self.folder / "sslyze.json").read_text())["server_scan_results"]
        scan = {
            name: found["result"] for name, found in server["scan_result"].items() if found["status"] == "COMPLETED"
        }
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
            self.assertEqual(scan[f"{version}_cipher_suites"]["accepted_cipher_suites"], [], version)
        for version in ("tls_1_2", "tls_1_3"):
            accepted = [suite["cipher_suite"] for suite in scan[f"{version}_cipher_suites"]["accepted_cipher_suites"]]
            self.assertEqual(len(accepted), 3, accepted)
            self.assertFalse([suite for suite in accepted if suite["is_anonymous"] or suite["key_size"] < 128])
        self.assertFalse(scan["tls_compression"]["supports_compression"])
        self.assertFalse(scan["heartbleed"]["is_vulnerable_to_heartbleed"])
        self.assertFalse(scan["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"])
        self.assertIn("NOT_VULNERABLE", scan["robot"]["robot_result"])
        self.assertTrue(scan["tls_fallback_scsv"]["supports_fallback_scsv"])
        self.assertTrue(scan["session_renegotiation"]["supports_secure_renegotiation"])
        self.assertFalse(scan["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"])
        self.assertTrue(scan["tls_extended_master_secret"]["supports_ems_extension"])


class Callers(Edge):
    async def test_keys_by_curl(self) -> None:
        """A key as x-api-key or Bearer, kept plainly or as its SHA-256; the hash itself opens nothing."""
        digest = hashlib.sha256(b"second-key").hexdigest()
        keys = f'[[auth.keys]]\nname = "a"\nkey = "first-key"\n[[auth.keys]]\nname = "b"\nkey = "sha256:{digest}"\n'
        gateway = await self.begin(MOCK + keys)
        for header, expected in (
            ("x-api-key: first-key", 200),
            ("authorization: Bearer first-key", 200),
            ("x-api-key: second-key", 200),
            ("authorization: Bearer second-key", 200),
            ("x-api-key: third-key", 401),
            (f"x-api-key: {digest}", 401),
            (f"authorization: Bearer sha256:{digest}", 401),
            ("x-nothing: here", 401),
        ):
            status, headers, body = await self.curl("-H", header, *CHAT, gateway.url + PATH)
            self.assertEqual(status, expected, header)
            if expected == 401:
                self.assertTrue(headers["www-authenticate"].startswith("Bearer"))
                self.assertIn("message", json.loads(body)["error"])

    async def test_rate_limit_by_curl(self) -> None:
        """Over the limit: 429 that says how many seconds to wait."""
        toml = "[rate_limit]\nenabled = true\nrpm = 1\nburst = 2\n"
        gateway = await self.begin(MOCK + toml, RATE_LIMIT_ENABLED="true")
        answers = [await self.curl(*CHAT, gateway.url + PATH) for _ in range(3)]
        self.assertEqual([status for status, _, _ in answers], [200, 200, 429])
        _, headers, body = answers[-1]
        self.assertIn(int(headers["retry-after"]), range(1, 61))
        self.assertIn("requests a minute", json.loads(body)["error"]["message"])

    async def test_body_limit_by_curl(self) -> None:
        """A body over the limit is a 413, its length announced or not; one below it is served."""
        gateway = await self.begin(MOCK + "[server]\nmax_request_size = 10000\n")
        for size, expected in ((1000, 200), (20000, 413)):
            (self.folder / "big.json").write_text(BODY.replace("hi", "x" * size))
            for framing in ((), ("-H", "transfer-encoding: chunked")):
                arguments = ("-H", "content-type: application/json", "-H", "expect:", *framing, "-d", "@big.json")
                status, _, body = await self.curl(*arguments, gateway.url + PATH)
                self.assertEqual(status, expected, body)

    async def test_deadline_by_curl(self) -> None:
        """A vendor that takes too long is a 504, whole or as a stream."""
        gateway = await self.begin(MOCK + "latency = 3600\n[server]\ntimeout = 0.3\n")
        for body in (BODY, BODY.replace("{", '{"stream":true,', 1)):
            status, _, answer = await self.curl(*CHAT[:3], body, gateway.url + PATH)
            self.assertEqual((status, json.loads(answer)["error"]["code"]), (504, "TIMEOUT_ERROR"))


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
