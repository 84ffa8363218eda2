"""JSON schemas as vendors take them: what a schema says goes out in the words the vendor has."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_OBJECT = b'{"type":"object","properties":{}}'


def parameters(schema: bytes) -> bytes:
    """A tool's arguments: always an object, which vendors want said."""
    try:
        fields = _decode_object(schema or b"{}")
    except msgspec.DecodeError:
        return _OBJECT  # true: anything
    if not fields:
        return _OBJECT
    return schema if "type" in fields else _encode({"type": "object", **fields})


def described(output: ir.Output) -> bytes | None:
    """An answer's schema with its description in it, for whom there is no place beside it; ``None`` if it has one of
    its own, or no place for it."""
    try:
        fields = _decode_object(output.schema)
    except msgspec.DecodeError:  # true or false
        return None
    if "description" in fields:
        return None
    return _encode({"description": output.description, **fields})
