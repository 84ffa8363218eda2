"""HTTP/1.1, HTTP/2, gzip and CORS, by curl, nghttp and h2load."""

from __future__ import annotations

import json
import re

from tests.e2e.service import PATIENCE
from tests.e2e.tools_of_others.edge import BODY, CHAT, MOCK, PATH, Edge


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
