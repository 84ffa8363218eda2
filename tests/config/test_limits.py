from __future__ import annotations

import math
import re

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.catalogue import VENDORS
from llmedge.config.limits import LIMITS, Limits, limits_of, of_model
from llmedge.config.model_quirks import budgets_of, efforts_of, model_quirks
from llmedge.dialects.registry import DIALECTS
from llmedge.providers.translation import translation_for

RANGES = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")


class Data(SynchronousTestCase):
    def test_every_chat_dialect_has_some(self) -> None:
        self.assertEqual(set(LIMITS), {"openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"})
        self.assertLessEqual(set(LIMITS), set(DIALECTS))

    def test_they_make_sense(self) -> None:
        """Of all vendors: ranges have two ends, patterns are such, and what goes without saying is within."""
        for vendor in VENDORS.values():
            for limits in limits_of(vendor.limits).values():
                for name in RANGES:
                    least, most = getattr(limits, name)
                    self.assertLess(least, most, (vendor.name, name))
                self.assertTrue(limits.temperature[0] <= 1 <= limits.temperature[1])
                self.assertTrue(re.fullmatch(limits.tool_name, "get_weather"))
                self.assertGreaterEqual(limits.user, limits.user_least)
                for pattern in limits.metadata[1:] if limits.metadata else ():
                    self.assertTrue(re.fullmatch(pattern, "a"))

    def test_a_vendors_own(self) -> None:
        """They hold where it speaks OpenAI's dialects; in others it keeps to theirs."""
        mistral = limits_of(VENDORS["mistral"].limits)
        self.assertEqual(mistral["openai_chat"].temperature, (0, 1.5))
        self.assertEqual(mistral["anthropic"], LIMITS["anthropic"])
        self.assertEqual(limits_of({}), LIMITS)
        for engine in ("vllm", "llamacpp", "ollama", "lmstudio"):
            limits = limits_of(VENDORS[engine].limits)["openai_chat"]
            self.assertEqual((limits.stops, limits.user, limits.temperature[1]), (None, 0, math.inf))
        for vendor, name, value in (
            ("cohere", "temperature", (0, 1)),
            ("moonshot", "temperature", (0, 1)),
            ("zhipu", "stops", 1),
            ("deepseek", "stops", 16),
            ("openrouter", "user", 128),
            ("openai", "tools", 128),
        ):
            self.assertEqual(getattr(limits_of(VENDORS[vendor].limits)["openai_chat"], name), value)

    def test_top_k(self) -> None:
        """Engines and hosts that take it say so."""
        for vendor in ("vllm", "llamacpp", "lmstudio", "openrouter", "together", "fireworks", "sambanova", "dashscope"):
            self.assertIn("top_k", VENDORS[vendor].quirks)
        for vendor in ("openai", "groq", "mistral", "cohere", "xai", "ollama"):
            self.assertNotIn("top_k", VENDORS[vendor].quirks)

    def test_they_reach_the_translation(self) -> None:
        """Which is given the vendor's, not the dialect's."""
        client, chat = DIALECTS["anthropic"], DIALECTS["openai_chat"]
        limits = limits_of({"user": 5})
        way = translation_for(client, [chat], quirks=frozenset(), stream_usage=True, name="v", limits=limits)
        self.assertEqual(way._limits.user, 5)  # type: ignore[union-attr]


class Models(SynchronousTestCase):
    def test_efforts(self) -> None:
        """The first pattern speaks, whatever the publisher in front."""
        for model, efforts in (
            ("o3-mini", "low medium high"),
            ("openai/gpt-oss-120b", "low medium high"),
            ("gpt-5", "minimal low medium high"),
            ("gpt-5-mini-2025-08-07", "minimal low medium high"),
            ("gpt-5-pro", "high"),
            ("gpt-5.1", "none low medium high"),
            ("gpt-5.1-codex-max", "none low medium high xhigh"),
            ("gpt-5.6", "none low medium high xhigh"),
            ("gpt-4o", ""),
            ("claude-opus-4-8", ""),
            ("gemini-3-flash-preview", "minimal low medium high"),
            ("gemini-3.1-flash-lite", "minimal low medium high"),
        ):
            self.assertEqual(efforts_of(model), tuple(efforts.split()), model)

    def test_budgets(self) -> None:
        self.assertEqual(budgets_of("gemini-2.5-pro-preview"), (128, 32768, True))
        self.assertEqual(budgets_of("google/gemini-2.5-flash-lite"), (512, 24576, False))
        self.assertIsNone(budgets_of("gemini-3-pro"))

    def test_over_the_vendors(self) -> None:
        """What is known of a model counts for more."""
        limits = Limits(efforts=("none", "high"))
        self.assertEqual(of_model(limits, "m"), limits)
        self.assertEqual(of_model(limits, "o3").efforts, ("low", "medium", "high"))
        pro = of_model(limits, "gemini-2.5-pro")
        self.assertEqual((pro.budget, pro.always_thinks), ((128, 32768), True))

    def test_who_takes_no_effort(self) -> None:
        for model, refuses in (
            ("grok-4", True),
            ("grok-4-fast-reasoning", True),
            ("grok-4.20-reasoning", True),
            ("grok-4.5", False),
            ("magistral-medium-2509", True),
            ("gpt-5", False),
        ):
            self.assertEqual("no_effort" in model_quirks(model), refuses, model)
