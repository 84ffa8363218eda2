"""What is found out of a JSON text before it is decoded."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import weight
from llmedge.dialects.weight import FIELDS, VALUES, check_items, is_deeper, outside_strings
from llmedge.errors import RequestTooLarge
from tests.effort import examples

texts = st.text(st.sampled_from('"\\[]{},: \nab\u00e9'), max_size=12)
documents = st.recursive(
    st.none() | st.integers(0, 9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=40,
)


def items(document: Any, in_list: bool = False) -> int:
    """The objects and lists that are in lists."""
    if isinstance(document, dict):
        return in_list + sum(items(value) for value in document.values())
    if isinstance(document, list):
        return in_list + sum(items(value, True) for value in document)
    return 0


def refused(raw: bytes, most: int) -> bool:
    try:
        check_items(raw, most)
    except RequestTooLarge:
        return True
    return False


class Weight(SynchronousTestCase):
    def test_outside_strings(self) -> None:
        """What is in a string does not count, however the text falls into pieces, and whatever is escaped."""

        @settings(deadline=None, max_examples=examples(300))
        @given(documents, st.integers(1, 30), st.booleans())
        def try_it(document: Any, window: int, spaced: bool) -> None:
            raw = json.dumps(document, ensure_ascii=False, indent=1 if spaced else None).encode()
            self.patch(weight, "_WINDOW", window)
            found = b"".join(outside_strings(raw))
            plain = json.dumps(emptied(document), indent=1 if spaced else None).encode().replace(b'""', b'"')
            self.assertEqual(found.replace(b'"', b""), plain.replace(b'"', b""))
            count = items(document)
            if not refused(raw, count):
                self.assertFalse(refused(raw, count + 1))
            self.assertTrue(not count or refused(raw, (count - 1) // 2))

        try_it()

    def test_items(self) -> None:
        """Messages, parts, tools and lists of lists: all together may be so many, in whatever spacing."""
        for name, document, count in (
            ("messages", {"messages": [{"role": "user", "content": "[{,{"}] * 300}, 300),
            ("parts", {"messages": [{"content": [{"text": 'a"[{'}] * 99}] * 3}, 300),
            ("tools", {"tools": [{"function": {"parameters": {"anyOf": [{}, {}]}}}] * 100}, 300),
            ("lists", {"input": [[1, 2]] * 300}, 300),
        ):
            for indent in (None, 2):
                raw = json.dumps(document, indent=indent).encode()
                self.assertEqual((refused(raw, count), refused(raw, count - 1)), (False, True), name)

    def test_fields_and_values(self) -> None:
        """What is no item has a limit as well: a metadata of thousands of fields, a list of numbers."""
        for wide in ({"metadata": {str(n): n for n in range(999)}}, {str(n): "," for n in range(1000)}):
            raw = json.dumps(wide).encode()
            self.assertEqual((refused(raw, 1000 // FIELDS), refused(raw, 1000 // FIELDS - 1)), (False, True))
        raw = json.dumps({"input": [1] * 4001}).encode()
        self.assertEqual((refused(raw, 4000 // VALUES), refused(raw, 4000 // VALUES - 1)), (False, True))

    def test_what_is_said_counts_for_nothing(self) -> None:
        """A prompt may hold as much JSON as it likes."""
        raw = json.dumps({"messages": [{"content": json.dumps([{"a": [[1, 2], {}]}] * 5000)}]}).encode()
        self.assertFalse(refused(raw, 100))

    def test_depth(self) -> None:
        """In pieces as in one."""
        for inside, depth in (('{"a":' * 50 + "1" + "}" * 50, 50), ("[" * 60 + "]" * 60, 60)):
            for padding in ("", " " * 70000, '"' + "[" * 70000 + '",'):
                raw = f"[{padding}{inside}]".encode()
                self.assertEqual((is_deeper(raw, depth + 1), is_deeper(raw, depth)), (False, True))

    def test_text_that_does_not_end(self) -> None:
        """A string that never ends takes no longer than one that does. (Looking for its end from each of its quotation
        marks would take hours.)"""
        raw = b"[" * 101 + b'"' + b'\\"' * 2_000_000
        self.assertTrue(is_deeper(raw, 100))
        check_items(raw, 100)


def emptied(document: Any) -> Any:
    """``document`` with all its strings empty, those of its keys too."""
    if isinstance(document, dict):
        return Emptied(emptied(value) for value in document.values())
    if isinstance(document, list):
        return [emptied(value) for value in document]
    return "" if isinstance(document, str) else document


class Emptied(dict[str, Any]):
    """An object whose keys are all the same."""

    def __init__(self, values: Any) -> None:
        super().__init__({object(): value for value in values})

    def items(self) -> Any:
        return [("", value) for value in self.values()]
