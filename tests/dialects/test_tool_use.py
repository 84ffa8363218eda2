"""Which requests may have a tool called, in each dialect's words."""

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.tool_use import may_call_tools

CHAT = {"type": "function", "function": {"name": "f"}}
GOOGLES = {"functionDeclarations": [{"name": "f"}]}


def asks(**fields: object) -> bool:
    return may_call_tools({name: json.dumps(value).encode() for name, value in fields.items()})


class ToolUse(SynchronousTestCase):
    def test_given(self) -> None:
        for fields in (
            {"tools": [CHAT]},
            {"tools": [CHAT], "tool_choice": "auto"},
            {"tools": [CHAT], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"functions": [{"name": "f"}]},
            {"tools": [{"type": "function", "name": "f"}], "tool_choice": "required"},
            {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
            {"tools": [GOOGLES]},
            {"tools": GOOGLES, "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}},
            {"tools": [{"googleSearch": {}}]},
            {"tools": [CHAT], "tool_choice": 5},
            {"tools": "?"},
        ):
            self.assertTrue(asks(**fields), fields)

    def test_none(self) -> None:
        """Nothing, an empty list, a group of none; or a choice that forbids them all."""
        for fields in (
            {},
            {"tools": []},
            {"tools": None},
            {"functions": []},
            {"tools": [{}]},
            {"tools": [{"functionDeclarations": []}]},
            {"tools": {"function_declarations": []}},
            {"tools": [], "tool_choice": "required"},
            {"tools": [CHAT], "tool_choice": "none"},
            {"functions": [{"name": "f"}], "function_call": "none"},
            {"tools": [{"name": "f"}], "tool_choice": {"type": "none"}},
            {"tools": [GOOGLES], "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
            {"tools": [GOOGLES], "tool_config": {"function_calling_config": {"mode": "NONE"}}},
        ):
            self.assertFalse(asks(**fields), fields)
