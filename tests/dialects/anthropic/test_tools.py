"""Tools of Anthropic's clients whose schemas only Claude knows."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from tests.dialects.parsing import parse


class Tools(SynchronousTestCase):
    def test_run_by_the_client(self) -> None:
        """Functions of the same names, with the arguments that Claude gives them."""
        for kind, name, arguments in (
            ("bash_20250124", "bash", {"command", "restart"}),
            ("bash_20241022", "bash", {"command", "restart"}),
            ("text_editor_20250728", "str_replace_based_edit_tool", {"command", "path", "old_str", "insert_line"}),
            ("text_editor_20250124", "str_replace_editor", {"command", "path", "file_text", "view_range"}),
            ("memory_20250818", "memory", {"command", "path", "old_path"}),
            ("computer_20250124", "computer", {"action", "coordinate", "text"}),
        ):
            mark = {"cache_control": {"type": "ephemeral"}}
            request = parse("anthropic", tools=[{"type": kind, "name": name, "max_characters": 9, **mark}])
            (tool,) = request.tools
            self.assertEqual((tool.name, tool.cache, request.extra), (name, "5m", ()))
            schema = json.loads(tool.schema)
            self.assertLessEqual(arguments, set(schema["properties"]))
            self.assertLessEqual(set(schema["required"]), set(schema["properties"]))

    def test_a_computer(self) -> None:
        """Its screen is explained."""
        size = {"display_width_px": 1024, "display_height_px": 768, "display_number": 1}
        (tool,) = parse("anthropic", tools=[{"type": "computer_20250124", "name": "computer", **size}]).tools
        self.assertIn("1024 x 768", tool.description)

    def test_examples(self) -> None:
        """They explain the input, and stand in the description."""
        tool = {"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}, {"a": 2}]}
        for description, begin in (("d", "d\n\n"), ("", "")):
            (found,) = parse("anthropic", tools=[{**tool, "description": description}]).tools
            self.assertEqual(found.description, begin + 'Examples of the input:\n{"a":1}\n{"a":2}')

    def test_marks_on_tools(self) -> None:
        """They are hints, or say nothing."""
        tool = {"name": "f", "input_schema": {}}
        for more, hints in (
            ({"eager_input_streaming": True}, ("tools.eager_input_streaming",)),
            ({"eager_input_streaming": False, "defer_loading": False, "allowed_callers": ["direct"]}, ()),
            ({"defer_loading": True}, ("tools.defer_loading",)),
            ({"allowed_callers": ["code_execution_20250825"]}, ("tools.allowed_callers",)),
            ({"cache_control": {}, "input_examples": []}, ()),
        ):
            request = parse("anthropic", tools=[{**tool, **more}])
            self.assertEqual((request.hints, request.extra), (hints, ()))
            self.assertEqual(request.tools, (ir.Tool("f", schema=b"{}"),))
