"""aimock (npm: @copilotkit/aimock) stands in for the vendors that cannot run here, each in its own dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

from tests.e2e.service import CANARY_VENDOR, Process, free_port
from tests.e2e.tools import find, node_module
from tests.folders import new_folder

CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo"]}}, "required": ["city"]}
ANSWER = "This is a mock answer to: hello"
"""What our own mock vendor says to ``hello``, so that every client can be asked the same of each vendor."""
TOLD = "It is sunny in Oslo, and likely to stay so for the next few days."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ODD = ['{"text": "a \\"quoted\\" \\\\ \\u00e9 é 漢 \\n", "n": 1.0}', '{"b":2,  "a":[1,2,{}]}', "{}"]
"""Arguments of parallel calls as no JSON library would write them."""


def _calls(*arguments: str) -> list[dict[str, str]]:
    return [{"id": f"call_{n}", "name": "get_weather", "arguments": text} for n, text in enumerate(arguments, 1)]


def _cases() -> Iterator[dict[str, Any]]:
    def case(said: str, response: dict[str, Any], **more: Any) -> dict[str, Any]:
        match = {"userMessage": said} | more.pop("match", {})
        if "error" not in response:
            response = {"usage": USAGE} | response
        return {"match": match, "response": response} | more

    yield case("weather", {"content": TOLD}, match={"hasToolResult": True})
    yield case("weather", {"toolCalls": _calls('{"city":"Oslo"}')})
    yield case("many", {"toolCalls": _calls(*ODD)}, chunkSize=3)
    yield case("hello", {"content": ANSWER}, chunkSize=4)
    yield case("long", {"content": ANSWER, "finishReason": "length"}, chunkSize=4)
    yield case(
        "truncated call",
        {"toolCalls": _calls('{"city":[' + '"Oslo",' * 20 + '"Oslo"]}')},
        chunkSize=4,
        latency=5,
        truncateAfterChunks=8,
    )
    yield case("truncated", {"content": ANSWER}, chunkSize=4, latency=5, truncateAfterChunks=7)
    yield case("disconnected", {"content": ANSWER * 50}, chunkSize=4, latency=5, truncateAfterChunks=60)
    yield case("gone", {"content": ANSWER}, chaos={"disconnectRate": 1})
    yield {"match": {"endpoint": "embedding"}, "response": {"embedding": [0.25, -0.5, 0.125]}}
    for status in (400, 429, 500):
        error = {"message": f"a rehearsed {status}", "type": "rehearsed_error", "code": "rehearsed"}
        yield case(f"fail with {status}", {"error": error, "status": status, "retryAfter": 0})


# name → (settings of the provider, and where it is below aimock's address)
VENDORS = {
    "chat": ('vendor = "openai"\ndialect = "openai"', "/v1"),
    "responses": ('vendor = "openai"\ndialect = "openai_responses"', "/v1"),
    "anthropic": ('vendor = "anthropic"', ""),
    "gemini": ('vendor = "gemini"', ""),
    "azure": ('vendor = "azure"\napi_version = "2024-10-21"', ""),
    "ollama": ('vendor = "ollama"\ndialect = "openai"\nmodels = ["ollama-1"]', "/v1"),
}


@attrs.define
class Aimock:
    """The process. ``toml`` has a provider for each of :data:`VENDORS`, and a model called like it."""

    process: Process = attrs.field(factory=lambda: Process("listening"))
    port: int = 0

    async def start(self) -> Aimock:
        node, script = find("node"), node_module("@copilotkit/aimock/dist/cli.cjs")
        fixtures = new_folder() / "aimock.json"
        fixtures.write_text(json.dumps({"fixtures": list(_cases())}))
        self.port = free_port()
        arguments = ["-h", "127.0.0.1", "-p", str(self.port), "-f", str(fixtures), "--strict", "--validate-on-load"]
        self.process.start([node, script, *arguments], {})
        await self.process.ready
        return self

    async def stop(self) -> int:
        return await self.process.stop()

    @property
    def toml(self) -> str:
        return "".join(
            f'[providers.{name}]\n{settings}\nbase_url = "http://127.0.0.1:{self.port}{path}"\n'
            f'api_key = "{CANARY_VENDOR}"\non_unsupported = "drop"\n[models.m-{name}]\ntargets = ["{name}/{name}-1"]\n'
            for name, (settings, path) in VENDORS.items()
        )
