"""``x-should-retry``: what the vendors' SDKs are told of trying again."""

from __future__ import annotations

from tests.fakes import CHAT, Edge, request
from tests.web.common import KEYS
from tests.web.through import TWO, Through

MESSAGES = {"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
GENERATE = "/v1beta/models/m:generateContent"


class Ours(Through):
    def test_what_no_retry_cures(self) -> None:
        """Each refusal of ours says so, in every dialect, also to web pages."""
        cors = '[cors]\norigins = ["*"]\n'
        only = '[providers.m]\ndialect = "mock"\n[models.known]\ntargets = ["m/x"]\n'
        edge = Edge(f"{KEYS}{cors}{only}[server]\nmax_request_size = 300\n")
        for method, path, status, more in (
            ("POST", "/v1/chat/completions", 401, {}),
            ("POST", "/v1/messages", 401, {"headers": {"x-api-key": "wrong"}}),
            ("POST", GENERATE, 401, {"headers": {"x-goog-api-key": "wrong"}}),
            ("GET", "/v1/models/nobody", 404, {"key": True}),
            ("POST", "/v1/nothing", 404, {"key": True}),
            ("GET", "/v1/responses", 405, {"key": True}),
            ("POST", "/v1/responses", 400, {"key": True, "body": {"model": " "}}),
            ("POST", "/v1/messages", 400, {"key": True, "body": b"{"}),
            ("POST", "/v1/chat/completions", 404, {"key": True, "body": CHAT | {"model": "nobody/x"}}),
            ("POST", "/v1/chat/completions", 415, {"key": True, "body": CHAT, "content_type": "text/plain"}),
            ("POST", "/v1/embeddings", 413, {"key": True, "body": b" " * 301}),
        ):
            headers = {"origin": "http://x", **more.pop("headers", {})}
            if more.pop("key", False):
                headers["authorization"] = "Bearer key-a"
            response = edge.ask(method, path, headers=headers, **{"body": CHAT if method == "POST" else None} | more)
            self.assertEqual((response.status, response.headers.get("x-should-retry")), (status, "false"), path)
            self.assertIn("x-should-retry", response.headers["access-control-expose-headers"])

    def test_what_a_target_cannot(self) -> None:
        """A field that cannot be said, an operation that is not there."""
        self.begin()
        for path, body in (
            ("/v1/messages", MESSAGES | {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            ("/v1/rerank", {"model": "m"}),
        ):
            response = self.ask(path, body).response()
            self.assertEqual((response.status, response.headers.get("x-should-retry")), (400, "false"), path)

    def test_a_spent_deadline(self) -> None:
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 5\n')
        wire = edge.wire()
        wire.send(request(body=CHAT, headers={"x-llmedge-timeout": "2"}))
        edge.reactor.advance(2.1)
        response = wire.response()
        self.assertEqual((response.status, response.headers["x-should-retry"]), (504, "false"))

    def test_what_time_may_cure(self) -> None:
        """Limits and failures say nothing: the SDK goes by the status."""
        limited = Edge("[rate_limit]\nrpm = 1\nburst = 1\n")
        limited.chat()
        self.assertEqual(limited.chat().status, 429)
        for edge, status in (
            (limited, 429),
            (Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nfault = "status"\n'), 503),
            (Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nfault = "cut"\n'), 502),
        ):
            response = edge.chat()
            self.assertEqual(response.status, status)
            self.assertNotIn("x-should-retry", response.headers)


class Vendors(Through):
    def refused(self, status: int, said: str, toml: str = "") -> str | None:
        self.begin(toml)
        wire = self.ask("/v1/chat/completions", CHAT)
        head = f"HTTP/1.1 {status} X\r\n{said}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        self.vendor().say(head.encode())
        return wire.response().headers.get("x-should-retry")

    def test_its_own_word(self) -> None:
        """A vendor's refusal says what the vendor said, and nothing where it said nothing."""
        for status in (400, 404, 422, 429, 503):
            self.assertIsNone(self.refused(status, ""))
            for word in ("true", "false"):
                self.assertEqual(self.refused(status, f"X-Should-Retry: {word}\r\n"), word)
            self.assertIsNone(self.refused(status, "x-should-retry: maybe\r\n"))

    def test_of_our_credentials(self) -> None:
        """That is told to the gateway, not to its client."""
        self.assertIsNone(self.refused(401, "x-should-retry: false\r\n"))

    def test_of_several(self) -> None:
        """One vendor's word is not all of theirs."""
        for words, shown in ((("false", "false"), "false"), (("true", "false"), None)):
            self.begin(toml=TWO)
            wire = self.ask("/v1/chat/completions", CHAT | {"model": "m"})
            for word in words:
                self.vendor().say(f"HTTP/1.1 429 X\r\nx-should-retry: {word}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
            response = wire.response()
            self.assertEqual((response.status, response.headers.get("x-should-retry")), (429, shown))
