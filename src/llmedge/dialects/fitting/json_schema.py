"""JSON Schema as such: what its keywords hold, older drafts in today's words, unions as one object, loops.

Source: json-schema.org/draft/2020-12 (core, validation) and its release notes for what older drafts said. Each
schema is gone through once; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

ONE = frozenset({"items", "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else"}) | {
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
}
MANY = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
"""Keywords that hold a schema, a list of schemas, schemas by name."""

_MAY_BE_NULL = {"const", "default", "example"}
_encode = msgspec.json.Encoder().encode


def within(schema: Schema, change: Callable[[Schema], Any]) -> Schema:
    """``schema``, with each schema in it changed. ``true`` and ``false`` stay."""
    out: Schema = {}
    for key, value in schema.items():
        if key in ONE and isinstance(value, dict):
            value = change(value)
        elif (key in MANY or key == "items") and isinstance(value, list):
            value = [change(each) if isinstance(each, dict) else each for each in value]
        elif key in NAMED and isinstance(value, dict):
            value = {name: change(each) if isinstance(each, dict) else each for name, each in value.items()}
        out[key] = value
    return out


def modern(schema: Schema) -> Schema:
    """A schema of an older draft, or of OpenAPI 3.0, in the words of 2020-12, which vendors check it against:
    ``nullable``, bounds that are exclusive by a flag, tuples as ``items``, ``required`` as a flag, keywords that are
    null, and an ``enum`` of nothing. What cannot be meant so is described."""
    out = within(_flags_of_properties(schema), modern)
    for key in [key for key, value in out.items() if value is None and key not in _MAY_BE_NULL]:
        del out[key]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(out.get(flag), bool) and out.pop(flag) and bound in out:
            out[flag] = out.pop(bound)
    if isinstance(out.get("items"), list):
        out["prefixItems"] = out.pop("items")
        if "additionalItems" in out:
            out["items"] = out.pop("additionalItems")
    if out.get("enum") == []:
        del out["enum"]
    if isinstance(out.get("nullable"), bool) and out.pop("nullable"):
        out = allow_null(out)
    wrong = {key: value for key, value in out.items() if key in _SHAPES and not _SHAPES[key](value)}
    return described({key: value for key, value in out.items() if key not in wrong}, wrong)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(ONE, lambda value: isinstance(value, dict | bool)),
    **dict.fromkeys(MANY | {"enum"}, lambda value: isinstance(value, list)),
    **dict.fromkeys(NAMED, lambda value: isinstance(value, dict)),
    **dict.fromkeys(("$ref", "format", "pattern", "title", "description"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _number),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"), _number),
    "required": _texts,
    "type": lambda value: isinstance(value, str) or _texts(value),
}
"""What a keyword's value has to be: any other is no schema's, and refused by whoever checks."""


def _flags_of_properties(schema: Schema) -> Schema:
    """With the names of properties that say ``required: true`` themselves."""
    properties: Any = schema.get("properties")
    flags = {name for name, each in properties.items() if _flagged(each)} if isinstance(properties, dict) else set()
    if not flags:
        return schema
    told = schema.get("required")
    named = told if isinstance(told, list) else []
    needed = [name for name, each in properties.items() if name in flags and each["required"] and name not in named]
    plain = {
        name: {key: value for key, value in each.items() if key != "required"} if name in flags else each
        for name, each in properties.items()
    }
    return {**schema, "properties": plain} | ({"required": [*named, *needed]} if named or needed else {})


def _flagged(schema: Any) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("required"), bool)


def allow_null(schema: Schema) -> Schema:
    """JSON Schema has no ``nullable``: null is one more type, and one more value of an enum."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        kinds = [kinds]
    if isinstance(kinds, list) and "null" not in kinds:
        out = {**schema, "type": [*kinds, "null"]}
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
        return out
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **rest}
    return schema


def resolved(root: Schema, ref: Any) -> Schema | None:
    """The schema that a reference within ``root`` means; ``None`` if it is elsewhere, or nowhere."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    found: Any = root
    for name in ref[1:].split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def described(schema: Schema, rest: Mapping[str, Any]) -> Schema:
    """``schema``, with ``rest`` as words at the end of its description, as Anthropic's SDKs put it."""
    if not rest:
        return schema
    words = "{" + ", ".join(f"{key}: {_word(value)}" for key, value in rest.items()) + "}"
    before = schema.get("description")
    return {**schema, "description": f"{before}\n\n{words}" if isinstance(before, str) and before else words}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def walk(schema: Schema) -> Iterator[Schema]:
    """A schema and all in it."""
    stack = [schema]
    while stack:
        each = stack.pop()
        yield each
        within(each, stack.append)


def count(schema: Schema) -> int:
    return sum(1 for _ in walk(schema))


def _references(schema: Schema) -> Iterator[str]:
    """All references in a schema, those of its definitions left out."""
    for each in walk({key: value for key, value in schema.items() if key not in ("$defs", "definitions")}):
        if isinstance(each.get("$ref"), str):
            yield each["$ref"]


def is_recursive(root: Schema) -> bool:
    """Whether a definition is made of itself, over however many others."""
    named = {
        f"#/{where}/{name}": each
        for where in ("$defs", "definitions")
        if isinstance(root.get(where), dict)
        for name, each in root[where].items()
        if isinstance(each, dict)
    }
    graph = {"#": {_node(ref, named) for ref in _references(root)}}
    graph |= {name: {_node(ref, named) for ref in _references(each)} for name, each in named.items()}
    done: set[str] = set()
    for start in graph:
        path: list[tuple[str, Iterator[str]]] = [] if start in done else [(start, iter(graph[start]))]
        on_path = {start}
        while path:
            node, rest = path[-1]
            target = next(rest, None)
            if target is None:
                path.pop()
                on_path.discard(node)
                done.add(node)
            elif target in on_path:
                return True
            elif target not in done and target in graph:
                path.append((target, iter(graph[target])))
                on_path.add(target)
    return False


def _node(ref: str, named: Mapping[str, Schema]) -> str:
    """The definition a reference leads into; ``#`` for the root itself, the reference for what is elsewhere."""
    if not ref.startswith("#"):
        return ref
    if ref in named:
        return ref
    owner = "/".join(ref.split("/")[:3])
    return owner if owner in named else "#" if ref in ("#", "#/") else ref


class Merging:
    """Several objects as one, where a vendor takes no union.

    :param root: what references lead into. Each is followed once.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[str, Schema | None] = {}

    def object(self, schema: Schema) -> Schema:
        """All properties that one of ``anyOf``, ``oneOf`` and ``allOf`` has, or what is referred to; required is what
        each of them requires. What else a union says is described."""
        left = {key: schema[key] for key in _UNIONS if key in schema and _says_more(key, schema[key])}
        if "$ref" in schema and self._target(schema["$ref"]) is None:
            left["$ref"] = schema["$ref"]
        return described(self._merged(schema), left)

    def _merged(self, schema: Schema) -> Schema:
        out = {key: value for key, value in schema.items() if key not in _UNIONS and key != "$ref"}
        if "$ref" in schema and (target := self._target(schema["$ref"])) is not None:
            out = _joined(out, [target], together=True)
        for key in _UNIONS:
            if isinstance(schema.get(key), list):
                objects = [self._merged(each) if isinstance(each, dict) else {} for each in schema[key]]
                out = _joined(out, objects, together=key == "allOf" or len(objects) == 1)
        return out

    def _target(self, ref: Any) -> Schema | None:
        if not isinstance(ref, str):
            return None
        if ref not in self._known:
            self._known[ref] = None  # which a loop ends at
            found = resolved(self._root, ref)
            if found is not None:
                self._known[ref] = self._merged(found)
        return self._known[ref]


_UNIONS = ("allOf", "anyOf", "oneOf")
_JOINED = {"type", "properties", "required", "additionalProperties", "title", "description", "$ref"}


def _says_more(key: str, members: Any) -> bool:
    """Whether a union says more than its joined properties do."""
    if not isinstance(members, list):
        return True
    return len(members) > 1 and (
        key != "allOf" or any(not isinstance(each, dict) or each.keys() - _JOINED for each in members)
    )


def _joined(out: Schema, objects: list[Schema], together: bool) -> Schema:
    """``out`` with the properties of ``objects``. :param together: all of them hold, not one of them."""
    properties: dict[str, Any] = {}
    for each in (out, *objects):
        known = each.get("properties")
        for name, value in known.items() if isinstance(known, dict) else ():
            if name not in properties:
                properties[name] = value
            elif not together and each is not out:
                properties[name] = _either(properties[name], value)
    needs = [[name for name in each.get("required") or () if isinstance(name, str)] for each in (out, *objects)]
    common = [name for need in needs[1:] for name in need if together or all(name in other for other in needs[1:])]
    joined = dict(out)
    for each in objects if together else ():
        for key, value in each.items():
            joined.setdefault(key, value)
    if not together and all(each.get("additionalProperties") is False for each in objects):
        joined.setdefault("additionalProperties", False)
    if properties:
        joined["properties"] = properties
    if required := list(dict.fromkeys([*needs[0], *common])):
        joined["required"] = required
    return joined


def _either(known: Any, value: Any) -> Any:
    if known == value:
        return known
    variants = known["anyOf"] if isinstance(known, dict) and set(known) == {"anyOf"} else [known]
    return {"anyOf": variants if value in variants else [*variants, value]}
