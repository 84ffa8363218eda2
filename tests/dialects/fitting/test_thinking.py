"""How much to think, in the efforts and budgets a model has."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import Capabilities, capabilities_of
from llmedge.dialects import ir
from llmedge.dialects.fitting.thinking import cannot_think, fit_thinking, room_for, sampled_beside
from tests.dialects.fitting.common import body, call, context, result, say, user

Asked = ir.Reasoning


class Efforts(SynchronousTestCase):
    def test_the_nearest(self) -> None:
        """None stays none, and a thought a thought; of two the higher."""
        for model, asked, said in (
            ("o3", "minimal", "low"),
            ("o3", "xhigh", "high"),
            ("gpt-5", "minimal", "minimal"),
            ("gpt-5.1", "minimal", "low"),
            ("gpt-5.1", "none", "none"),
            ("gpt-5.2", "max", "xhigh"),
            ("gpt-5-pro", "low", "high"),
            ("grok-3-mini", "medium", "high"),
            ("gemini-3-pro-preview", "medium", "high"),
            ("gemini-3.1-pro-preview", "medium", "medium"),
            ("unknown", "minimal", "minimal"),
            ("o3", "turbo", "turbo"),
        ):
            target = context("openai_chat", "refuse", model)
            fitted = fit_thinking(Asked(effort=asked, show=True), target, frozenset())
            self.assertEqual(fitted, Asked(effort=said, show=True), model)

    def test_a_budget_where_there_are_efforts(self) -> None:
        """As the scale has it."""
        fitted = fit_thinking(Asked(True, budget=31_999), context("openai_chat", "refuse", "gpt-5-pro"), frozenset())
        self.assertEqual(fitted, Asked(True, budget=31_999))  # which is high, on the scale
        fitted = fit_thinking(Asked(budget=500), context("openai_chat", "refuse", "gpt-5-pro"), frozenset())
        self.assertEqual(fitted, Asked(effort="high"))

    def test_who_cannot_help_thinking(self) -> None:
        """Is told the least, and the client that."""
        for vendor, model, said in (
            ("openai_chat", "o3", Asked(effort="low")),
            ("openai_responses", "gpt-5", Asked(effort="minimal")),
            ("gemini", "gemini-3-pro", Asked(effort="low")),
            ("gemini", "gemini-2.5-pro", Asked(budget=128)),
        ):
            for off in (Asked(False), Asked(effort="none"), Asked(budget=0)):
                target = context(vendor, model=model)
                self.assertEqual(fit_thinking(off, target, frozenset()), said, model)
                self.assertEqual(target.dropped, ["reasoning"])

    def test_budgets(self) -> None:
        """Claude Code's 31,999 tokens are more than Gemini Flash has."""
        for model, asked, said in (
            ("gemini-2.5-flash", Asked(budget=31_999), Asked(budget=24_576)),
            ("gemini-2.5-flash-lite", Asked(budget=100), Asked(budget=512)),
            ("gemini-2.5-flash", Asked(budget=-1), Asked(budget=-1)),
            ("gemini-2.5-flash", Asked(False), Asked(False)),
            ("gemini-2.5-pro", Asked(effort="max"), Asked(budget=32_768)),
            ("gemini-2.5-pro", Asked(effort="low"), Asked(effort="low")),
        ):
            self.assertEqual(fit_thinking(asked, context("gemini", "refuse", model), frozenset()), said)

    def test_who_does_not_think(self) -> None:
        """Is asked for no thought, in any way, and not told that none is wanted."""
        for model in (
            "gpt-4o",
            "llama-3.3-70b-versatile",
            "mistral-large-2512",
            "gemini-2.0-flash",
            "claude-3-5-haiku",
        ):
            self.assertIs(capabilities_of(model, Capabilities()).thinking, False, model)
        for vendor in ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"):
            for asked, named in (
                (Asked(effort="high"), ["reasoning"]),
                (Asked(True, budget=2000), ["reasoning"]),
                (Asked(show=True), ["reasoning"]),
                (Asked(False), []),
                (Asked(effort="none"), []),
                (Asked(show=False), []),
            ):
                target = context(vendor, capabilities=Capabilities(thinking=False))
                said = body(vendor, user(reasoning=asked), target)
                self.assertEqual(target.dropped, named, vendor)
                self.assertNotIn("think", str(said).lower().replace("thinks", ""))
                self.assertNotIn("reasoning", str(said).replace("reasoning.encrypted_content", ""))

    def test_who_takes_no_effort(self) -> None:
        """Magistral, Grok 4."""
        for asked, said, named in (
            (Asked(effort="high", show=True), Asked(show=True), ["reasoning"]),
            (Asked(True, budget=9), None, ["reasoning"]),
            (Asked(show=True), Asked(show=True), []),
        ):
            target = context("openai_chat")
            self.assertEqual(fit_thinking(asked, target, frozenset({"no_effort"})), said)
            self.assertEqual(target.dropped, named)


class Claude(SynchronousTestCase):
    """platform.claude.com/docs/en/build-with-claude/extended-thinking, at Anthropic and at Bedrock alike."""

    def thinking(self, vendor: str, request: ir.Request, max_output: int | None = None) -> tuple[object, list[str]]:
        target = context(vendor, capabilities=Capabilities(max_output=max_output))
        said = body(vendor, request, target, "thinking_budget")
        return said.get("additionalModelRequestFields", said).get("thinking"), target.dropped

    def test_room(self) -> None:
        """A budget is at least 1024, below ``max_tokens``, and leaves room for the answer."""
        for budget, max_tokens, most, room in (
            (2000, None, None, 2000),
            (10, None, None, 1024),
            (2000, 1500, None, 1499),
            (2000, 1024, None, 0),
            (60_000, None, 64_000, 59_904),
            (60_000, 64_000, 64_000, 60_000),
        ):
            self.assertEqual(room_for(budget, max_tokens, most, 4096), room)
        for vendor in ("anthropic", "bedrock"):
            said, dropped = self.thinking(vendor, user(reasoning=Asked(budget=9000), max_tokens=2000))
            self.assertEqual((said, dropped), ({"type": "enabled", "budget_tokens": 1999}, []))
            said, dropped = self.thinking(vendor, user(reasoning=Asked(budget=9000), max_tokens=500))
            self.assertEqual((said, dropped), (None, ["reasoning"]))
        said, _ = self.thinking("anthropic", user(reasoning=Asked(budget=63_000)), 64_000)
        self.assertEqual(said, {"type": "enabled", "budget_tokens": 59_904})

    def test_what_a_model_can_write(self) -> None:
        """The gateway's own limit is no higher."""
        target = context("anthropic", capabilities=Capabilities(max_output=8192))
        said = body("anthropic", user(reasoning=Asked(effort="high")), target, "adaptive_thinking")
        self.assertEqual(said["max_tokens"], 8192)

    def test_where_it_cannot(self) -> None:
        """A tool that has to be called; a result whose call has no signed thought."""
        tools = (ir.Tool("f"),)
        forced = user(tools=tools, tool_choice=ir.ToolChoice("required"), reasoning=Asked(True, budget=2000))
        unsigned = ir.Request(
            (*user().messages, say("assistant", call("a")), say("tool", result("a", "1"))),
            tools,
            reasoning=Asked(True, budget=2000),
        )
        signed = ir.replace(
            unsigned,
            messages=(
                unsigned.messages[0],
                say("assistant", ir.Thinking("t", "Uw=="), call("a")),
                unsigned.messages[2],
            ),
        )
        for vendor in ("anthropic", "bedrock"):
            self.assertEqual(self.thinking(vendor, forced), (None, ["reasoning"]))
            self.assertEqual(self.thinking(vendor, unsigned), (None, ["reasoning"]))
            self.assertEqual(self.thinking(vendor, signed), ({"type": "enabled", "budget_tokens": 2000}, []))
        for later in ((say("user", "and?"),), (say("user", "<system>"), say("user", "and?"))):  # which is the same turn
            asked = ir.replace(unsigned, messages=(*unsigned.messages, *later))
            self.assertNotEqual(cannot_think(asked, "enabled"), "")
        answered = (*unsigned.messages, say("assistant", "1"), say("user", "and?"))
        self.assertEqual(cannot_think(ir.replace(unsigned, messages=answered), "enabled"), "")
        of_openai = (unsigned.messages[0], say("assistant", ir.Thinking("t", "E", id="rs_1"), call("a")))
        self.assertNotEqual(cannot_think(ir.replace(unsigned, messages=of_openai), "enabled"), "")
        begun = (*user().messages, say("assistant", "It is"))
        self.assertNotEqual(cannot_think(ir.replace(unsigned, messages=begun), "enabled"), "")
        self.assertEqual(cannot_think(forced, "disabled"), "")
        self.assertEqual(cannot_think(unsigned, "adaptive"), "")

    def test_sampling_beside_it(self) -> None:
        for name, value, taken in (
            ("temperature", 1.0, True),
            ("temperature", 0.5, False),
            ("top_p", 0.95, True),
            ("top_p", 0.5, False),
            ("top_k", 5, False),
        ):
            self.assertIs(sampled_beside(name, value), taken)
            for vendor in ("anthropic", "bedrock"):
                request = user(reasoning=Asked(True, budget=2000), max_tokens=9000, **{name: value})
                target = context(vendor)
                said = body(vendor, request, target)
                self.assertEqual(target.dropped, [] if taken else [name])
                self.assertEqual(f": {value}" in str(said), taken)
