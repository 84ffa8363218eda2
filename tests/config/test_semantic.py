"""What ``[cache.semantic]`` may say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from tests.fakes import settings

TOML = """
[providers.mock]
dialect = "mock"
[cache]
enabled = true
scope = "team"
[cache.semantic]
mode = "{mode}"
{more}
"""


class Semantic(SynchronousTestCase):
    def problem(self, mode: str = "shadow", more: str = "", **replaced: str) -> str:
        text = TOML.format(mode=mode, more=more)
        for old, new in replaced.items():
            text = text.replace(*{"scope": ('"team"', new), "enabled": ("true", new)}[old])
        with self.assertRaises(ConfigError) as caught:
            settings(text)
        (problem,) = caught.exception.problems
        return problem

    def test_good_ones(self) -> None:
        for mode, more in (
            ("off", ""),
            ("strict", 'models = ["a*"]'),
            ("verified", 'judge = "mock/j"\nmax_bytes = "1MiB"'),
        ):
            found = settings(TOML.format(mode=mode, more=more)).cache.semantic
            self.assertEqual(found.mode, mode)
        self.assertEqual(found.max_bytes, 1 << 20)

    def test_problems(self) -> None:
        """A judge that is missing, models that nobody has, strangers that would share."""
        self.assertIn("cache.semantic.mode", self.problem("verified"))
        self.assertIn("needs judge", self.problem("verified"))
        self.assertIn("'gpt-9'", self.problem(more='judge = "gpt-9"'))
        self.assertIn("cache.semantic.embeddings", self.problem(more='embeddings = "gpt-9"'))
        self.assertIn("cache.scope", self.problem(scope='"shared"'))
        models = '[models.m]\ntargets = ["mock/x"]\ncache = {scope = "shared"}'
        self.assertIn("models.m.cache", self.problem(more=models))
        self.assertIn("from 0.5 to 1", self.problem(more="threshold = 0.2"))

    def test_what_is_off(self) -> None:
        """Is not looked at."""
        self.assertEqual(settings(TOML.format(mode="off", more='judge = "gpt-9"')).cache.semantic.judge, "gpt-9")
