"""Strings of a JSON text in pieces, rewritten."""

import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.json_text import JsonText
from tests.effort import examples


class Upper:
    def feed(self, text: str) -> str:
        return text.upper()

    def end(self) -> str:
        return "!"


def fed(text: str, random: Random, **more: Any) -> str:
    rewriter = JsonText(Upper, **more)
    cuts = sorted(random.randrange(len(text) + 1) for _ in range(random.randrange(12)))
    out = [rewriter.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return "".join([*out, rewriter.end()])


def upper(value: Any, keys: bool) -> Any:
    if isinstance(value, str):
        return value.upper() + "!"
    if isinstance(value, dict):
        return {upper(key, keys) if keys else key: upper(each, keys) for key, each in value.items()}
    return [upper(each, keys) for each in value] if isinstance(value, list) else value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('abc"\\é', max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Texts(SynchronousTestCase):
    @settings(max_examples=examples(200), deadline=None)
    @given(
        st.lists(VALUES, max_size=3) | st.dictionaries(st.text('abc"\\é', max_size=3), VALUES), st.integers(0, 2**32)
    )
    def test_it_stays_json(self, value: Any, seed: int) -> None:
        """However it is cut and spelled: each string is rewritten, nothing else is touched."""
        random = Random(seed)
        for escaped in (True, False):
            text = json.dumps(value, ensure_ascii=escaped, indent=random.choice([None, 1]))
            for keys in (True, False):
                self.assertEqual(json.loads(fed(text, random, keys=keys)), upper(value, keys))

    def test_space_stays(self) -> None:
        self.assertEqual(fed('{ "a" : "b" ,\n"n":1.50 }', Random(1)), '{ "a" : "B!" ,\n"n":1.50 }')

    def test_what_is_no_object(self) -> None:
        """Is one text."""
        for text in ('patch: "a"', '"a"', "  words"):
            for seed in range(9):
                self.assertEqual(fed(text, Random(seed)), text.upper() + "!")

    def test_half_characters(self) -> None:
        """A pair that is cut is one character; a half that is alone stays one."""
        for seed in range(40):
            self.assertEqual(json.loads(fed('["\\ud83d\\ude00"]', Random(seed))), ["\U0001f600!"])
            self.assertEqual(fed('["\\ud83d x"]', Random(seed)), '["\\ud83d X!"]')
            self.assertEqual(json.loads(fed('["\\ud83d\\n"]', Random(seed))), ["\ud83d\n!"])

    def test_broken_off(self) -> None:
        """What came is rewritten."""
        for seed in range(9):
            self.assertEqual(fed('{"a": "bc', Random(seed)), '{"a": "BC!')

    def test_names_and_long_numbers_are_told(self) -> None:
        seen: list[str] = []
        for seed in range(9):
            seen.clear()
            fed('{"name": 4111111111111111, "b": {"c": 12}}', Random(seed), seen=seen.append)
            self.assertEqual(seen, ["name", "4111111111111111", "b", "c"])

    def test_what_is_json_no_more(self) -> None:
        """The rest of it is rewritten as it is: whoever writes it, some read it all the same."""
        for text, want in (
            ("{'a': 'b@c'}", "{'A': 'B@C'}!"),
            ("[b@c, 1]", "[B@C, 1]!"),
            ('{"a": "b" c@d}', '{"a": "B!" C@D}!'),
            ('{"a": true@b}', '{"a": TRUE@B}!'),
            ('{"a": 078-05-1120, "b": "c"}', '{"a": 078-05-1120, "B": "C"}!'),
            ("[2001:db8::1]", "[2001:DB8::1]!"),
            ('{"a": 1} b', '{"a": 1} B!'),
        ):
            for seed in range(20):
                self.assertEqual(fed(text, Random(seed)), want)

    def test_space_is_not_held(self) -> None:
        """Some models say nothing else for a long while."""
        rewriter = JsonText(Upper)
        self.assertEqual([rewriter.feed(each) for each in ("{", "\n", " " * 99, '"a"')], ["{", "\n", " " * 99, '"a"'])
        self.assertEqual(rewriter.feed(": 12") + rewriter.feed("3"), ":")
        self.assertEqual(rewriter.feed(" " * 99), " 123" + " " * 99)

    def test_what_stays_is_spelled_as_it_was(self) -> None:
        """Escapes of what a rewriter leaves as it is, even if it holds it back for a while."""

        class Holds:
            held = ""

            def feed(self, text: str) -> str:
                text = self.held + text
                self.held = text[-3:]
                return text[:-3]

            def end(self) -> str:
                return self.held

        text = '{"caf\\u00e9": "\\u00e9t\\u00E9 \\/ \\ud83d\\ude00 \\n\\ud83d x\\q", "b": ["\\"", "\\u0041"]}'
        for size in range(1, 14):
            rewriter = JsonText(Holds, keys=True)
            out = [rewriter.feed(text[at : at + size]) for at in range(0, len(text), size)]
            self.assertEqual("".join(out) + rewriter.end(), text)
