"""Topics, known by their words."""

from __future__ import annotations

from llmedge.config import ConfigError
from llmedge.guards.windows import WINDOW
from tests.guards.asking import Checking, guardrail, place

DENY = 'deny = ["election", "Interest Rate", "C++", "選挙", "Straße"]'
ALLOW = 'allow = ["recipe", "oven"]'
CASES: tuple[tuple[str, str, str], ...] = (
    (DENY, "Who won the Election?", "topic_denied"),
    (DENY, "They were re-elected after the by-election.", "topic_denied"),
    (DENY, "A reelection, elections", ""),
    (DENY, "the interest-rate, they said", "topic_denied"),
    (DENY, "the INTEREST\n  RATE", "topic_denied"),
    (DENY, "interest in the rate", ""),
    (DENY, "in der STRASSE", "topic_denied"),
    (DENY, "次の選挙はいつですか", "topic_denied"),
    (DENY, "次の会議はいつですか", ""),
    (DENY, "", ""),
    (ALLOW, "a recipe please", ""),
    (ALLOW, "who won?", "topic_not_allowed"),
    (ALLOW, "", ""),
    (f"{DENY}\n{ALLOW}", "a recipe for the election", "topic_denied"),
    (f"{DENY}\nleast = 2", "the election, the election", ""),
    (f"{DENY}\nleast = 2", "the election and the interest rate", "topic_denied"),
)


class Words(Checking):
    def test_table(self) -> None:
        for toml, text, reason in CASES:
            self.begin(f'type = "topics"\n{toml}')
            found = self.judged(place(text))
            self.assertEqual((found.verdict, found.reason), ("block" if reason else "pass", reason), text)
            self.assertEqual(found.finds.get("DENIED", 0) > 0, reason == "topic_denied")

    def test_any_of_the_texts(self) -> None:
        """One with a denied word is enough, as is one with an allowed word."""
        self.begin(f'type = "topics"\n{DENY}')
        self.assertEqual(self.judged(place("x"), place("election")).verdict, "block")
        self.begin(f'type = "topics"\n{ALLOW}')
        self.assertEqual(self.judged(place("x"), place("oven")).verdict, "pass")

    def test_where_windows_meet(self) -> None:
        """Words are whole there, too: neither lost nor made of parts of others."""
        for text, verdict in (("election", "block"), ("interest rate", "block"), ("reelections", "pass")):
            self.begin(f'type = "topics"\n{DENY}')
            for at in range(WINDOW - 300, WINDOW + 20):
                said = "x" * (at - 1) + f" {text} " + "y" * WINDOW
                self.assertEqual(self.judged(place(said)).verdict, verdict, at)

    def test_configuration(self) -> None:
        for toml, words in (
            ("", "needs allow or deny"),
            (f'deny = ["{"x" * 200}"]', "deny must have phrases of at most"),
            ('allow = ["?!"]', "allow must have phrases with a letter"),
            (f'{ALLOW}\nstream = "sentence"', "stream must be hold or after"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, f'type = "topics"\n{toml}')))
