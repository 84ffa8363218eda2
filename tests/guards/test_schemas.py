"""JSON Schema, applied in bounded time."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.schemas import Exhausted, Schema, UnusableSchema
from tests.effort import examples

ENOUGH = 5.0
"""Seconds that nothing small takes."""


def fits(schema: Any, value: Any, seconds: float = ENOUGH) -> bool:
    return Schema(json.dumps(schema).encode()).fits(json.dumps(value), seconds)


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "tags": {"items": {"$ref": "#/$defs/tag"}}},
    "patternProperties": {"^x-": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}
CASES: tuple[tuple[Any, Any, bool], ...] = (
    (PERSON, {"name": "n", "tags": ["a", "b"], "x-1": 3}, True),
    (PERSON, {"name": "n", "tags": ["c"]}, False),
    (PERSON, {"name": "n", "more": 1}, False),
    (PERSON, {"name": "n", "x-1": "3"}, False),
    (PERSON, {"name": ""}, False),
    (PERSON, {}, False),
    (PERSON, [], False),
    ({"pattern": "^a+$"}, "aaa", True),
    ({"pattern": "^a+$"}, "aab", False),
    ({"pattern": "^a+$"}, 3, True),
    ({"uniqueItems": True}, [1, True, 0, False, "1", [1], [True], {"a": 1}, {"a": True}], True),
    ({"uniqueItems": True}, [{"a": [1], "b": 2}, {"b": 2.0, "a": [1.0]}], False),
    ({"uniqueItems": False}, [1, 1], True),
    ({"additionalProperties": {"type": "integer"}, "properties": {"a": True}}, {"a": "x", "b": 1}, True),
    ({"additionalProperties": {"type": "integer"}, "properties": {"a": True}}, {"b": "x"}, False),
    ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]}, {"a": 1}, True),
    ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]}, {"b": 1}, False),
    ({"prefixItems": [{"type": "integer"}], "items": False}, [1, 2], False),
    (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{"type": "integer"}],
            "additionalItems": False,
        },
        [1, 2],
        False,
    ),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}, 1, False),
    (True, 3, True),
    (False, 3, False),
    ({}, None, True),
)
DEEP = 24
HOSTILE: tuple[tuple[str, Any, Any], ...] = (
    ("refers to itself", {"$ref": "#"}, 1),
    ("all of itself", {"allOf": [{"$ref": "#"}]}, 1),
    ("not itself", {"not": {"$ref": "#"}}, 1),
    (
        "2^24",
        {
            "$ref": "#/$defs/0",
            "$defs": {
                str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} if n < DEEP else {"type": "null"}
                for n in range(DEEP + 1)
            },
        },
        1,
    ),
    ("catastrophic", {"pattern": "^(a|a)*(b|b)*(ab|ba|a)*$"}, "ab" * 2000 + "!"),
    ("catastrophic by name", {"patternProperties": {"^(a|aa|aaa)+$": {}}}, {"a" * 200 + "!": 1}),
    (
        "catastrophic by other names",
        {"patternProperties": {"^(a|aa|aaa)+$": {}}, "additionalProperties": False},
        {"a" * 200 + "!": 1},
    ),
    (
        "wide on wide",
        {"items": {"allOf": [{"items": {"anyOf": [*({"const": n} for n in range(300)), {}]}}] * 300}},
        [[9999] * 300],
    ),
)
UNUSABLE: tuple[Any, ...] = (
    {"$ref": "http://127.0.0.1:9/schema.json"},
    {"$ref": "file:///etc/passwd"},
    {"$ref": "#/$defs/none"},
    {"$dynamicRef": "#none"},
    {"type": 5},
    {"required": 5},
    {"properties": []},
    {"pattern": "("},
    {"pattern": "a" * 1001},
    {"unevaluatedProperties": False, "patternProperties": {"^x": {}}},
)


class Schemas(SynchronousTestCase):
    def test_table(self) -> None:
        for schema, value, is_so in CASES:
            self.assertEqual(fits(schema, value), is_so, (schema, value))

    @settings(max_examples=examples(200), deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 2.5]) | st.text("ab", max_size=2),
            lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text("abx-", max_size=3), each, max_size=4),
        ),
        st.sampled_from([schema for schema, _, _ in CASES if isinstance(schema, dict) and "$schema" not in schema]),
    )
    def test_as_jsonschema_has_it(self, value: Any, schema: Any) -> None:
        """What is our own of it judges alike."""
        self.assertEqual(fits(schema, value), Draft202012Validator(schema).is_valid(value))

    def test_no_json(self) -> None:
        for text in ("", "{", '{"a": 1} and', "NaN", "[" * 100_000, '"\\ud83d"', "1e400,"):
            self.assertFalse(Schema(b"{}").fits(text, ENOUGH), text[:20])
        self.assertTrue(Schema(b"{}").fits(' {"a": 1}\n', ENOUGH))

    def test_hostile(self) -> None:
        """Each is given up when its time is over, and takes little more than that."""
        for name, schema, value in HOSTILE:
            began = time.thread_time()
            with self.assertRaises(Exhausted, msg=name):
                fits(schema, value, 0.05)
            self.assertLess(time.thread_time() - began, ENOUGH, name)

    def test_hostile_at_any_depth(self) -> None:
        """However deep the stack is already: Python's own limit, at which ``rpds`` panics, is not met."""

        def below(frames: int) -> bool:
            return below(frames - 1) if frames else fits({"not": {"$ref": "#"}}, 1)

        for frames in range(16):
            self.assertRaises(Exhausted, below, frames)

    def test_unusable(self) -> None:
        """They are no schemas, or lead elsewhere; nothing is fetched."""

        def fetch(*args: Any, **kw: Any) -> Any:
            raise AssertionError("somebody is asked")

        self.patch(socket, "create_connection", fetch)
        for schema in UNUSABLE:
            with self.assertRaises(UnusableSchema, msg=str(schema)[:80]):
                fits(schema, {"a": "b"} if "properties" in str(schema).lower() or "required" in schema else "text")
        for raw in (b"", b"[]", b"3", b"{", b"[" * 100_000, b"\xff"):
            with self.assertRaises(UnusableSchema):
                Schema(raw)

    def test_deep(self) -> None:
        """A value deeper than Python goes is given up, not a crash."""
        schema = {"additionalProperties": {"$ref": "#"}, "items": {"$ref": "#"}}
        with self.assertRaises(Exhausted):
            Schema(json.dumps(schema).encode()).fits("[" * 700 + "]" * 700, ENOUGH)
