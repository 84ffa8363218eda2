"""Fields that have no place in the IR: hints, content, and what is lost, in every client's dialect."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.foreign import HINTS, LOST, USUAL, Foreign
from tests.dialects.parsing import PLAIN, parse

TYPED: dict[str, Any] = {
    "include": ["file_search_call.results"],
    "truncation": "auto",
    "safety_identifier": "s",
    "thinking": {"type": "new"},
    "frequency_penalty": 1.5,
    "presence_penalty": 1.5,
    "seed": 5,
    "top_k": 5,
    "best_of": 5,
    "user": "u",
    "prompt": {"id": "p"},
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "background": False,
}
"""Values of fields that have to be of a type; others may be anything."""


def nested(path: str) -> dict[str, Any]:
    """An object that says something at a dotted path."""
    name, _, rest = path.partition(".")
    return {name: nested(rest) if rest else TYPED.get(name, {"a": 1})}


def at_top(table: frozenset[str]) -> list[str]:
    """The fields of a table that can be said with a plain request."""
    deep = ("messages.", "contents.", "input.", "tools.", "*.", "metadata.*", "thinking.")
    return [path for path in sorted(table) if not path.startswith(deep)]


class Tables(SynchronousTestCase):
    def test_hints(self) -> None:
        """Each is a hint in its place, and no reason to refuse."""
        for client, table in HINTS.items():
            self.assertGreater(len(at_top(table)), 10)
            for path in at_top(table):
                said = parse(client, **nested(path), **({"user": "u"} if path == "safety_identifier" else {}))
                self.assertEqual((said.hints, said.extra, said.lost), ((path,), (), ()), f"{client}: {path}")

    def test_what_is_lost(self) -> None:
        """It is neither content nor a hint."""
        for client, table in LOST.items():
            for path in sorted(table):
                said = parse(client, **nested(path))
                self.assertEqual((said.hints, said.extra, said.lost), ((), (), (path,)), f"{client}: {path}")

    def test_what_is_unknown_is_content(self) -> None:
        """In every dialect, with its path."""
        for client in PLAIN:
            said = parse(client, novel={"a": 1})
            self.assertEqual((said.hints, said.extra, said.lost), ((), ("novel",), ()), client)

    def test_empty_fields_say_nothing(self) -> None:
        """Whatever they are called; those that have to be of a type at least as null."""
        for client in PLAIN:
            for path in ("novel", *at_top(HINTS[client]), *LOST[client]):
                for value in (None,) if path in TYPED else (None, "", [], {}):
                    if "." not in path:
                        self.assertEqual(parse(client, **{path: value}), parse(client), f"{client}: {path} = {value!r}")

    def test_usual_values_say_nothing(self) -> None:
        """They are what every dialect goes by."""
        for name, values in USUAL.items():
            for value in values:
                client = "gemini" if any(map(str.isupper, name)) else "openai_responses"
                self.assertEqual(parse(client, **{name: value}), parse(client), f"{name} = {value!r}")

    def test_hints_are_named_once(self) -> None:
        """However often they stand there, without numbers; content each time, with its place."""
        foreign = Foreign("openai_responses")
        foreign += ["input[0].phase", "input[7].phase", "input[0].novel", "input[7].novel"]
        said = foreign.placed(ir.Request(()))
        self.assertEqual(said.hints, ("input.phase",))
        self.assertEqual(said.extra, ("input[0].novel", "input[7].novel"))
