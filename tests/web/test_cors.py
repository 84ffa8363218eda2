"""Pages of other origins."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from tests.fakes import Edge
from tests.web.common import KEYS


class Cross(SynchronousTestCase):
    TOML = KEYS + '[cors]\norigins = ["https://app.example"]\n'

    def preflight(self, edge: Edge, origin: str, headers: str = "authorization, content-type, x-stainless-os") -> Any:
        asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": headers}
        return edge.ask("OPTIONS", "/v1/chat/completions", headers=asked)

    def test_preflight_needs_no_key(self) -> None:
        """Browsers send none with it."""
        response = self.preflight(Edge(self.TOML), "https://app.example")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.headers["access-control-allow-origin"], "https://app.example")
        self.assertEqual(
            response.headers["access-control-allow-headers"], "authorization, content-type, x-stainless-os"
        )
        self.assertIn("Origin", response.headers["vary"])

    def test_what_sdks_send(self) -> None:
        """Firefox and Safari name ``user-agent`` too, which a page may set there."""
        for name in (
            "user-agent",
            "openai-organization",
            "openai-project",
            "openai-beta",
            "x-title",
            "http-referer",
            "traceparent",
            "tracestate",
            "baggage",
            "idempotency-key",
            "api-key",
            "x-api-key",
            "x-goog-api-client",
            "anthropic-dangerous-direct-browser-access",
            "x-stainless-timeout",
            "x-server-timeout",
            "x-llmedge-tags",
        ):
            response = self.preflight(Edge(self.TOML), "https://app.example", f"Authorization,Content-Type,{name}")
            self.assertEqual(response.status, 204, name)
            self.assertIn(name, response.headers["access-control-allow-headers"])

    def test_others_are_refused(self) -> None:
        """Neither other origins nor other headers are let in."""
        edge = Edge(self.TOML)
        self.assertEqual(self.preflight(edge, "https://evil.example").status, 403)
        self.assertEqual(self.preflight(edge, "https://app.example", "x-evil").status, 403)
        plain = edge.ask("GET", "/v1/models", headers={"origin": "https://evil.example", "x-api-key": "key-a"})
        self.assertNotIn("access-control-allow-origin", plain.headers)

    def test_answers_and_errors_carry_the_header(self) -> None:
        """A page must be able to read its errors as well."""
        edge = Edge(self.TOML)
        response = edge.ask("GET", "/v1/models", headers={"origin": "https://app.example"})
        self.assertEqual(
            (response.status, response.headers["access-control-allow-origin"]), (401, "https://app.example")
        )
        for name in (
            *("x-request-id", "x-llmedge-cost-usd"),
            *("x-llmedge-cache", "x-llmedge-cache-saved-usd", "cache-status", "age"),
        ):
            self.assertIn(name, response.headers["access-control-expose-headers"])

    def test_credentials(self) -> None:
        """Only where it is asked for, and never with any origin."""
        edge = Edge(self.TOML + "credentials = true\nmax_age = 7\n")
        response = self.preflight(edge, "https://app.example")
        self.assertEqual(response.headers["access-control-allow-credentials"], "true")
        self.assertEqual(response.headers["access-control-max-age"], "7")
        self.assertNotIn(
            "access-control-allow-credentials", self.preflight(Edge(self.TOML), "https://app.example").headers
        )
        with self.assertRaises(ConfigError):
            Edge('[cors]\norigins = ["*"]\ncredentials = true\n')

    def test_off_by_default(self) -> None:
        """No origin is named unless one is configured."""
        response = Edge().ask("GET", "/v1/models", headers={"origin": "https://app.example"})
        self.assertNotIn("access-control-allow-origin", response.headers)
