"""Schemas in the words that a vendor's decoder of answers takes; what it has no word for is described.

Nothing is lost: the model reads descriptions. Which vendor takes what: :data:`ANTHROPIC`, :data:`GEMINI`,
:data:`OPENAI_STRICT`.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from llmedge.dialects.fitting.json_schema import MANY, NAMED, ONE, Merging, Schema, count, described

_SILENT = {"$schema", "$id", "$comment", "$anchor", "$vocabulary"}
"""Keywords that say something of the schema, and nothing to the model."""


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


@attrs.frozen
class Subset:
    """What one vendor takes.

    :ivar words: keywords that go as they are.
    :ivar formats: of texts; ``None``: any.
    :ivar values: types of an ``enum``'s values.
    :ivar closed: an object says ``additionalProperties: false``.
    :ivar least: the most that ``minItems`` may say; ``None``: any.
    :ivar typed: each schema says its type.
    """

    words: frozenset[str]
    formats: frozenset[str] | None = None
    values: tuple[type, ...] = (str, int, float, bool, type(None))
    closed: bool = False
    least: int | None = None
    typed: bool = False


_ANY = "type title description enum properties required additionalProperties items anyOf $ref $defs"
_FORMATS = _words("date-time time date duration email hostname ipv4 ipv6 uuid")

ANTHROPIC = Subset(
    _words(f"{_ANY} const definitions format pattern minItems"), _FORMATS | {"uri"}, closed=True, least=1
)
"""platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations, and what Anthropic's SDKs
make of a schema (github.com/anthropics/anthropic-sdk-python, lib/_parse/_transform.py). Bedrock has the same
(docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html)."""

GEMINI = Subset(
    _words(f"{_ANY} format prefixItems minItems maxItems minimum maximum propertyOrdering"),
    values=(str, int, float),
    typed=True,
)
"""ai.google.dev/api/generate-content#GenerationConfig, ``responseJsonSchema``."""

OPENAI_STRICT = Subset(
    _words(
        f"{_ANY} const definitions format pattern multipleOf minimum maximum exclusiveMinimum exclusiveMaximum "
        "minItems maxItems"
    ),
    _FORMATS,
)
"""developers.openai.com/api/docs/guides/structured-outputs#supported-schemas."""


SPARE = 1000
"""How many schemas more than twice its own a schema may come to, once what ``allOf`` refers to stands there."""


class TooLarge(ValueError):
    """A schema comes to more than :data:`SPARE` allows: it may grow without end."""


def reduced(schema: Schema, subset: Subset) -> Schema:
    """``schema`` in the words of ``subset``.

    :raises TooLarge: it grows beyond measure.
    """
    return _Reducing(schema, subset).schema(schema)


class _Reducing:
    def __init__(self, root: Schema, subset: Subset) -> None:
        self._subset = subset
        self._merging = Merging(root)
        self._left = SPARE + 2 * count(root)

    def schema(self, schema: Any) -> Schema:
        self._left -= 1
        if self._left < 0:
            raise TooLarge
        if not isinstance(schema, dict):
            return described({}, {"not": "{}"}) if schema is False else {}
        schema = self._in_its_words(schema)
        if "$ref" in schema:
            return self._referring(schema)
        out, rest = self._sorted(schema)
        if not _stands_alone(out):
            del out["anyOf"]
            rest["anyOf"] = schema["anyOf"]
        elif "anyOf" in out:
            out.pop("type", None)
        if self._subset.typed and "anyOf" not in out:
            out = _typed(out, rest)
        if self._subset.closed and _is_object(out):
            out = {"type": "object", **out, "properties": out.get("properties", {}), "additionalProperties": False}
        if self._subset.closed or self._subset.typed:
            out = _required_there(out, rest)
        return described(out, rest)

    def _sorted(self, schema: Schema) -> tuple[Schema, Schema]:
        """What goes as it is, and what does not."""
        out: Schema = {}
        rest: Schema = {}
        for key, value in schema.items():
            if key in _SILENT:
                continue
            if key not in self._subset.words or not self._takes(key, value):
                rest[key] = value
            elif key in NAMED:
                out[key] = {name: self.schema(each) for name, each in value.items()}
            elif key in MANY:
                out[key] = [self.schema(each) for each in value]
            else:
                out[key] = self.schema(value) if key in ONE and isinstance(value, dict) else value
        return out, rest

    def _takes(self, key: str, value: Any) -> bool:
        subset = self._subset
        if key in NAMED:
            return isinstance(value, dict)
        if key in MANY or key == "required":
            return isinstance(value, list) and (bool(value) or key == "required")
        if key == "format":
            return subset.formats is None or value in subset.formats
        if key == "minItems":
            return subset.least is None or value in range(subset.least + 1)
        if key in ("enum", "const"):
            return all(type(each) in subset.values for each in (value if key == "enum" else [value]))
        if key == "additionalProperties":
            return value is False or not subset.closed
        return key != "pattern" or (isinstance(value, str) and not _HARD.search(value))

    def _in_its_words(self, schema: Schema) -> Schema:
        """``oneOf`` is ``anyOf``, ``allOf`` is one schema; a ``const`` may be an ``enum`` of one, null one more type,
        and ``definitions`` are called ``$defs``."""
        renamed = {} if "anyOf" in schema else {"oneOf": "anyOf"}
        if "definitions" not in self._subset.words and "$defs" not in schema:
            renamed["definitions"] = "$defs"
        if renamed.keys() & schema.keys():
            schema = {renamed.get(key, key): value for key, value in schema.items()}
        if isinstance(schema.get("allOf"), list):
            schema = self._together(schema)
        if "const" in schema and "const" not in self._subset.words and "enum" not in schema:
            schema = {**schema, "enum": [schema["const"]]}
            del schema["const"]
        enum = schema.get("enum")
        if isinstance(enum, list) and None in enum and type(None) not in self._subset.values:
            values = [each for each in enum if each is not None]
            if not values:
                schema = {key: value for key, value in schema.items() if key != "enum"} | {"type": "null"}
            elif kind := schema.get("type") or _type_of({"enum": values}):
                kinds = kind if isinstance(kind, list) else [kind]
                schema = {**schema, "enum": values, "type": [*(each for each in kinds if each != "null"), "null"]}
        return schema

    def _together(self, schema: Schema) -> Schema:
        members = schema["allOf"]
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        if len(members) == 1 and isinstance(members[0], dict) and not rest.keys() & members[0].keys():
            return {**members[0], **rest}
        union = {"anyOf": rest.pop("anyOf")} if "anyOf" in rest else {}
        return {**self._merging.object({**rest, "allOf": members}), **union}

    def _referring(self, schema: Schema) -> Schema:
        """Vendors take nothing beside a reference but definitions, and follow none to elsewhere."""
        out: Schema = {}
        for key in ("$defs", "definitions"):
            if key in self._subset.words and isinstance(schema.get(key), dict):
                out[key] = {name: self.schema(each) for name, each in schema[key].items()}
        rest = {key: value for key, value in schema.items() if key not in out and key not in _SILENT}
        ref = rest.pop("$ref")
        if not isinstance(ref, str) or not ref.startswith("#"):
            return described(self.schema({**out, **rest}), {"$ref": ref})
        if "definitions" not in self._subset.words:
            ref = ref.replace("#/definitions/", "#/$defs/", 1)
        if not rest:
            return {**out, "$ref": ref}
        told: Schema = {key: rest.pop(key) for key in ("title", "description") if key in rest}
        return described({**out, "anyOf": [{"$ref": ref}], **told}, rest)


def _stands_alone(schema: Schema) -> bool:
    """Whether a union, if there is one, says all: each member is a schema of its own, and nothing is beside them."""
    if "anyOf" not in schema:
        return True
    return not schema.keys() & {"properties", "enum", "const", "items"} and all(
        each.keys() & {"type", "$ref", "anyOf", "enum", "const"} for each in schema["anyOf"]
    )


def _typed(out: Schema, rest: Schema) -> Schema:
    """Gemini wants each type said, and refuses an empty text as a value."""
    if "" in out.get("enum", ()):
        rest["enum"] = out.pop("enum")
        if values := [each for each in rest["enum"] if each != ""]:
            out["enum"] = values
    if "type" not in out and (kind := _type_of(out)):
        out = {"type": kind, **out}
    return out


def _required_there(out: Schema, rest: Schema) -> Schema:
    """Only properties that are described can be required."""
    known = out.get("properties", {})
    if unknown := [name for name in out.get("required", ()) if name not in known]:
        out = {**out, "required": [name for name in out["required"] if name in known]}
        rest["required"] = unknown
    return out


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)
    )


_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _type_of(schema: Schema) -> str:
    """The type that other keywords tell; ``""`` for none."""
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    kinds = {_TYPES.get(type(value), "") for value in schema.get("enum", ())}
    return kinds.pop() if len(kinds) == 1 else ""


_HARD = re.compile(r"\(\?[=!<]|\\[bB1-9]")
"""In a pattern: looking around, back and at the edges of words, which no grammar can."""
