"""Schemas of tools and answers, for each vendor that is particular about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.fitting import schemas
from llmedge.dialects.fitting.json_schema import walk
from tests.dialects.fitting.common import dialect_of
from tests.effort import examples

CLAUDE, GEMINI, OPENAI = (dialect_of(name).needs for name in ("anthropic", "gemini", "openai_chat"))
LEAF = {"type": "string"}


def raw(schema: Any) -> bytes:
    return json.dumps(schema).encode()


def answer(schema: Any, quirks: frozenset[str]) -> Any:
    return json.loads(schemas.answer(raw(schema), quirks))


def arguments(schema: Any, quirks: frozenset[str]) -> Any:
    return json.loads(schemas.parameters(raw(schema), quirks))


PLACES = {
    "properties": lambda inner: {"type": "object", "properties": {"a": inner}},
    "items": lambda inner: {"type": "array", "items": inner},
    "anyOf": lambda inner: {"anyOf": [inner, {"type": "null"}]},
    "oneOf": lambda inner: {"oneOf": [inner, {"type": "null"}]},
    "$defs": lambda inner: {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": inner}},
    "definitions": lambda inner: {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/a"}},
        "definitions": {"a": inner},
    },
    "allOf": lambda inner: {"type": "object", "properties": {"a": {"allOf": [inner]}}},
}
"""Where a schema may be within another."""

LIMITS = {
    "minimum": 1,
    "maximum": 9,
    "exclusiveMinimum": 0,
    "exclusiveMaximum": 10,
    "multipleOf": 3,
    "minLength": 1,
    "maxLength": 5,
    "pattern": "(?=a)b",
    "maxItems": 7,
    "minItems": 2,
    "uniqueItems": True,
    "minProperties": 1,
    "default": 4,
    "examples": [1],
    "x-mine": "y",
    "format": "color",
    "enum": [{"a": 1}],
    "patternProperties": {"^a": {}},
    "if": {"const": 1},
    "dependentRequired": {"a": ["b"]},
    "contains": {},
}


class Claude(SynchronousTestCase):
    """platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations"""

    def test_what_cannot_be_said_is_described(self) -> None:
        """Wherever it stands, and nothing of it is lost."""
        for place, put in PLACES.items():
            for key, value in LIMITS.items():
                said = answer(put({"type": "string", key: value}), CLAUDE)
                found = [each for each in walk(said) if key in each]
                self.assertEqual(found, [], (place, key))
                word = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
                texts = [each.get("description", "") for each in walk(said)]
                self.assertIn(f"{{{key}: {word}}}", texts, (place, key))

    def test_what_it_takes_stays(self) -> None:
        for key, value in {
            "format": "date-time",
            "minItems": 1,
            "pattern": "^[a-z]+$",
            "enum": ["a", 1, None, True],
            "const": 5,
            "title": "t",
        }.items():
            self.assertEqual(answer({"type": "string", key: value}, CLAUDE), {"type": "string", key: value})

    def test_objects_are_closed(self) -> None:
        """All of them, those that may be null and those that say no type, too."""
        for inner in (
            {"type": "object", "properties": {"b": LEAF}},
            {"properties": {"b": LEAF}},
            {"type": ["object", "null"], "properties": {"b": LEAF}},
            {"type": "object", "properties": {"b": LEAF}, "additionalProperties": True},
            {"type": "object", "additionalProperties": LEAF},
        ):
            for put in PLACES.values():
                for each in walk(answer(put(inner), CLAUDE)):
                    if "properties" in each or "object" in each.get("type", ()):
                        self.assertIs(each["additionalProperties"], False, each)
        self.assertEqual(
            answer({"type": "object", "additionalProperties": LEAF}, CLAUDE)["description"],
            '{additionalProperties: {"type":"string"}}',
        )

    def test_references(self) -> None:
        """Nothing stands beside one, and what is elsewhere is not followed."""
        defs = {"$defs": {"a": LEAF}}
        said = answer(
            {"type": "object", "properties": {"x": {"$ref": "#/$defs/a", "description": "d"}}, **defs}, CLAUDE
        )
        self.assertEqual(said["properties"]["x"], {"anyOf": [{"$ref": "#/$defs/a"}], "description": "d"})
        said = answer({"type": "object", "properties": {"x": {"$ref": "https://example.com/a"}}}, CLAUDE)
        self.assertEqual(said["properties"]["x"], {"description": "{$ref: https://example.com/a}"})
        said = answer({"$ref": "#/$defs/a", **defs}, CLAUDE)
        self.assertEqual(said, {"$ref": "#/$defs/a", **defs})

    def test_loops_are_refused(self) -> None:
        tree = {"type": "object", "properties": {"more": {"type": "array", "items": {"$ref": "#"}}}}
        error = self.assertRaises(schemas.Unsayable, answer, tree, CLAUDE)
        self.assertEqual(str(error), "it is made of itself")

    def test_strict_tools(self) -> None:
        """The same words; what is open cannot be kept to."""
        shut = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "additionalProperties": False}
        strict = schemas.strict_parameters(raw(shut), CLAUDE)
        assert strict is not None
        self.assertEqual(json.loads(strict)["properties"]["n"], {"type": "integer", "description": "{minimum: 1}"})
        for open_one in ({"type": "object", "properties": {"n": LEAF}}, {**shut, "properties": {"n": {"$ref": "#"}}}):
            self.assertIsNone(schemas.strict_parameters(raw(open_one), CLAUDE))

    def test_tools_that_are_not_strict(self) -> None:
        """They take any words of 2020-12, but for unions at the top, and names of a pattern."""
        said = {"type": "object", "properties": {"a": {"oneOf": [{"minLength": 1}, {"type": "integer"}]}}}
        self.assertEqual(schemas.parameters(raw(said), CLAUDE), raw(said))
        for name in ("a b", "$filter", "ü", "x" * 65, ""):
            error = self.assertRaises(
                schemas.Unsayable, arguments, {"type": "object", "properties": {name: {}}}, CLAUDE
            )
            self.assertIn(repr(name), str(error))


class OpenAI(SynchronousTestCase):
    def test_tools_are_objects(self) -> None:
        """Without a union, a value or a refusal at the top; an object says its properties, an array its items."""
        for schema in (
            {"anyOf": [{"type": "object", "properties": {"a": LEAF}}, {"type": "object", "properties": {"b": LEAF}}]},
            {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
            {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "object", "properties": {"a": LEAF}}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"a": LEAF}}}},
            {"type": "object", "enum": [{"a": 1}]},
            {"type": "object", "not": {"required": ["a"]}},
            {"const": {"a": 1}},
            {"type": ["object", "null"]},
        ):
            for quirks in (OPENAI, CLAUDE, dialect_of("openai_responses").needs, dialect_of("bedrock").needs, GEMINI):
                said = arguments(schema, quirks)
                self.assertEqual(said["type"], "object", schema)
                self.assertFalse(said.keys() & {"anyOf", "oneOf", "allOf", "$ref", "enum", "not", "const"}, said)
        self.assertEqual(arguments({"type": "object"}, OPENAI), {"type": "object", "properties": {}})
        said = arguments({"type": "object", "properties": {"a": {"type": "array"}}}, OPENAI)
        self.assertEqual(said["properties"]["a"], {"type": "array", "items": {}})

    def test_strict(self) -> None:
        """Where all objects are closed and require all they have; limits it has no words for are described."""
        shut: dict[str, Any] = {
            "type": "object",
            "properties": {"a": {"type": "string", "minLength": 1, "pattern": "x"}},
            "required": ["a"],
            "additionalProperties": False,
        }
        for fit in (
            lambda schema: schemas.strict_parameters(raw(schema), OPENAI),
            lambda schema: schemas.strict_answer(schemas.answer(raw(schema), OPENAI), OPENAI),
        ):
            strict = fit(shut)
            assert strict is not None
            said = json.loads(strict)["properties"]["a"]
            self.assertEqual(said, {"type": "string", "pattern": "x", "description": "{minLength: 1}"})
            for change in ({"required": []}, {"additionalProperties": True}, {"additionalProperties": LEAF}):
                self.assertIsNone(fit({**shut, **change}))
            nested = {**shut, "properties": {"a": {"type": "array", "items": {"type": "object"}}}}
            self.assertIsNone(fit(nested))

    def test_strict_keeps_loops(self) -> None:
        """Which OpenAI takes."""
        tree = {
            "type": "object",
            "properties": {"more": {"type": "array", "items": {"$ref": "#"}}},
            "required": ["more"],
            "additionalProperties": False,
        }
        self.assertEqual(schemas.strict_answer(raw(tree), OPENAI), raw(tree))

    def test_answers_are_objects(self) -> None:
        for schema in ({"type": "array", "items": LEAF}, LEAF, {"anyOf": [LEAF, {"type": "integer"}]}, {"enum": ["a"]}):
            self.assertRaises(schemas.NotAnObject, answer, schema, OPENAI)
            answer(schema, CLAUDE)
            answer(schema, GEMINI)
        said = answer({"anyOf": [{"properties": {"a": LEAF}}, {"properties": {"b": LEAF}}]}, OPENAI)
        self.assertEqual((said["type"], said["properties"]), ("object", {"a": LEAF, "b": LEAF}))


class Gemini(SynchronousTestCase):
    """ai.google.dev/api/generate-content#GenerationConfig, responseJsonSchema."""

    def test_what_cannot_be_said_is_described(self) -> None:
        taken = {"minimum", "maximum", "minItems", "maxItems", "format"}
        for place, put in PLACES.items():
            for key, value in LIMITS.items():
                for fit in (answer, arguments):
                    inner = put({"type": "string", key: value})
                    said = fit(
                        {"type": "object", "properties": {"p": inner}} if "$defs" not in inner else inner, GEMINI
                    )
                    if "definitions" in inner:
                        continue  # which has its own test
                    found = [each for each in walk(said) if key in each and each.get("type") == "string"]
                    self.assertEqual(len(found) > 0, key in taken, (place, key))
                    self.assertIn(str(key), json.dumps(said))

    def test_words(self) -> None:
        """Each in Google's, wherever it has one."""
        for schema, said in (
            ({"const": "a"}, {"type": "string", "enum": ["a"]}),
            ({"const": 5}, {"type": "integer", "enum": [5]}),
            ({"const": None}, {"type": "null"}),
            ({"const": True}, {"description": "{enum: [true]}"}),
            ({"type": "string", "enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a"]}),
            ({"enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a"]}),
            ({"enum": ["", "a"]}, {"type": "string", "enum": ["a"], "description": '{enum: ["","a"]}'}),
            ({"enum": [""]}, {"description": '{enum: [""]}'}),
            ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
            ({"oneOf": [LEAF, {"type": "integer"}]}, {"anyOf": [LEAF, {"type": "integer"}]}),
            ({"type": "string", "anyOf": [LEAF]}, {"anyOf": [LEAF]}),
            ({"items": LEAF}, {"type": "array", "items": LEAF}),
            ({"properties": {"a": LEAF}}, {"type": "object", "properties": {"a": LEAF}}),
            ({"$schema": "x", "$id": "y", "$comment": "z", "type": "string"}, LEAF),
            ({"$ref": "#/definitions/a", "definitions": {"a": LEAF}}, {"$ref": "#/$defs/a", "$defs": {"a": LEAF}}),
            (
                {"type": "object", "required": ["a"]},
                {"type": "object", "required": [], "description": '{required: ["a"]}'},
            ),
        ):
            self.assertEqual(answer(schema, GEMINI), said)

    def test_unions_that_only_require(self) -> None:
        """Google takes nothing beside a union, so such a one is described."""
        said = arguments(
            {
                "type": "object",
                "properties": {"p": {"type": "object", "properties": {"a": LEAF}, "anyOf": [{"required": ["a"]}]}},
            },
            GEMINI,
        )
        self.assertEqual(said["properties"]["p"]["description"], '{anyOf: [{"required":["a"]}]}')


class All(SynchronousTestCase):
    def test_what_fits_keeps_its_bytes(self) -> None:
        """Spaces, order, escapes and numbers, too."""
        plain = b'{ "type":"object",\n "properties": {"a": {"type":"number", "description":"\\u00e9 1.0"}}}'
        shut = plain[:-1] + b', "required": ["a"], "additionalProperties": false}'
        for quirks in (CLAUDE, GEMINI, OPENAI, frozenset[str]()):
            self.assertEqual(schemas.parameters(plain, quirks), plain)
            self.assertIs(schemas.strict_parameters(shut, quirks), shut)
            self.assertIs(schemas.answer(shut, quirks), shut)
            self.assertIs(schemas.strict_answer(shut, quirks), shut)

    def test_what_is_no_schema(self) -> None:
        """Nothing, anything, and what is not JSON: a tool takes an object, an answer's stays what it was."""
        for quirks in (CLAUDE, GEMINI, OPENAI):
            for nothing in (b"", b"{}", b"true", b"false", b"null", b"[", b"5"):
                self.assertEqual(schemas.parameters(nothing, quirks), b'{"type":"object","properties":{}}')
            for anything in (b"true", b"false", b"["):
                self.assertIs(schemas.answer(anything, quirks), anything)
        self.assertEqual(
            answer({"type": "object", "properties": {"a": True, "b": False}}, GEMINI)["properties"],
            {"a": {}, "b": {"description": "{not: {}}"}},
        )

    def test_what_is_no_keywords_value(self) -> None:
        """It is described, and trips nobody."""
        for key in (*LIMITS, "properties", "required", "anyOf", "allOf", "oneOf", "type", "$ref", "$defs", "items"):
            for value in (5, "x", True, [5], [{}], {"a": 5}, [[]], None, -1):
                for put in (*PLACES.values(), lambda inner: inner):
                    said = raw(put({"type": "object", "properties": {"p": {}}, key: value}))
                    for quirks in (CLAUDE, GEMINI, OPENAI):
                        for fit in (schemas.parameters, schemas.answer):
                            try:
                                fitted = fit(said, quirks)
                            except schemas.Unsayable:
                                continue
                            json.loads(fitted)
                            schemas.strict_parameters(fitted, quirks)
                            schemas.strict_answer(fitted, quirks)
        self.assertEqual(answer({"type": "object", "required": True}, frozenset())["description"], "{required: true}")

    def test_growth_is_bounded(self) -> None:
        """What would be of two to the power of 40 schemas is refused, or left to the vendor, at once."""

        def step(number: int) -> dict[str, Any]:
            inner = {"allOf": [{"$ref": f"#/$defs/d{number - 1}"}, {"minProperties": 1}]}
            return {"type": "object", "properties": {"a": inner, "b": inner}}

        defs = {f"d{number}": step(number) for number in range(1, 40)}
        bomb = {
            "type": "object",
            "properties": {"x": {"allOf": [{"$ref": "#/$defs/d39"}, {}]}},
            "$defs": {"d0": {}, **defs},
        }
        for quirks in (CLAUDE, GEMINI):
            self.assertRaises(schemas.Unsayable, answer, bomb, quirks)
        self.assertEqual(schemas.parameters(raw(bomb), GEMINI), raw(bomb))
        self.assertIsNone(schemas.strict_parameters(raw(bomb), OPENAI))
        loop = {"$defs": {"a": {"properties": {"n": {"allOf": [{"$ref": "#/$defs/a"}, {"minProperties": 1}]}}}}}
        self.assertRaises(schemas.Unsayable, answer, {"$ref": "#/$defs/a", **loop}, GEMINI)

    def test_depth(self) -> None:
        """As deep as a body may be, and far deeper."""
        for depth in (90, 5000):
            deep = b'{"items":' * depth + b"{}" + b"}" * depth
            for quirks in (CLAUDE, GEMINI, OPENAI):
                schemas.parameters(deep, quirks)

    @settings(
        max_examples=examples(200),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
    )
    @given(st.data())
    def test_twice_is_once(self, data: st.DataObject) -> None:
        """What fits, fits: whatever the schema."""
        schema = data.draw(any_schema())
        for quirks in (CLAUDE, GEMINI, OPENAI):
            for fit in (schemas.parameters, schemas.answer):
                try:
                    once = fit(raw(schema), quirks)
                except schemas.Unsayable:
                    continue
                self.assertEqual(fit(once, quirks), once)

    def test_explained(self) -> None:
        self.assertEqual(schemas.explained(b'{"type":"object"}', "d"), b'{"description":"d","type":"object"}')
        for full in (b'{"description":"mine"}', b"true"):
            self.assertIsNone(schemas.explained(full, "d"))


def keywords() -> Iterator[tuple[str, st.SearchStrategy[Any]]]:
    yield "type", st.sampled_from(["string", "object", "array", ["object", "null"], ["string"], "integer"])
    yield "enum", st.lists(st.sampled_from(["a", "", 1, None, True, {"b": 1}]), max_size=3)
    yield "const", st.sampled_from(["a", None, 1, {}])
    yield "$ref", st.sampled_from(["#/$defs/a", "#/definitions/a", "#", "https://example.com", "#/$defs/none"])
    yield "required", st.sampled_from([["a"], ["a", "z"], [], True])
    for key in ("minimum", "minItems", "exclusiveMinimum"):
        yield key, st.sampled_from([0, 1, 2, True])
    for key in ("format", "pattern", "title", "description", "$schema", "x-y"):
        yield key, st.sampled_from(["uuid", "(?=x)", "t"])
    yield "nullable", st.booleans()
    yield "additionalProperties", st.sampled_from([True, False, {"type": "string"}])


@st.composite
def any_schema(draw: st.DrawFn, depth: int = 2) -> Any:
    out = {key: draw(values) for key, values in keywords() if draw(st.integers(0, 5)) == 0}
    if depth:
        inner = any_schema(depth - 1)
        for key in ("properties", "$defs", "definitions") if depth == 2 else ("properties",):
            if draw(st.integers(0, 3)) == 0:
                out[key] = {name: draw(inner) for name in ("a", "b")}
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if draw(st.integers(0, 6)) == 0:
                out[key] = draw(st.lists(inner, max_size=2))
        if draw(st.integers(0, 4)) == 0:
            out["items"] = draw(st.one_of(inner, st.booleans(), st.lists(inner, max_size=2)))
    return out
