"""What vendors say of the bill: tiers and sums, in each one's words."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.billing import asked_tier, tier, told_cost


class Tiers(SynchronousTestCase):
    def test_words(self) -> None:
        """The usual tier has many names and is none; others keep theirs."""
        for word in (
            None,
            "",
            "default",
            "standard",
            "STANDARD",
            "auto",
            "on_demand",
            7,
            {},
            "SERVICE_TIER_UNSPECIFIED",
        ):
            self.assertEqual(tier(word), "", word)
        for word, expected in (
            ("flex", "flex"),
            ("PRIORITY", "priority"),
            ("SERVICE_TIER_FLEX", "flex"),
            ("x" * 99, "x" * 32),
        ):
            self.assertEqual(tier(word), expected)

    def test_asked_for(self) -> None:
        for name, raw, expected in (
            ("service_tier", b'"flex"', "flex"),
            ("serviceTier", b'"PRIORITY"', "priority"),
            ("service_tier", b'"auto"', ""),
            ("service_tier", b"null", ""),
            ("service_tier", b"[]", ""),
            ("else", b'"flex"', ""),
        ):
            self.assertEqual(asked_tier({name: msgspec.Raw(raw)}), expected)


class Sums(SynchronousTestCase):
    def test_each_vendors(self) -> None:
        for usage, expected in (
            ({"cost": 0.00123}, 1_230_000_000),  # OpenRouter
            ({"cost": 0}, 0),
            ({"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, 2_100_000_000),
            ({"cost": 0.0001, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.002}}, 100_000_000),
            ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, 6_000_000_000),  # Perplexity
            ({"estimated_cost": 1.5e-06}, 1_500_000),  # DeepInfra
            ({"cost_in_usd_ticks": 37756000}, 3_775_600_000),  # xAI
        ):
            self.assertEqual(told_cost(usage), expected, usage)

    def test_what_is_none(self) -> None:
        """What nobody can read, or believe."""
        for value in (None, True, "0.1", -1, 1e300, float("nan"), [], {}, {"total_cost": "1"}):
            for name in ("cost", "estimated_cost", "cost_in_usd_ticks"):
                self.assertIsNone(told_cost({name: value}), (name, value))
