"""What calls cost, from a vendor's bytes to the record: in each client's dialect, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from llmedge.pipeline.prices import Prices
from llmedge.record import TIER
from tests.observe.test_metrics import samples, value
from tests.pipeline.test_prices import NOON, usd
from tests.web.test_odd_vendors import CLIENTS
from tests.web.through import Through

VENDORS = "[rate_limit]\nenabled = false\n" + "".join(
    f'[providers.{name}]\nvendor = "{vendor}"\napi_key = "k"\nmodels = []\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    f'dialect = "{"gemini" if name == "gem" else "openai"}"\n'
    for port, (name, vendor) in enumerate(
        (("openai", "openai"), ("or", "openrouter"), ("deepseek", "deepseek"), ("kimi", "moonshot"), ("gem", "gemini"))
    )
)
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
MESSAGE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}
SPOKEN: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    ("openai/gpt-5", TOKENS, {"service_tier": "default"}, "0.01125"),
    ("openai/gpt-5", TOKENS, {"service_tier": "flex"}, "0.005625"),
    ("openai/gpt-5", TOKENS, {"service_tier": "priority"}, "0.0225"),
    ("openai/gpt-5", TOKENS, {"service_tier": "scale"}, None),
    ("or/openai/gpt-4o:floor", TOKENS, {}, "0.0125"),
    ("or/nobody/knows", TOKENS | {"cost": 0.00123}, {}, "0.00123"),
    ("deepseek/deepseek-chat", TOKENS | {"prompt_cache_hit_tokens": 1000}, {}, "0.000448"),
    ("kimi/kimi-k2-0905-preview", TOKENS, {}, "0.0031"),
]


class Costs(Through):
    def put(self, client: str, model: str, stream: bool, more: dict[str, Any]) -> None:
        path, body = CLIENTS[client]
        if client == "gemini":
            path = path.format(model) + ("streamGenerateContent?alt=sse" if stream else "generateContent")
        else:
            body = body | {"model": model, "stream": stream}
        self.ask(path, body | more)

    def test_chats(self) -> None:
        """Each says the same, whatever the client speaks, and a usage that stands in a choice counts as well."""
        self.begin(toml=VENDORS)
        self.edge.reactor.advance(NOON.timestamp())  # prices have dates
        for model, usage, beside, cost in SPOKEN:
            for client in CLIENTS:
                for stream in (False, True):
                    for within in (False, True):
                        self.put(client, model, stream, {})
                        told = {} if within else {"usage": usage}
                        inside = {"usage": usage} if within else {}
                        whole = {"id": "c", "model": "m", "choices": [MESSAGE | inside]} | told | beside
                        if stream:
                            choice = {"index": 0, "finish_reason": "stop", "delta": {"content": "fine"}} | inside
                            chunk = json.dumps(whole | {"choices": [choice]}).encode()
                            self.vendor().answer(200, b"data: %b\n\ndata: [DONE]\n\n" % chunk, "text/event-stream")
                        else:
                            self.vendor().answer(200, whole)
                        accounting = self.record.accounting
                        found = (self.record.outcome, accounting.known_cost, accounting.unpriced)
                        expected = ("ok", None if cost is None else usd(cost), cost is None)
                        self.assertEqual(found, expected, (model, client, stream, within))
                        self.assertFalse(accounting.usage.estimated)
                        tier = beside.get("service_tier", "default")
                        self.assertEqual(self.record.facts.get(TIER, "default"), tier)

    def test_googles_header(self) -> None:
        """Tells the tier in the head."""
        self.begin(toml=VENDORS)
        usage = {"promptTokenCount": 1000, "candidatesTokenCount": 1000}
        body = json.dumps({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": usage}).encode()
        for told, cost in ((b"standard", "0.01125"), (b"unheard-of", None)):
            self.ask("/v1beta/models/gem/gemini-2.5-pro:generateContent", CLIENTS["gemini"][1])
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-gemini-service-tier: %b\r\n" % told
            vendor = self.vendor()
            vendor.transport.clear()
            vendor.say(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            self.assertEqual(self.record.accounting.cost, cost and usd(cost), told)

    def test_what_is_no_token(self) -> None:
        """Characters and pictures; what nobody can tell is counted as unknown."""
        self.begin(toml=VENDORS)
        picture = {"data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 50, "output_tokens": 400}}
        for path, asked, kind, answer, cost in (
            ("/v1/audio/speech", {"model": "openai/tts-1", "input": "x" * 1000}, "audio/mpeg", b"ID3", "0.015"),
            ("/v1/audio/speech", {"model": "openai/gpt-4o-mini-tts", "input": "x"}, "audio/mpeg", b"ID3", None),
            ("/v1/images/generations", {"model": "openai/gpt-image-1", "prompt": "p"}, "", picture, "0.01625"),
            ("/v1/images/generations", {"model": "openai/dall-e-3", "prompt": "p"}, "", {"data": []}, None),
            ("/v1/moderations", {"model": "openai/omni-moderation-latest", "input": "p"}, "", {"results": []}, "0"),
        ):
            self.ask(path, asked)
            self.vendor().answer(200, answer, kind or "application/json")
            self.assertEqual(self.record.accounting.known_cost, cost and usd(cost), asked)
            said = {fact.name: value for fact, value in self.record.facts.items()}
            spoken, made = asked.get("input", "") if kind else "", 1 if answer is picture else 0
            self.assertEqual((said.get("characters", 0), said.get("images", 0)), (len(spoken), made))
        found = samples(self.edge)
        for operation in ("audio_speech", "images_generations"):
            labels = {"operation": operation, "provider": "openai", "model": "openai/*"}
            self.assertEqual(value(found, "llm_cost_unknown_total", **labels), 1, operation)

    def test_sound(self) -> None:
        """By the second, as the answer tells it."""
        self.begin(toml=VENDORS)
        parts = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nopenai/whisper-1\r\n'
        parts += b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
        for answer, cost in (
            ({"text": "a", "usage": {"type": "duration", "seconds": 60}}, "0.006"),
            ({"text": "a", "duration": 30.5}, "0.00305"),
            ({"text": "a"}, None),
        ):
            self.ask("/v1/audio/transcriptions", parts, headers={"content-type": "multipart/form-data; boundary=b"})
            self.vendor().answer(200, answer)
            self.assertEqual(self.record.accounting.known_cost, cost and usd(cost), answer)


class Loading(Through):
    def test_before_the_first_call(self) -> None:
        """The list prices are read, in a thread, when the configuration is put in force, where a vendor has some."""
        read: list[Any] = []

        async def ready(prices: Prices) -> None:
            read.append(prices)

        self.patch(Prices, "ready", ready)
        self.begin(toml='[providers.v]\nvendor = "vllm"\nbase_url = "http://127.0.0.1:9/v1"\n')
        self.assertEqual(read, [])
        self.begin(toml=VENDORS)
        self.assertEqual(len(read), 1)
