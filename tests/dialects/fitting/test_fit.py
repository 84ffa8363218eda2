"""A request fitted once is fitted: for every dialect, whatever the vendor's quirks."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.catalogue import VENDORS as VENDORS_KNOWN
from llmedge.config.model_quirks import model_quirks
from llmedge.config.vendor_entry import QUIRKS
from llmedge.dialects import ir
from llmedge.dialects.fitting.fit import fit
from tests.dialects import strategies
from tests.dialects.fitting.common import VENDORS, body, call, context, dialect_of, result, say, user
from tests.effort import examples

MODELS = (
    "m",
    "gpt-5",
    "o3",
    "claude-opus-4-8",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "gemini-3-pro",
    "magistral-small",
)
ALL = sorted({*QUIRKS, *(quirk for model in MODELS for quirk in model_quirks(model))})


class Fit(SynchronousTestCase):
    def twice(self, vendor: str, request: ir.Request, quirks: frozenset[str], model: str) -> None:
        quirks |= dialect_of(vendor).needs
        once = fit(request, context(vendor, "drop", model), quirks)
        again = context(vendor, "drop", model)
        self.assertEqual(fit(once, again, quirks), once, (vendor, quirks, model))
        self.assertEqual(again.dropped, [])

    @settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data(), st.sampled_from(VENDORS), st.sampled_from(VENDORS), st.sampled_from(MODELS))
    def test_twice_is_once(self, data: st.DataObject, client: str, vendor: str, model: str) -> None:
        """And nothing is left to be named: whoever asks, whoever is asked."""
        quirks = data.draw(st.frozensets(st.sampled_from(ALL)))
        self.twice(vendor, data.draw(strategies.requests(client)), quirks | model_quirks(model), model)

    def test_odd_histories(self) -> None:
        """Halves of pairs, repeated ids, the assistant first, system in the middle: for all quirks there are."""
        odd = (
            (say("assistant", "hi "),),
            (say("system", "s"),),
            (say("assistant", " "),),
            (say("system", ""), say("user", "")),
            (say("tool", result("a", "1")), say("user", " ", "")),
            (say("user", "q"), say("assistant", call("a"), call("a")), say("user", "r"), say("tool", result("a", "1"))),
            (
                say("user", "q"),
                say("assistant", call("", "x" * 80, "{")),
                say("tool", result("", " ")),
                say("user", "r"),
            ),
            (say("user", "q"), say("system", "s"), say("assistant", call("a")), say("system", "t")),
        )
        for messages in odd:
            for vendor in VENDORS:
                for quirks in (frozenset[str](), frozenset(ALL), *(frozenset({quirk}) for quirk in ALL)):
                    self.twice(vendor, ir.Request(messages, stop=("a", " "), user="é"), quirks, "m")

    def test_a_vendors_own_limits(self) -> None:
        """The catalogue's words and numbers, in the body it is sent."""
        stops = tuple("abcdef")
        for vendor, asked, said in (
            (
                "vllm",
                {"top_k": 40, "stop": stops, "temperature": 3.0},
                {"top_k": 40, "stop": list(stops), "temperature": 3.0},
            ),
            ("llamacpp", {"top_k": 40}, {"top_k": 40}),
            ("openai", {"top_k": 40, "stop": stops}, {"stop": list("abcd")}),
            ("mistral", {"temperature": 2.0, "seed": 5}, {"temperature": 1.5, "random_seed": 5}),
            ("mistral", {"temperature": 0.0, "top_p": 0.5}, {"temperature": 0.0}),
            ("mistral", {"reasoning": ir.Reasoning(effort="low")}, {"reasoning_effort": "high"}),
            ("cohere", {"temperature": 1.5, "top_p": 1.0}, {"temperature": 1, "top_p": 0.99}),
            ("moonshot", {"temperature": 1.5}, {"temperature": 1}),
            ("fireworks", {"top_k": 500}, {"top_k": 100}),
            ("zhipu", {"stop": ("a", "b")}, {"stop": ["a"]}),
        ):
            known = VENDORS_KNOWN[vendor]
            target = context("openai_chat", **known.limits)
            body_said = body("openai_chat", user(**asked), target, *known.quirks)  # type: ignore[arg-type]
            self.assertEqual(
                {key: body_said[key] for key in body_said if key not in ("model", "messages")}, said, vendor
            )
        short = body("openai_chat", user(user="bob"), context("openai_chat", **VENDORS_KNOWN["zhipu"].limits))
        self.assertEqual(len(short["user"]), 64)

    def test_what_fits_is_the_same(self) -> None:
        """No new request is made of it."""
        for vendor in VENDORS:
            request = user()
            self.assertEqual(fit(request, context(vendor, "refuse"), dialect_of(vendor).needs), request)
