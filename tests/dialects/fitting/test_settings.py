"""Settings within what vendors take: what changes something is named."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import Capabilities
from llmedge.config.limits import LIMITS, Limits
from llmedge.dialects import ir
from llmedge.dialects.fitting.settings import fit_settings, own_stops
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import Unsupported
from tests.dialects.fitting.common import context


def fit(vendor: str, quirks: str = "", mode: str = "hints", **settings: Any) -> tuple[ir.Request, list[str]]:
    target = context(vendor, mode)
    return fit_settings(ir.Request((), **settings), target, frozenset(quirks.split())), target.dropped


class Ranges(SynchronousTestCase):
    def test_of_sampling(self) -> None:
        """Nearest to what is asked for, and named."""
        for vendor, name, asked, said in (
            ("openai_chat", "temperature", 2.5, 2),
            ("openai_chat", "temperature", -0.5, 0),
            ("anthropic", "temperature", 1.5, 1),
            ("bedrock", "temperature", 2, 1),
            ("gemini", "temperature", 3.0, 2),
            ("anthropic", "top_p", 0, 0.001),
            ("anthropic", "top_p", 1.5, 1),
            ("openai_chat", "top_p", -1.0, 0),
            ("gemini", "top_k", 0, None),
            ("anthropic", "top_k", -1, None),
            ("bedrock", "top_k", 1000, 500),
            ("openai_chat", "presence_penalty", 3.0, 2),
            ("gemini", "frequency_penalty", 2, 1.99),
            ("openai_chat", "frequency_penalty", -9.5, -2),
            ("gemini", "seed", 2**31, 0),
            ("gemini", "seed", 2**40 + 5, 5),
            ("openai_chat", "top_logprobs", 50, 20),
            ("openai_responses", "max_tokens", 1, 16),
        ):
            fitted, dropped = fit(vendor, **{name: asked})
            self.assertEqual(getattr(fitted, name), said, (vendor, name))
            self.assertEqual(dropped, [name])
            error = self.assertRaises(Unsupported, fit, vendor, mode="refuse", **{name: asked})
            self.assertEqual(error.param, name)

    def test_what_is_within_stays(self) -> None:
        settings: dict[str, Any] = {
            "temperature": 1,
            "top_p": 0.5,
            "top_k": 1,
            "presence_penalty": -2,
            "frequency_penalty": 1.9,
            "seed": 5,
            "top_logprobs": 20,
            "max_tokens": 16,
            "n": 8,
        }
        for vendor in LIMITS:
            fitted, dropped = fit(vendor, "", "refuse", **settings)
            self.assertEqual((fitted, dropped), (ir.Request((), **settings), []))

    def test_a_limit_of_nothing(self) -> None:
        """Nobody answers with no token: 400, whoever the vendor."""
        for vendor in LIMITS:
            for none in (0, -1):
                self.assertRaises(Unsupported, fit, vendor, max_tokens=none)
                self.assertEqual(fit(vendor, mode="drop", max_tokens=none)[0].max_tokens, None)

    def test_what_a_model_can_write(self) -> None:
        target = context("openai_chat", "refuse", capabilities=Capabilities(max_output=4096))
        for asked, said in ((32_000, 4096), (4096, 4096), (9, 9)):
            request = fit_settings(ir.Request((), max_tokens=asked), target, frozenset())
            self.assertEqual(request.max_tokens, said)

    def test_answers(self) -> None:
        """Fewer than asked for would be a lie."""
        error = self.assertRaises(Unsupported, fit, "gemini", n=9)
        self.assertIn("at most 8", error.message)
        fitted, dropped = fit("gemini", mode="drop", n=9)
        self.assertEqual((fitted.n, dropped), (8, ["n"]))


class Sampling(SynchronousTestCase):
    def test_a_model_that_takes_none(self) -> None:
        """What it does anyway goes without a word."""
        asked: dict[str, Any] = {
            "temperature": 0.5,
            "top_p": 0.5,
            "top_k": 3,
            "presence_penalty": 1.0,
            "frequency_penalty": 1.0,
        }
        fitted, dropped = fit("anthropic", "no_sampling", **asked)
        self.assertEqual((fitted, dropped), (ir.Request(()), list(asked)))
        usual: dict[str, Any] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
        self.assertEqual(fit("anthropic", "no_sampling", "refuse", **usual), (ir.Request(()), []))

    def test_one_of_two(self) -> None:
        fitted, dropped = fit("anthropic", "one_sampling", temperature=0.5, top_p=0.5)
        self.assertEqual((fitted.temperature, fitted.top_p, dropped), (0.5, None, ["top_p"]))
        self.assertEqual(fit("anthropic", "one_sampling", "refuse", temperature=0.5, top_p=1)[0].top_p, None)
        self.assertEqual(fit("anthropic", "one_sampling", "refuse", top_p=0.5)[0].top_p, 0.5)

    def test_greedy(self) -> None:
        """Mistral: "top_p must be 1 when using greedy sampling"."""
        fitted, dropped = fit("openai_chat", "greedy_alone", temperature=0, top_p=0.5)
        self.assertEqual((fitted.temperature, fitted.top_p, dropped), (0, None, ["top_p"]))
        for settings in ({"temperature": 0, "top_p": 1}, {"temperature": 0.1, "top_p": 0.5}, {"top_p": 0.5}):
            self.assertEqual(fit("openai_chat", "greedy_alone", "refuse", **settings)[0].top_p, settings["top_p"])


class Names(SynchronousTestCase):
    def made(self, name: str, **limits: Any) -> str:
        target = RenderContext({}, "refuse", limits=Limits(**limits))
        return fit_settings(ir.Request((), user=name), target, frozenset()).user

    def test_end_users(self) -> None:
        """One too long, too short or odd is hashed, always to the same: cut, two would be one."""
        for limits, plain, odd in (
            ({"user": 64}, ["a", "x" * 64, "a b@c"], ["x" * 65, "é", "a\n"]),
            ({"user": 128, "user_least": 6}, ["abcdef"], ["abcde", "x" * 129]),
            ({}, ["é", "x" * 1000], []),
        ):
            for name in plain:
                self.assertEqual(self.made(name, **limits), name)
            for name in odd:
                made = self.made(name, **limits)
                self.assertRegex(made, r"^[0-9a-f]{64}$")
                self.assertEqual((self.made(name, **limits), self.made(made, **limits)), (made, made))
        self.assertNotEqual(self.made("x" * 65 + "a", user=64), self.made("x" * 65 + "b", user=64))

    def test_metadata(self) -> None:
        """The pairs that fit; the others are named."""
        target = RenderContext({}, "hints", limits=Limits(metadata=(2, r"[a-z]{1,3}", r"[a-z]{0,5}")))
        pairs = (("a", "x"), ("LONG", "x"), ("b", "toolong"), ("c", ""), ("d", "x"))
        fitted = fit_settings(ir.Request((), metadata=pairs), target, frozenset())
        self.assertEqual((fitted.metadata, target.dropped), ((("a", "x"), ("c", "")), ["metadata"]))


class Stops(SynchronousTestCase):
    def test_who_is_told_which(self) -> None:
        """The vendor as many as it takes; the rest is the gateway's to look for."""
        stops = ("a", " ", "", "b", "c", "d", "e", "f")
        for vendor, quirks, told, own in (
            ("openai_chat", "", ("a", " ", "b", "c"), ("d", "e", "f")),
            ("openai_responses", "no_stop", (), ("a", " ", "b", "c", "d", "e", "f")),
            ("anthropic", "no_blank_text", ("a", "b", "c", "d", "e", "f"), (" ",)),
            ("gemini", "no_blank_text", ("a", "b", "c", "d", "e"), (" ", "f")),
        ):
            fitted, dropped = fit(vendor, quirks, stop=stops)
            self.assertEqual(fitted.stop, told)
            request = ir.Request((), stop=stops)
            self.assertEqual(own_stops(request, LIMITS[vendor], frozenset(quirks.split())), own)
            self.assertEqual(dropped, ["stop"] if "no_blank_text" in quirks else [])
