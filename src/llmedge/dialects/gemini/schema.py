"""Gemini's ``Schema``, a subset of OpenAPI 3.0's (ai.google.dev/api/caching#Schema), as JSON Schema.

The way back is not needed: Gemini takes JSON Schema in ``parametersJsonSchema`` and ``responseJsonSchema``, of which
:mod:`~llmedge.dialects.fitting.schemas` knows the words.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.fitting.json_schema import allow_null
from llmedge.dialects.gemini.wire import camel

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
_COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
"""64-bit integers, which proto3's JSON may write as strings."""


def to_json_schema(raw: bytes) -> bytes:
    """A schema as JSON Schema. One that is JSON Schema already (many clients send such) keeps its bytes."""
    schema = _decode(raw)
    changed = _convert(schema)
    return raw if changed == schema else _encode(changed)


def _convert(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    nullable = False
    for spelled, value in schema.items():
        name = "$" + spelled if spelled in ("ref", "defs") else camel(spelled)
        if name == "type" and isinstance(value, str):
            if value == "TYPE_UNSPECIFIED":
                continue
            value = value.lower() if value in _TYPES else value
        elif name == "nullable":
            nullable = value is True
            continue
        elif name in ("properties", "$defs") and isinstance(value, dict):
            value = {each: _convert(inner) for each, inner in value.items()}
        elif name in ("items", "additionalProperties"):
            value = _convert(value)
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            value = [_convert(each) for each in value]
        elif name in _COUNTS and isinstance(value, str) and value.isdecimal():
            value = int(value)
        elif name == "format" and value == "enum":
            continue  # Google's way to mark an enum; no format of JSON Schema's
        elif name == "example":
            name, value = "examples", [value]
        out[name] = value
    return allow_null(out) if nullable else out
