"""The whole gateway in memory, with the cache on and a vendor that is made up."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, Response, Wire, request

TOML = """
[rate_limit]
enabled = false
[cache]
enabled = true
{cache}
[providers.mock]
vendor = "mock"
{provider}
[models.m]
targets = ["mock/x"]
{model}
[models.other]
targets = ["mock/y"]
[models.e]
targets = ["mock/e"]
[prices."mock/*"]
input = 1.0
output = 10.0
{more}
"""
SAID = {"messages": [{"role": "user", "content": "one two three"}]}
DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "/v1/chat/completions", {"model": "m", **SAID}),
    "text": ("/v1/completions", "/v1/completions", {"model": "m", "prompt": "one two three"}),
    "responses": ("/v1/responses", "/v1/responses", {"model": "m", "input": "one two three"}),
    "messages": ("/v1/messages", "/v1/messages", {"model": "m", "max_tokens": 99, **SAID}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]},
    ),
}
"""Path, path of a stream, body."""


class Caching(SynchronousTestCase):
    def begin(self, cache: str = "", provider: str = "", model: str = "", more: str = "") -> Edge:
        self.edge = Edge(TOML.format(cache=cache, provider=provider, model=model, more=more))
        return self.edge

    def ask(self, headers: dict[str, str] | None = None, **fields: Any) -> Response:
        return self.edge.ask(body=CHAT | {"model": "m"} | fields, headers=headers)

    def send(self, headers: dict[str, str] | None = None, **fields: Any) -> Wire:
        """The same, and no answer is waited for."""
        wire = self.edge.wire()
        wire.send(request(body=CHAT | {"model": "m"} | fields, headers=headers))
        return wire

    def said(self, response: Response) -> str:
        """What the cache did."""
        return response.headers.get("x-llmedge-cache", "")

    def twice(self, headers: dict[str, str] | None = None, **fields: Any) -> str:
        """What it did with the second of two equal calls."""
        self.ask(headers, **fields)
        return self.said(self.ask(headers, **fields))

    @property
    def state(self) -> Any:
        return self.edge.service._process._cache
