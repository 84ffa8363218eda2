"""JSON of others, of which what can be read is read. Nothing here raises."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.surrogates import mend

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError)
"""What a decoder raises on what is not JSON, or not of its shape."""

_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode(data: bytes | msgspec.Raw) -> Any:
    """What ``data`` says; ``None`` if it is not JSON."""
    try:
        return _decode(data)
    except UNREADABLE:
        pass
    try:
        return _decode(mend(bytes(data)))
    except UNREADABLE:
        return None


def is_json(text: str) -> bool:
    """Whether a text is JSON: arguments of a tool call are complete then."""
    try:
        _decode(mend(text.encode()))
    except UNREADABLE:
        return False
    return True


def raw_object(text: str) -> msgspec.Raw | None:
    """An object's JSON, byte for byte but for halves of characters; ``None`` if ``text`` is not one."""
    try:
        mended = mend(text.encode())
        _decode_object(mended)
    except UNREADABLE:
        return None
    return msgspec.Raw(mended)


def broken_input(arguments: str) -> dict[str, str]:
    """An object for arguments that are not a JSON object: no tool's, so that nothing is done by mistake, and nothing
    of what the model wrote is hidden."""
    return {"invalid_arguments": arguments}


def text(table: Any, name: str) -> str:
    """A field of a decoded object; empty if it is no text, or ``table`` no object."""
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def flat(value: Any) -> str:
    """The text in ``value``: itself, a number's, that of an object of kind ``text``, all of a list's."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(flat, value))
    if isinstance(value, dict):
        return next((found for name in _TEXTS if (found := flat(value.get(name)))), "")
    return "" if value is None else msgspec.json.encode(value).decode()


_TEXTS = ("text", "content", "thinking", "summary")


def whole(value: Any) -> int | None:
    """A whole number that may be a text or a fraction, else ``None``."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:18])
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18:
        return int(value)
    return None


def arguments(raw: bytes | msgspec.Raw) -> str:
    """The JSON text of a call's arguments, which may come as a text or as the JSON itself; empty for none. PHP's
    empty objects are empty lists."""
    raw = bytes(raw)
    if raw[:1] == b'"':
        try:
            return _decode_text(raw)
        except UNREADABLE:
            pass
    return "" if raw in (b"", b"null", b"[]") else raw.decode(errors="replace")


def count(table: Any, name: str) -> int:
    """A token count that can be believed, else 0."""
    value = table.get(name) if isinstance(table, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000:
        return int(value)
    return 0
