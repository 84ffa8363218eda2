"""The schemas of tools and answers as vendors take them: in the words a vendor has, the rest as its description.

Quirks that say which: ``flat_schemas`` (a tool's arguments are one object, without a union at the top),
``openai_schemas``, ``claude_schemas``, ``gemini_schemas`` (the words that each takes). A schema that fits keeps its
bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from llmedge.dialects.fitting.json_schema import Merging, Schema, described, is_recursive, modern, walk, within
from llmedge.dialects.fitting.schema_subset import ANTHROPIC, GEMINI, OPENAI_STRICT, TooLarge, reduced

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_ROOT = {"type": "object", "properties": {}}
_OBJECT = _encode(_ROOT)
_FLAT = {"anyOf", "oneOf", "allOf", "$ref"}
_SHUT = {"enum", "const", "not"}
"""What OpenAI and Anthropic refuse at the top of a tool's arguments (github.com/langchain-ai/langchainjs/issues/9804,
github.com/anthropics/claude-code/issues/27337)."""

_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""Anthropic's pattern of an argument's name."""


class Unsayable(ValueError):
    """There are no words for a schema at this vendor; the message says why."""


class NotAnObject(Unsayable):
    """An answer that is no object, where answers are."""


def parameters(raw: bytes, quirks: frozenset[str]) -> bytes:
    """The schema of a tool's arguments: always an object, which vendors want said.

    :raises Unsayable: it is of something else; or a name in it is one that the vendor takes for no argument.
    """
    quirks &= _QUIRKS
    return _remembered(raw, quirks) if len(raw) <= _SMALL else _fitted(raw, quirks)


_QUIRKS = frozenset({"flat_schemas", "openai_schemas", "claude_schemas", "gemini_schemas"})
_SMALL = 16_384
"""Bytes of a schema that is remembered: agents send the same tools with each turn."""


def _fitted(raw: bytes, quirks: frozenset[str]) -> bytes:
    schema = _object(raw)
    if not schema:
        return _OBJECT
    try:
        changed = _parameters(schema, quirks)
    except (RecursionError, TooLarge):
        return raw
    if "claude_schemas" in quirks:
        for name in changed.get("properties") or ():
            if not _KEY.fullmatch(name):
                raise Unsayable(f"no argument may be called {name!r} there")
    return raw if changed == schema else _encode(changed)


_remembered = lru_cache(512)(_fitted)


def _parameters(schema: Schema, quirks: frozenset[str]) -> Schema:
    changed = modern(schema)
    if "flat_schemas" in quirks:
        changed = _flat(changed)
    kind = changed.get("type")
    if kind is None or (isinstance(kind, list) and "object" in kind):
        rest = {key: value for key, value in changed.items() if key != "type"}
        changed = {"type": "object", **rest}
    if changed["type"] != "object":
        raise Unsayable("arguments are an object")
    if "gemini_schemas" in quirks:
        changed = reduced(changed, GEMINI)
    if "openai_schemas" in quirks:
        changed = _itemized(changed)
        changed.setdefault("properties", {})
    return changed


def _flat(schema: Schema) -> Schema:
    if schema.keys() & _FLAT:
        schema = Merging(schema).object(schema)
    if shut := {key: schema[key] for key in _SHUT & schema.keys()}:
        schema = described({key: value for key, value in schema.items() if key not in shut}, shut)
    return schema


def _itemized(schema: Schema) -> Schema:
    """OpenAI refuses an array of which nothing is said."""
    out = within(schema, _itemized)
    return out | {"items": {}} if out.get("type") == "array" and "items" not in out else out


def strict_parameters(raw: bytes, quirks: frozenset[str]) -> bytes | None:
    """What :func:`parameters` gave, where arguments are to keep to it; ``None`` if no model can be held to it there."""
    schema = _object(raw)
    if "openai_schemas" in quirks:
        changed = _strict(schema) if schema else None
    elif "claude_schemas" in quirks:
        changed = _closed(schema) if schema and _is_closed(schema, every=False) else None
    else:
        return raw
    return None if changed is None else raw if changed == schema else _encode(changed)


def answer(raw: bytes, quirks: frozenset[str]) -> bytes:
    """The schema of an answer.

    :raises Unsayable: the vendor has no words for it. :raises NotAnObject: for an answer of its kind.
    """
    schema = _object(raw)
    if schema is None:
        return raw  # true: anything
    try:
        changed = modern(schema)
        if "claude_schemas" in quirks:
            if is_recursive(changed):
                raise Unsayable("it is made of itself")
            changed = reduced(changed, ANTHROPIC)
        elif "gemini_schemas" in quirks:
            changed = reduced(changed, GEMINI)
        elif "openai_schemas" in quirks:
            changed = _openai_answer(changed)
    except (RecursionError, TooLarge):
        raise Unsayable("it is too large") from None
    return raw if changed == schema else _encode(changed)


def _openai_answer(schema: Schema) -> Schema:
    """OpenAI's answers are objects."""
    if schema.keys() & _FLAT:
        flat = _flat(schema)
        schema = flat if "properties" in flat else schema
    if schema.get("type", "object") != "object" or ("type" not in schema and schema and "properties" not in schema):
        raise NotAnObject("there an answer is an object")
    return _itemized({"type": "object", **schema})


def strict_answer(raw: bytes, quirks: frozenset[str]) -> bytes | None:
    """What :func:`answer` gave, where the answer is to keep to it; ``None`` if no model can be held to it there."""
    schema = _object(raw)
    if schema is None or "openai_schemas" not in quirks:
        return raw  # others hold to each schema
    changed = _strict(schema)
    return None if changed is None else raw if changed == schema else _encode(changed)


def _strict(schema: Schema) -> Schema | None:
    """A schema that OpenAI takes with ``strict``: each object is closed and requires all it has."""
    try:
        changed = reduced(schema, OPENAI_STRICT)
        return changed if _is_closed(changed, every=True) else None
    except (RecursionError, TooLarge):
        return None


def _closed(schema: Schema) -> Schema | None:
    try:
        return None if is_recursive(schema) else reduced(schema, ANTHROPIC)
    except (RecursionError, TooLarge):
        return None


def _is_closed(schema: Schema, every: bool) -> bool:
    """Whether all objects in a schema say what they hold, and nothing else may be there.

    :param every: and require all of it.
    """
    for each in walk(schema):
        kind = each.get("type")
        if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in each:
            required, properties = each.get("required") or (), each.get("properties") or ()
            if each.get("additionalProperties") is not False or (every and set(properties) != set(required)):
                return False
    return True


def explained(raw: bytes, description: str) -> bytes | None:
    """An answer's schema with its description in it, for whom there is no place beside it; ``None`` if it has one of
    its own, or no place for it."""
    schema = _object(raw)
    if schema is None or "description" in schema:
        return None
    return _encode({"description": description, **schema})


def _object(raw: bytes) -> Schema | None:
    """``None`` for ``true`` and ``false``, and for what is not JSON."""
    try:
        schema = _decode(raw or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    return schema if isinstance(schema, dict) else None
