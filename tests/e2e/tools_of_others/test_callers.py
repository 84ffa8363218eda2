"""Keys and limits, by curl."""

from __future__ import annotations

import hashlib
import json

from tests.e2e.tools_of_others.edge import BODY, CHAT, MOCK, PATH, Edge


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
