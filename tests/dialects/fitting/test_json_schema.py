from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.fitting.json_schema import Merging, allow_null, count, described, is_recursive, modern, resolved


class OlderDrafts(SynchronousTestCase):
    def test_words_of_other_drafts(self) -> None:
        """Draft 4, draft 7, OpenAPI 3.0 and habits say what 2020-12 says."""
        text = {"type": "string"}
        cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
            ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
            ({"exclusiveMaximum": True}, {}),
            ({"items": [text, text], "additionalItems": False}, {"prefixItems": [text, text], "items": False}),
            ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
            ({"type": "string", "nullable": False}, text),
            ({"enum": []}, {}),
            ({"properties": None, "required": None, "const": None}, {"const": None}),
            (
                {"properties": {"a": {"required": True}, "b": {"required": False}}},
                {"properties": {"a": {}, "b": {}}, "required": ["a"]},
            ),
            (
                {"properties": {"a": {"required": True}}, "required": ["b"]},
                {"properties": {"a": {}}, "required": ["b", "a"]},
            ),
        ]
        for old, new in cases:
            self.assertEqual(modern(old), new)
            for nested in ("items", "not"):
                self.assertEqual(modern({nested: old}), {nested: new})
            self.assertEqual(modern({"anyOf": [old]}), {"anyOf": [new]})
            self.assertEqual(modern(modern(old)), new)

    def test_names_are_no_keywords(self) -> None:
        """A property may be called as a keyword."""
        named = {"properties": {"enum": {"type": "string"}, "nullable": {"type": "boolean"}, "items": {}}}
        self.assertEqual(modern(named), named)
        values = {"const": {"exclusiveMinimum": True}, "default": [], "enum": [{"nullable": True}]}
        self.assertEqual(modern(values), values)

    def test_null(self) -> None:
        """One more type, one more value, one more choice."""
        for schema, more in (
            ({"type": "string"}, {"type": ["string", "null"]}),
            ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
            ({"type": "string", "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
            ({"anyOf": [{}]}, {"anyOf": [{}, {"type": "null"}]}),
            ({"$ref": "#/a", "title": "t"}, {"anyOf": [{"$ref": "#/a"}, {"type": "null"}], "title": "t"}),
            ({}, {}),
        ):
            self.assertEqual(allow_null(schema), more)


class References(SynchronousTestCase):
    def test_where_they_lead(self) -> None:
        root = {"$defs": {"a/b~c": {"type": "string"}, "list": [1]}}
        self.assertEqual(resolved(root, "#/$defs/a~1b~0c"), {"type": "string"})
        self.assertIs(resolved(root, "#"), root)
        for nowhere in ("#/$defs/x", "#/$defs/list/0", "https://example.com/a", 5, None):
            self.assertIsNone(resolved(root, nowhere))

    def test_loops(self) -> None:
        """Over one definition, several, the root; two ways to one definition are none."""

        def ref(name: str) -> dict[str, Any]:
            return {"$ref": f"#/$defs/{name}"}

        leaf = {"type": "string"}
        for root, loops in (
            ({"properties": {"a": {"$ref": "#"}}}, True),
            ({**ref("a"), "$defs": {"a": {"items": ref("a")}}}, True),
            ({**ref("a"), "$defs": {"a": {"items": ref("b")}, "b": {"anyOf": [ref("a")]}}}, True),
            ({"definitions": {"a": {"items": {"$ref": "#/definitions/a/items"}}}}, True),
            ({"properties": {"x": ref("a"), "y": ref("a")}, "$defs": {"a": {"items": ref("b")}, "b": leaf}}, False),
            ({"$defs": {"a": {"items": [ref("b"), ref("b")]}, "b": leaf}}, False),
            ({"$ref": "https://example.com/a"}, False),
            ({"properties": {"$ref": leaf}}, False),
        ):
            self.assertIs(is_recursive(root), loops, root)

    def test_deep_and_wide(self) -> None:
        """A chain of definitions is no loop, however long."""
        chain = {f"d{n}": {"items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(5000)}
        self.assertFalse(is_recursive({"$defs": {**chain, "d5000": {}}}))
        self.assertTrue(is_recursive({"$defs": {**chain, "d5000": {"$ref": "#/$defs/d0"}}}))
        self.assertEqual(count({"$defs": chain}), 10_001)


class Unions(SynchronousTestCase):
    def merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        return Merging(schema).object(schema)

    def test_one_of_several(self) -> None:
        """What one has may be there; what all require is required; the union is described."""
        union = [
            {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]},
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        ]
        for key in ("anyOf", "oneOf"):
            out = self.merged({"type": "object", "description": "d", key: union})
            self.assertEqual(out["properties"], {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "b": {}})
            self.assertEqual(out["required"], ["a"])
            self.assertTrue(out["description"].startswith(f'd\n\n{{{key}: [{{"properties"'), out)
            self.assertNotIn(key, out)

    def test_all_of_several(self) -> None:
        """All of it holds, so nothing has to be described; but for what does not fit into one."""
        members = [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]
        out = self.merged({"allOf": members, "properties": {"c": {}}, "required": ["c"]})
        self.assertEqual(out, {"properties": {"c": {}, "a": {}, "b": {}}, "required": ["c", "a", "b"]})
        out = self.merged({"allOf": [{"minProperties": 1}, {"minProperties": 2}]})
        self.assertEqual(out["description"], '{allOf: [{"minProperties":1},{"minProperties":2}]}')

    def test_alone(self) -> None:
        """A union of one is that one."""
        for key in ("anyOf", "oneOf", "allOf"):
            self.assertEqual(self.merged({key: [{"properties": {"a": {}}}]}), {"properties": {"a": {}}})

    def test_what_is_referred_to(self) -> None:
        """It stands there; what is elsewhere is described, and a loop ends."""
        out = self.merged({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {}}, "required": ["x"]}}})
        self.assertEqual((out["properties"], out["required"]), ({"x": {}}, ["x"]))
        out = self.merged({"$ref": "https://example.com/a"})
        self.assertEqual(out, {"description": "{$ref: https://example.com/a}"})
        out = self.merged({"anyOf": [{"$ref": "#"}, {"properties": {"x": {}}}]})
        self.assertEqual(out["properties"], {"x": {}})

    def test_closed(self) -> None:
        """A union of closed objects is closed."""
        shut = {"properties": {"a": {}}, "additionalProperties": False}
        self.assertIs(self.merged({"anyOf": [shut, shut]})["additionalProperties"], False)
        self.assertNotIn("additionalProperties", self.merged({"anyOf": [shut, {}]}))

    def test_each_reference_is_followed_once(self) -> None:
        """However many ways lead to it: two to the power of 60 would be too many."""
        twice = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
        out = self.merged({"$ref": "#/$defs/d0", "$defs": {**twice, "d60": {"properties": {"x": {}}}}})
        self.assertEqual(out["properties"], {"x": {}})

    def test_words(self) -> None:
        """As Anthropic's SDKs write them."""
        self.assertEqual(
            described({"description": "d"}, {"minimum": 1, "format": "x", "not": {"const": None}}),
            {"description": 'd\n\n{minimum: 1, format: x, not: {"const":null}}'},
        )
        self.assertEqual(described({"description": 5}, {}), {"description": 5})
