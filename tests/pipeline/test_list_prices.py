"""List prices of what is not a plain token: tiers, variants, sound, pictures."""

from datetime import UTC, datetime
from decimal import Decimal

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.prices import Price
from llmedge.model import Target, Usage
from llmedge.pipeline.prices import Prices
from tests.pipeline.test_prices import NOON, K, at_once, price_at, prices, usd


class Listed(SynchronousTestCase):
    def test_tiers(self) -> None:
        """Of OpenAI's flex is half, priority twice the price (platform.openai.com/docs/pricing); of a tier that is not
        listed, or is another vendor's, nothing is known."""
        for vendor, model, tier, cost in (
            ("openai", "gpt-5", "", "0.01125"),  # 1.25, 10
            ("openai", "gpt-5", "flex", "0.005625"),
            ("openai", "gpt-5", "priority", "0.0225"),
            ("openai", "gpt-5", "scale", None),
            ("openai", "gpt-5", "batch", None),  # no tier: answers of a batch say otherwise
            ("openai", "gpt-3.5-turbo", "flex", None),
            ("azure", "gpt-5", "priority", None),
            ("anthropic", "claude-sonnet-4-5", "priority", None),
            ("groq", "llama-3.1-8b-instant", "performance", None),
            ("", "gpt-5", "flex", None),
        ):
            found = price_at(vendor, model, Usage(1000, 1000, tier=tier))
            self.assertEqual(found, None if cost is None else usd(cost), (vendor, model, tier))

    def test_a_tier_keeps_what_it_does_not_say(self) -> None:
        """And holds from its day on."""
        usage = Usage(1000, 1000, cached=1000, tier="flex")
        self.assertEqual(price_at("openai", "gpt-5", usage), usd("0.0050625"))  # cached 0.0625
        self.assertIsNone(price_at("openai", "gpt-5", usage, at=datetime(2026, 10, 1, tzinfo=UTC)))

    def test_variants(self) -> None:
        """How OpenRouter's models are served is no other model; what is free is."""
        cost = usd("0.0125")  # 2.50, 10
        for variant in ("", ":floor", ":nitro", ":online"):
            self.assertEqual(price_at("openrouter", f"openai/gpt-4o{variant}", K), cost, variant)
        self.assertEqual(price_at("openrouter", "openai/gpt-4o:free", K), 0)
        for model in ("openai/gpt-4o:mine", "nobody/knows:floor", ":floor"):
            self.assertIsNone(price_at("openrouter", model, K), model)
        self.assertIsNone(price_at("openai", "gpt-4o:floor", K))

    def test_what_is_no_token(self) -> None:
        """Sound by the hour, text to be spoken by the character, pictures by their tokens."""
        for vendor, model, usage, cost in (
            ("openai", "whisper-1", Usage(audio_ms=60_000), "0.006"),  # a minute
            ("openai", "whisper-1", Usage(audio_ms=1), "0.0000001"),
            ("groq", "whisper-large-v3", Usage(audio_ms=36_000), "0.00111"),  # 0.111 an hour
            ("groq", "whisper-large-v3", Usage(audio_ms=1_000), "0.000308333333"),  # ten seconds at least
            ("openai", "tts-1", Usage(characters=1000), "0.015"),
            ("openai", "tts-1-hd", Usage(characters=1000), "0.03"),
            ("openai", "gpt-4o-mini-tts", Usage(characters=1000), None),
            ("openai", "gpt-4o-mini-tts", Usage(100, 1000), "0.01206"),  # 0.60, 12
            # 5, images 10; 40
            ("openai", "gpt-image-1", Usage(50, 400, image_input=40, image_output=400, images=1), "0.01645"),
            ("openai", "gpt-image-1.5", Usage(50, 400, image_output=390, images=1), "0.01283"),  # 5; 10, images 32
            ("openai", "dall-e-3", Usage(images=1), None),
            ("openai", "gpt-image-1", Usage(images=1), None),
            ("google", "gemini-2.5-flash-image", Usage(10, 1300, image_output=1290), "0.038728"),  # 0.30; 2.50, 30
            ("openai", "whisper-1", None, None),
            ("openai", "omni-moderation-latest", None, "0"),
            ("openai", "omni-moderation-latest", Usage(5), "0"),
        ):
            self.assertEqual(price_at(vendor, model, usage), cost and usd(cost), (vendor, model, usage))


class Told(SynchronousTestCase):
    def test_the_vendors_own_sum(self) -> None:
        """Goes before list prices, where a model has none too, and behind a price of one's own."""
        made = prices({"p/mine": Price(Decimal(1), Decimal(1))})
        told = Usage(1000, 1000, cost=7, tier="flex")
        for model, cost in (("gpt-4o", 7), ("gpt-of-nobody", 7)):
            self.assertEqual(made.price(Target("p", model), told), cost)
        self.assertEqual(made.price(Target("p", "mine"), Usage(1000, 1000, cost=7)), usd("0.002"))

    def test_the_model_that_answers(self) -> None:
        """A deployment has any name; what its answers say it is has a price. Another answer may say another."""
        made = prices(kinds={"p": "azure", "q": ""})
        ours = Target("p", "our-deployment")
        self.assertIsNone(made.price(ours, K))
        self.assertTrue(made.seeks_model(ours))
        for model, cost in (
            ("gpt-4o-2024-08-06", "0.0125"),
            ("gpt-4o-mini", "0.00075"),
            ("nobody-knows", None),
            ("gpt-4o", "0.0125"),
        ):
            made.learn(ours, model)
            self.assertEqual(made.price(ours, K), cost and usd(cost), model)
        for other in (Target("p", "gpt-4o"), Target("q", "anything")):
            self.assertFalse(made.seeks_model(other), other)


class Configured(SynchronousTestCase):
    def made(self, **configured: Price) -> Prices:
        clock = Clock()
        clock.advance(NOON.timestamp())
        named = {name.replace("_", "/"): price for name, price in configured.items()}
        made = Prices(named, {"p": "", "openai": "openai"}, clock, at_once)
        made.warm()
        return made

    def test_as_another(self) -> None:
        """A list price by its vendor's name, configured or not; another price of one's own; the same name."""
        made = self.made(
            p_a=Price(price_as="openai/gpt-4o"),
            p_b=Price(price_as="gemini/gemini-2.5-pro"),
            p_c=Price(price_as="p/d"),
            p_d=Price(Decimal(1), Decimal(2)),
            p_e=Price(price_as="p/c"),
            p_f=Price(price_as="openai/gpt-of-nobody"),
        )
        for name, cost in (("a", "0.0125"), ("b", "0.01125"), ("c", "0.003"), ("d", "0.003"), ("e", None), ("f", None)):
            self.assertEqual(made.price(Target("p", name), K), cost and usd(cost), name)
        flex = Usage(1000, 1000, tier="flex")
        every = Prices({"p/*": Price(price_as="openai/*")}, {"p": ""}, Clock(), at_once)
        every.warm()
        self.assertEqual(every.price(Target("p", "gpt-4.1"), K), usd("0.01"))
        self.assertIsNone(every.price(Target("p", "gpt-5"), flex))  # the clock stands before the tier's first day
        self.assertEqual(self.made(p_x=Price(price_as="openai/gpt-5")).price(Target("p", "x"), flex), usd("0.005625"))

    def test_tiers_of_ones_own(self) -> None:
        made = self.made(p_m=Price(Decimal(1), Decimal(2), tiers={"flex": Decimal("0.5")}))
        for tier, cost in (("", "0.003"), ("flex", "0.0015"), ("priority", None)):
            found = made.price(Target("p", "m"), Usage(1000, 1000, tier=tier))
            self.assertEqual(found, cost and usd(cost), tier)

    def test_units(self) -> None:
        """Each alone, and beside tokens."""
        minute = Price(audio_minute=Decimal("0.006"))
        both = Price(Decimal(1), Decimal(2), image=Decimal("0.04"), request=Decimal("0.001"))
        made = self.made(p_m=minute, p_n=both, p_o=Price(request=Decimal("0.002")), p_q=Price(characters=Decimal(15)))
        for name, usage, cost in (
            ("m", Usage(audio_ms=90_000), "0.009"),
            ("m", Usage(5), None),
            ("m", None, None),
            ("n", Usage(1000, 1000, images=2), "0.084"),
            ("n", Usage(images=2), "0.081"),
            ("n", Usage(1000, 1000), "0.004"),
            ("n", None, None),
            ("o", None, "0.002"),
            ("o", Usage(characters=9), "0.002"),
            ("q", Usage(characters=100), "0.0015"),
            ("q", Usage(images=1), None),
        ):
            self.assertEqual(made.price(Target("p", name), usage), cost and usd(cost), (name, usage))
