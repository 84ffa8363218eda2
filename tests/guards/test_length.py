"""How much may be said, and has to be."""

from __future__ import annotations

from typing import Any

from llmedge.config import ConfigError
from llmedge.guards.interfaces import CalledTool
from tests.guards.asking import Checking, guardrail, place

LEAST = 'on = ["response"]\nleast = 3'
CALLED = [CalledTool("t", "{}")]
CASES: tuple[tuple[str, list[str], dict[str, Any], str], ...] = (
    ("most = 5", ["abc", "de"], {}, ""),
    ("most = 5", ["abc", "def"], {}, "too_long"),
    ("most = 5", ["ab"], {"of": "response", "position": "part", "before": "cdef"}, "too_long"),
    ("most = 2", ["\U0001f600\U0001f600"], {}, ""),
    ("most_each = 3", ["abc", "def"], {}, ""),
    ("most_each = 3", ["abc", "defg"], {}, "text_too_long"),
    ("most_each = 3", [], {}, ""),
    ("most_texts = 2", ["", ""], {}, ""),
    ("most_texts = 2", ["", "", ""], {}, "too_many_texts"),
    (LEAST, ["abc"], {"of": "response", "answer": ["abc"]}, ""),
    (LEAST, ["ab"], {"of": "response", "answer": ["ab"]}, "too_short"),
    (LEAST, ["abc", "ab"], {"of": "response", "answer": ["abc", "ab"]}, "too_short"),
    (LEAST, [], {"of": "response", "answer": []}, "too_short"),
    (LEAST, [], {"of": "response", "answer": [], "called": CALLED}, ""),
    (LEAST, ["a"], {"of": "response", "position": "part"}, ""),
    (LEAST, ["ab"], {}, ""),
)


class Lengths(Checking):
    def test_table(self) -> None:
        for toml, texts, more, reason in CASES:
            self.begin(f'type = "length"\n{toml}')
            found = self.judged(*map(place, texts), **more)
            self.assertEqual((found.verdict, found.reason), ("block" if reason else "pass", reason), (toml, texts))

    def test_configuration(self) -> None:
        for toml, words in (
            ("", "needs most, most_each, most_texts or least"),
            ("least = 3", 'have "response" in on'),
            (f'{LEAST}\nstream = "sentence"', "stream must be hold or after"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, f'type = "length"\n{toml}')))
