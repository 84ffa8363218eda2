"""Which guardrails hold for a call."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import ValidationError
from llmedge.guards.refusals import GuardrailUnavailable
from llmedge.guards.rules import GuardRules
from llmedge.model import Caller
from tests.guards.made import Canaries, Told, call, guard


class Rules(SynchronousTestCase):
    def names(self, rules: GuardRules, asked: tuple[str, ...] = (), **more: object) -> list[str]:
        held = rules.of(call({}, **more), asked)  # type: ignore[arg-type]
        return [] if held is None else [each.name for each, _ in held.detectors]

    def test_in_the_order_of_the_configuration(self) -> None:
        """Whoever asks for them, and in whatever order."""
        rules = GuardRules([guard(Canaries(), name=name, default_on=name == "b") for name in "abcd"])
        self.assertEqual(self.names(rules), ["b"])
        self.assertEqual(self.names(rules, ("d", "a")), ["a", "b", "d"])
        self.assertEqual(self.names(rules, ("d",), caller=Caller("k", guardrails=("c",))), ["b", "c", "d"])

    def test_patterns(self) -> None:
        rules = GuardRules([guard(Canaries(), name="a", models=("gpt-*", "x"), keys=("team-?",))])
        for model, key, holds in (
            ("gpt-5", "team-1", True),
            ("x", "team-1", True),
            ("y", "team-1", False),
            ("x", "t", False),
        ):
            self.assertEqual(self.names(rules, model=model, caller=Caller(key)), ["a"] if holds else [], (model, key))
        self.assertEqual(self.names(rules, ("a",), model="y"), ["a"])

    def test_unknown(self) -> None:
        rules = GuardRules([guard(Canaries(), name="a")])
        self.assertRaises(ValidationError, self.names, rules, ("b",))
        self.assertRaises(GuardrailUnavailable, self.names, rules, caller=Caller("k", guardrails=("b",)))
        self.assertRaises(ValidationError, self.names, rules, ("a",) * 33)

    def test_a_set_is_made_once(self) -> None:
        """However many models are asked for; and what is remembered of callers has an end."""
        rules = GuardRules([guard(Canaries(), name="a")])
        sets = {id(rules.of(call({}, model=f"m{number}"), ())) for number in range(3000)}
        self.assertEqual(len(sets), 1)
        self.assertLessEqual(len(rules._known), 1024)

    def test_digests(self) -> None:
        """They are of what the guardrails are, and of nothing else."""
        digests = [
            GuardRules([guard(Canaries(), name="a", **more)]).of(call({}), ()).digest  # type: ignore[union-attr]
            for more in ({}, {}, {"mode": "shadow"}, {"on": ("system",)})
        ]
        self.assertEqual(digests[0], digests[1])
        self.assertEqual(len(set(digests)), 3)

    def test_closed_with_the_configuration(self) -> None:
        told = Told()
        GuardRules([guard(Canaries()), guard(checker=told, name="t")]).close()
        self.assertEqual(told.closed, 1)
