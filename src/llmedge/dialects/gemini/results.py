"""A function's ``response`` ↔ the content of a tool's result (ai.google.dev/api/caching#FunctionResponse).

Gemini wants an object: ``output`` holds what the function gave, ``error`` what went wrong, and an object with neither
is the output itself. Google's SDKs say ``result`` where the function gave no object. The IR has texts, so an object
is its JSON, byte for byte, and these wrappers are taken off and put on again.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.gemini.wire import GoogleFields

_REF = re.compile(r'"(?:\$|\\u0024)(?:r|\\u0072)(?:e|\\u0065)(?:f|\\u0066)"\s*:')
"""A key ``$ref`` however it is escaped."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_result(raw: bytes, fields: GoogleFields) -> tuple[bool, tuple[ir.Text, ...]]:
    """Whether it is an error, and the texts.

    :param fields: whose ``response`` it is.
    :raises ValidationError: it is no object.
    """
    if not raw:
        return False, ()
    try:
        response = _decode_object(raw)
    except msgspec.DecodeError:
        fields.fail("response", "must be an object")
    if len(response) == 1:
        ((key, inner),) = response.items()
        value = _decode_any(inner)
        if key == "error":
            return True, _texts(value if isinstance(value, str) else bytes(inner).decode())
        if key in ("output", "result"):
            if isinstance(value, str):
                return False, _texts(value)
            if _is_texts(value):
                return False, tuple(ir.Text(text) for text in value)
    return False, (ir.Text(raw.decode()),)


def render_result(texts: list[str], error: bool) -> msgspec.Raw | dict[str, Any]:
    """The opposite. A text that is an object is that object, unless it would be taken for a wrapper, or has a ``$ref``
    in it: Gemini takes that for the name of a file's part (github.com/googleapis/python-genai/issues/2792)."""
    if len(texts) > 1:
        return {"error": "\n".join(texts)} if error else {"output": texts}
    text = texts[0] if texts else ""
    try:
        value = _decode_object(text)
    except (msgspec.DecodeError, RecursionError):
        return {"error" if error else "output": text}
    raw = msgspec.Raw(text.strip().encode())
    if _REF.search(text):
        return {"error" if error else "output": text}
    if error:
        return {"error": raw}
    return {"output": text} if set(value) & {"output", "result", "error"} else raw


def _texts(text: str) -> tuple[ir.Text, ...]:
    return (ir.Text(text),) if text else ()


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) and each for each in value)
