"""What was used is known by what it is, whatever the vendor is called: in each dialect, whole and streamed, passed on
and translated."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.registry import DIALECTS, PASSED
from llmedge.model import Usage
from tests.dialects.gist import chat, chunk, streamed, whole

Told = dict[str, Any]


def _chat(usage: Told, beside: Told) -> tuple[Any, list[Any]]:
    told = beside | {"usage": usage}
    return chat({"content": "a"}, top=told), [chunk({"content": "a"}), chunk({}, "stop", top=told)]


def _responses(usage: Told, beside: Told) -> tuple[Any, list[Any]]:
    item = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    body = beside | {"output": [item], "status": "completed", "usage": usage}
    return body, [{"type": "response.completed", "response": body}]


def _anthropic(usage: Told, beside: Told) -> tuple[Any, list[Any]]:
    block, text = {"type": "text", "text": ""}, {"type": "text", "text": "a"}
    body = beside | {"content": [text], "stop_reason": "end_turn", "usage": usage}
    first = {name: value for name, value in usage.items() if not name.startswith("output")}
    return body, [
        {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": first}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]


def _gemini(usage: Told, beside: Told) -> tuple[Any, list[Any]]:
    candidate = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
    body = beside | {"candidates": [candidate], "usageMetadata": usage}
    return body, [body]


def _bedrock(usage: Told, beside: Told) -> tuple[Any, list[Any]]:
    body = beside | {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage}
    deltas = ("contentBlockDelta", {"delta": {"text": "a"}})
    return body, [deltas, ("messageStop", {"stopReason": "end_turn"}), ("metadata", beside | {"usage": usage})]


FORMS = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
}


class Chats(SynchronousTestCase):
    def check(self, dialect: str, usage: Told, expected: Usage, **beside: Any) -> None:
        body, events = FORMS[dialect](usage, beside)
        raw = json.dumps(body).encode()
        found = {
            "whole, passed on": DIALECTS[dialect].read_answer(raw),
            "whole": whole(dialect, body).usage,
            "streamed": streamed(dialect, *events).usage,
        }
        if dialect != "bedrock":  # its streams are never passed on
            reader = DIALECTS[dialect].reader(strip_usage=False, choices=1, max_event=9999)
            for event in events:
                reader.feed(b"data: %b\n\n" % json.dumps(event).encode())
            found["streamed, passed on"] = reader.usage
        for way, each in found.items():
            self.assertEqual(each, expected, (dialect, way, usage, beside))

    def test_tokens(self) -> None:
        """Parts are parts, whatever the words, and what nobody names is what it can only be."""
        plain = {"prompt_tokens": 1000, "completion_tokens": 100}
        details = {"cached_tokens": 300, "image_tokens": 200, "audio_tokens": 100}
        for usage, expected in (
            (plain | {"total_tokens": 1100}, Usage(1000, 100)),
            (plain | {"total_tokens": 1600}, Usage(1000, 600, reasoning=500)),  # Google's thoughts
            (
                plain | {"total_tokens": 1600, "completion_tokens_details": {"reasoning_tokens": 500}},
                Usage(1000, 600, reasoning=500),  # xAI's
            ),
            (plain | {"total_tokens": 1100, "reasoning_tokens": 40}, Usage(1000, 100, reasoning=40)),
            (plain | {"total_tokens": 0}, Usage(1000, 100)),
            (plain | {"prompt_cache_hit_tokens": 800, "prompt_cache_miss_tokens": 200}, Usage(1000, 100, 800)),
            (plain | {"cached_tokens": 800}, Usage(1000, 100, 800)),
            (plain | {"cache_read_input_tokens": 800}, Usage(1000, 100, 800)),
            (
                plain | {"prompt_tokens_details": details},
                Usage(1000, 100, 300, audio_input=100, image_input=200),
            ),
            (plain | {"completion_tokens_details": {"image_tokens": 90}}, Usage(1000, 100, image_output=90)),
            (plain | {"prompt_audio_seconds": 7}, Usage(1000, 100, audio_ms=7000)),
        ):
            self.check("openai_chat", usage, expected)
        gemini = {"promptTokenCount": 1000, "candidatesTokenCount": 100}
        pictures = [{"modality": "TEXT", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 90}]
        self.check("gemini", gemini | {"candidatesTokensDetails": pictures}, Usage(1000, 100, image_output=90))
        self.check("gemini", gemini | {"promptTokensDetails": pictures}, Usage(1000, 100, image_input=90))

    def test_tiers(self) -> None:
        """What is billed is the tier that the answer tells."""
        chats = {"prompt_tokens": 7, "completion_tokens": 3}
        parts = {"input_tokens": 7, "output_tokens": 3}
        gemini = {"promptTokenCount": 7, "candidatesTokenCount": 3}
        bedrock = {"inputTokens": 7, "outputTokens": 3}
        for told, tier in (("flex", "flex"), ("priority", "priority"), ("default", ""), (None, ""), ("auto", "")):
            expected = Usage(7, 3, tier=tier)
            self.check("openai_chat", chats, expected, service_tier=told)
            self.check("openai_responses", parts, expected, service_tier=told)
            self.check("anthropic", parts | {"service_tier": told}, expected)
            self.check("gemini", gemini | {"serviceTier": told}, expected)
            self.check("bedrock", bedrock, expected, serviceTier={"type": told})
        self.check("openai_chat", chats, Usage(7, 3), service_tier="on_demand")  # Groq's
        self.check("anthropic", parts | {"service_tier": "standard"}, Usage(7, 3))
        self.check("anthropic", parts | {"speed": "fast"}, Usage(7, 3, tier="fast"))
        for told, tier in (
            ("ON_DEMAND", ""),
            ("ON_DEMAND_FLEX", "flex"),
            ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ):
            self.check("gemini", gemini | {"trafficType": told}, Usage(7, 3, tier=tier))  # Vertex's

    def test_sums(self) -> None:
        """The vendor's own, beside the tokens."""
        chats = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.00123}
        parts = {"input_tokens": 7, "output_tokens": 3, "cost": 0.00123}
        expected = Usage(7, 3, cost=1_230_000_000)
        self.check("openai_chat", chats, expected)
        self.check("openai_chat", parts, expected)
        self.check("openai_responses", parts, expected)
        self.check("anthropic", parts, expected)

    def test_where_it_is_stripped(self) -> None:
        """A client that did not ask for usage costs as much."""
        for told in ({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.5}, "service_tier": "flex"},):
            for events in (
                [chunk({"content": "a"}), chunk({}, "stop", top=told)],
                [chunk({"content": "a"}), chunk({}, "stop"), told | {"choices": []}],
                [chunk({"content": "a"}), chunk({}, "stop", usage=told["usage"], top={"service_tier": "flex"})],
            ):
                reader = DIALECTS["openai_chat"].reader(strip_usage=True, choices=1, max_event=9999)
                for event in events:
                    reader.feed(b"data: %b\n\n" % json.dumps(event).encode())
                self.assertEqual(reader.usage, Usage(7, 3, tier="flex", cost=10**12 // 2))


class PassedThrough(SynchronousTestCase):
    def test_what_is_no_token(self) -> None:
        """Seconds of sound, pictures, and tokens of pictures."""
        tokens = {
            "input_tokens": 50,
            "output_tokens": 400,
            "total_tokens": 450,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        }
        apart = {"output_tokens_details": {"image_tokens": 390, "text_tokens": 10}}
        pictures = [{"b64_json": "AAAA"}, {"url": "https://x"}]
        for body, expected in (
            ({"text": "a", "usage": {"type": "duration", "seconds": 12}}, Usage(audio_ms=12000)),
            ({"text": "a", "duration": 8.47}, Usage(audio_ms=8470)),
            ({"text": "a", "duration": "8.470000267028809"}, Usage(audio_ms=8470)),
            ({"text": "a", "duration": "long"}, None),
            ({"text": "a", "duration": -1}, None),
            ({"data": pictures}, Usage(images=2)),
            (
                {"data": pictures[:1], "usage": tokens},
                Usage(50, 400, image_input=40, image_output=400, images=1),
            ),
            (
                {"data": pictures[:1], "usage": tokens | apart},
                Usage(50, 400, image_input=40, image_output=390, images=1),
            ),
            ({"data": [{"index": 0, "relevance_score": 0.5}]}, None),
            ({"data": "?"}, None),
            ({"results": [], "usage": {"cost": 0.002}}, Usage(cost=2 * 10**9)),
        ):
            self.assertEqual(PASSED.read_answer(json.dumps(body).encode()), expected, body)
