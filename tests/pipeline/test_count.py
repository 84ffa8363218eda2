"""Counts of tokens: by a vendor that can, else estimated here, and marked so."""

from __future__ import annotations

from typing import Any

from tests.web.through import Through

CLAUDE = {"model": "v/m", "messages": [{"role": "user", "content": "one two three four"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "one two three four"}]}]}
PATHS = (
    ("/v1/messages/count_tokens", CLAUDE, "input_tokens"),
    ("/v1/messages/count_tokens?beta=true", CLAUDE | {"mcp_servers": [], "context_management": {}}, "input_tokens"),
    ("/v1beta/models/v/m:countTokens", GEMINI, "totalTokens"),
    ("/v1beta/v/m:countTokens", {"generateContentRequest": GEMINI}, "totalTokens"),
)
VENDOR = '[providers.v]\nbase_url = "http://127.0.0.1:9"\n'


class Counts(Through):
    def counted(self, toml: str, path: str, body: Any, *answers: tuple[int, Any]) -> Any:
        self.begin(toml=toml + "[routing]\nretries = 2\nbreaker_failures = 1\n")
        wire = self.ask(path, body)
        for status, document in answers:
            self.vendor().answer(status, document)
        self.assertEqual(self.edge.reactor.tcpClients, [])
        return wire.response()

    def test_by_the_vendor(self) -> None:
        for kind, answer in (("anthropic", {"input_tokens": 99}), ("gemini", {"totalTokens": 99})):
            for path, body, field in PATHS[::2]:
                response = self.counted(f'{VENDOR}dialect = "{kind}"\n', path, body, (200, answer))
                self.assertEqual(response.json(), {field: 99})
                self.assertNotIn("x-llmedge-estimated", response.headers)

    def test_estimated(self) -> None:
        """Where the vendor has no such thing, as far as is known or as it says itself; that is no failure of it."""
        for path, body, field in PATHS:
            for kind, answers in (
                ("openai", ()),
                ("openai_responses", ()),
                *((kind, ((status, {}),)) for kind in ("anthropic", "gemini") for status in (404, 405, 501)),
            ):
                response = self.counted(f'{VENDOR}dialect = "{kind}"\n', path, body, *answers)
                self.assertEqual((response.status, response.headers["x-llmedge-estimated"]), (200, "tokens"))
                self.assertEqual([*response.json()], [field])
                self.assertGreater(response.json()[field], 3)
                self.assertNotIn("x-llmedge-dropped", response.headers)
                if answers:
                    deployment = self.edge.service.graph.pipeline.deps.deployments.all()[0]
                    self.assertEqual(deployment.breaker.blocked_by(), "")

    def test_who_cannot_be_asked(self) -> None:
        """Tools for a model that has none, or a vendor that is out for now: a count is no reason to refuse."""
        tools = {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}
        vendor = f'{VENDOR}vendor = "anthropic"\n'
        response = self.counted(vendor, PATHS[0][0], CLAUDE | tools | {"model": "v/claude-2"})
        self.assertEqual((response.status, response.headers["x-llmedge-estimated"]), (200, "tokens"))
        self.counted(vendor, PATHS[0][0], CLAUDE, (401, {}))
        response = self.ask(PATHS[0][0], CLAUDE).response()
        self.assertEqual((response.status, response.headers["x-llmedge-estimated"]), (200, "tokens"))

    def test_elsewhere_first(self) -> None:
        """Another target of the model may count."""
        toml = (
            '[providers.a]\ndialect = "anthropic"\nbase_url = "http://127.0.0.1:9"\n'
            '[providers.g]\ndialect = "gemini"\nbase_url = "http://127.0.0.1:8"\n'
            '[models.m]\ntargets = ["a/x", "g/y"]\nstrategy = "priority"\n'
        )
        body = CLAUDE | {"model": "m"}
        response = self.counted(toml, PATHS[0][0], body, (404, {}), (200, {"totalTokens": 7}))
        self.assertEqual(response.json(), {"input_tokens": 7})

    def test_other_failures(self) -> None:
        """A vendor that refuses the request, or us, is heard."""
        for status, shown in ((400, 400), (401, 502)):
            response = self.counted(f'{VENDOR}dialect = "anthropic"\n', PATHS[0][0], CLAUDE, (status, {}))
            self.assertEqual(response.status, shown)
