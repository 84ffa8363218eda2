r"""Halves of surrogate pairs in JSON (RFC 8259, section 8.2).

A vendor that cuts texts by UTF-16 unit, as JavaScript does, writes ``"smile \ud83d"`` into one event and ``"\ude00"``
into the next. Both are JSON by its grammar, and JavaScript joins them right; msgspec, rightly, has no string for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from llmedge.dialects import ir
from llmedge.errors import UpstreamMalformed

T = TypeVar("T")

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""All escapes, so that the ``u`` behind an escaped backslash is none; ``half`` is one that has no other."""

_MENDED = re.compile(rb"\\ufffd")
_MARKS = 0x10F800
"""While a decoder reads them, halves stand as the last 2048 characters of Unicode, all for private use."""
_MARK = re.compile("[\U0010f800-\U0010ffff]")
_AT_END = re.compile("[\U0010f800-\U0010fbff]\\Z")
_PAIR = re.compile("[\U0010f800-\U0010fbff][\U0010fc00-\U0010ffff]|[\U0010f800-\U0010ffff]")


def mend(data: bytes) -> bytes:
    """JSON with U+FFFD for each half that stands alone, as long as before; ``data`` itself where there is none."""
    return _replaced(data, lambda half: b"\\ufffd")


def restore(text: bytes, mended: bytes, came: bytes) -> bytes:
    """``text``, which was made of ``mended``, as if it had been made of ``came``."""
    halves = iter([came[found.start() : found.end()] for found in _MENDED.finditer(mended)])
    return _MENDED.sub(lambda found: next(halves, found[0]), text)


def mark(data: bytes) -> bytes:
    """The same with marks, of which :class:`Halves` makes characters again."""
    return _replaced(data, lambda half: chr(_MARKS + int(half, 16) - 0xD800).encode())


def _replaced(data: bytes, by: Callable[[bytes], bytes]) -> bytes:
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    halves = 0

    def replace(found: re.Match[bytes]) -> bytes:
        nonlocal halves
        if (half := found["half"]) is None:
            return found[0]
        halves += 1
        return by(half)

    mended = _ESCAPES.sub(replace, data)
    return mended if halves else data


def mending(read: Callable[[bytes], T], body: bytes) -> T:
    """What ``read`` makes of a whole answer, in which halves are no reason to refuse it.

    :raises EdgeError: what ``read`` raises.
    """
    try:
        return read(body)
    except UpstreamMalformed:
        if (mended := mend(body)) is body:
            raise
        return read(mended)


class Halves:
    """Joins the marks in one stream's events: the first half at the end of a block's text is held until the block goes
    on. One that is left alone is U+FFFD."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], str] = {}  # by choice and block

    @property
    def held(self) -> bool:
        """A first half waits for its other."""
        return bool(self._held)

    def join(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        """The events as they go on."""
        out: list[ir.StreamEvent] = []
        for event in events:
            if isinstance(event, ir.Delta):
                self._delta(event, out)
                continue
            if isinstance(event, ir.Close) and self._held.pop((event.choice, event.block), ""):
                out.append(ir.Delta(event.block, "\ufffd", event.choice))
            out.append(_plain(event))
        return out

    def _delta(self, event: ir.Delta, out: list[ir.StreamEvent]) -> None:
        key = (event.choice, event.block)
        text = self._held.pop(key, "") + event.text
        if _AT_END.search(text):
            self._held[key], text = text[-1], text[:-1]
        if text or event.logprobs:
            out.append(msgspec.structs.replace(event, text=_joined(text), logprobs=_plain(event.logprobs)))


def _joined(text: str) -> str:
    return _PAIR.sub(lambda found: _character(*found[0]), text)


def _character(high: str, low: str = "") -> str:
    return chr(0x10000 + ((ord(high) & 0x3FF) << 10) + (ord(low) & 0x3FF)) if low else "\ufffd"


def _plain(value: Any) -> Any:
    """A value of the IR without marks."""
    if isinstance(value, str):
        return _MARK.sub("\ufffd", value)
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    if isinstance(value, ir.Struct):
        return type(value)(*(_plain(getattr(value, name)) for name in value.__struct_fields__))
    return value
