"""The strings in a JSON text that comes in pieces, such as a tool's arguments, rewritten: it stays JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from llmedge.guards.interfaces import Rewriter

_OUTSIDE = re.compile(r'["{}\[\],:]')
_INSIDE = re.compile(r'["\\]')
_HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r'[\x00-\x1f"\\]')
_LONG = 7
"""Digits of a number that may be an id, a card …"""


class JsonText:
    """Rewrites the strings of a JSON text, each by a rewriter of its own; a text that is no object and no list is
    rewritten as it is.

    :param make: makes the rewriter of one string.
    :param keys: names of fields are strings as well.
    :param seen: is told those names where they stay, and long numbers.
    """

    def __init__(
        self, make: Callable[[], Rewriter], keys: bool = False, seen: Callable[[str], None] | None = None
    ) -> None:
        self._make = make
        self._keys = keys
        self._seen = seen
        self._plain: Rewriter | None = None
        self._open: list[str] = []
        self._name = False
        """The next string is the name of a field."""
        self._string: Rewriter | None = None
        self._cut = ""
        """The beginning of an escape."""
        self._bare = ""
        """What stands outside of strings since the last mark."""

    def feed(self, text: str) -> str:
        """What may go on now."""
        if self._plain is not None:
            return self._plain.feed(text)
        if not self._open and self._string is None:
            begun = (self._bare + text).lstrip()
            if begun and begun[0] not in "{[" and not self._cut:
                self._plain = self._make()
                return self._plain.feed(text)
        text, self._cut = self._cut + text, ""
        out: list[str] = []
        at = 0
        while at < len(text):
            at = self._outside(text, at, out) if self._string is None else self._inside(text, at, out)
        return "".join(out)

    def end(self) -> str:
        """The rest of it."""
        if self._plain is not None:
            return self._plain.end()
        if self._string is None:
            return ""
        rest, self._string = escaped(self._string.end()) + self._cut, None
        self._cut = ""
        return rest

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        found = _OUTSIDE.search(text, at)
        end = len(text) if found is None else found.end()
        out.append(text[at:end])
        self._bare += text[at : end if found is None else end - 1]
        if found is None:
            return end
        bare, self._bare = self._bare.strip(), ""
        if self._seen is not None and len(bare) >= _LONG and bare.lstrip("-").isdigit():
            self._seen(bare)
        mark = found[0]
        if mark in "{[":
            self._open.append(mark)
            self._name = mark == "{"
        elif mark in "}]":
            if self._open:
                self._open.pop()
            self._name = False
        elif mark == ",":
            self._name = bool(self._open) and self._open[-1] == "{"
        elif mark == ":":
            self._name = False
        else:
            self._string = _Noted(self._seen) if self._name and not self._keys else self._make()
        return end

    def _inside(self, text: str, at: int, out: list[str]) -> int:
        string = self._string
        assert string is not None
        found = _INSIDE.search(text, at)
        if found is None:
            out.append(escaped(string.feed(text[at:])))
            return len(text)
        if found.start() > at:
            out.append(escaped(string.feed(text[at : found.start()])))
        if found[0] == '"':
            out.append(escaped(string.end()) + '"')
            self._string = None
            return found.end()
        size = 2
        if text[found.end() : found.end() + 1] == "u":
            size = 6
            if _HIGH.match(text, found.start()) and text[found.start() + 6 : found.start() + 8] in ("", "\\", "\\u"):
                size = 12
        escape = text[found.start() : found.start() + size]
        if len(escape) < size:
            self._cut = escape
            return len(text)
        try:
            char = str(json.loads(f'"{escape}"'))
        except ValueError:  # none, or a half with what is not its other behind it
            size = min(size, 6)
            char = _half(escape[:size])
        out.append(escaped(string.feed(char)))
        return found.start() + size


def _half(escape: str) -> str:
    try:
        return str(json.loads(f'"{escape}"'))
    except ValueError:
        return escape[1:]


class _Noted:
    """A string that stays as it is, and is told."""

    def __init__(self, seen: Callable[[str], None] | None) -> None:
        self._seen = seen
        self._text = ""

    def feed(self, text: str) -> str:
        self._text += text
        return text

    def end(self) -> str:
        if self._seen is not None:
            self._seen(self._text)
        return ""


_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def escaped(text: str) -> str:
    """``text`` as it stands within a JSON string."""
    if _ESCAPE.search(text) is not None:
        text = _ESCAPE.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text)
    return _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if not text.isascii() else text
