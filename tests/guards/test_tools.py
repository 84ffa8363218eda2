"""Which tools may be offered and called."""

from __future__ import annotations

from typing import Any

from llmedge.config import ConfigError
from llmedge.guards.interfaces import CalledTool, OfferedTool
from tests.guards.asking import Checking, guardrail

ALLOW, DENY = 'allow = ["get_*", "search"]', 'deny = ["*delete*", "run"]'
BOTH = f"{ALLOW}\n{DENY}"
CASES: tuple[tuple[str, list[str], list[tuple[str, str]], dict[str, int]], ...] = (
    (ALLOW, ["get_time", "search"], [], {}),
    (ALLOW, ["get_time", "Search", "research"], [], {"OFFERED": 2}),
    (DENY, ["get_time", "runs"], [], {}),
    (DENY, ["mcp__delete_all", "run"], [], {"OFFERED": 2}),
    (BOTH, ["get_deleted"], [], {"OFFERED": 1}),
    (BOTH, [], [("search", "response"), ("run", "response"), ("x", "tool_calls")], {"CALLED": 2}),
    (f'{BOTH}\non = ["response"]', ["run"], [("run", "tool_calls"), ("run", "response")], {"CALLED": 1}),
    (f'{BOTH}\non = ["tools"]', ["run"], [("run", "tool_calls")], {"OFFERED": 1}),
    ('allow = ["[ab]?"]', ["a1", "b2", "c3", "a11"], [], {"OFFERED": 2}),
    (ALLOW, [], [], {}),
)


class Names(Checking):
    def test_table(self) -> None:
        for toml, offered, called, finds in CASES:
            self.begin(f'type = "tools"\n{toml}')
            more: dict[str, Any] = {
                "offered": [OfferedTool(name) for name in offered],
                "called": [CalledTool(name, "{}", where=where) for name, where in called],  # type: ignore[arg-type]
            }
            found = self.judged(**more)
            self.assertEqual((found.verdict, found.finds), ("block" if finds else "pass", finds), toml)

    def test_an_answer(self) -> None:
        """What was offered is the request's business."""
        self.begin(f'type = "tools"\n{DENY}')
        self.assertEqual(self.judged(of="response", offered=[OfferedTool("run")]).verdict, "pass")

    def test_configuration(self) -> None:
        for toml, words in (
            ("", "needs allow or deny"),
            (f'{DENY}\non = ["request"]', "on must have tools"),
            (f'{DENY}\nstream = "sentence"', "stream must be hold or after"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, f'type = "tools"\n{toml}')))
