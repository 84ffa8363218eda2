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
_NUMBER = "-?(?:0|[1-9][0-9]*)"
_BARE = re.compile(rf"true|false|null|{_NUMBER}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|")
"""What may stand outside of strings."""
_BEGUN = re.compile(
    r"(?:t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?"
    rf"|-|{_NUMBER}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?\s*"
)
"""The beginning of such a thing, or more of it."""
_MOST = 64
"""Characters outside of strings that are held back."""
_LONG = 7
"""Digits of a number that may be an id, a card …"""


class JsonText:
    """Rewrites the strings of a JSON text, each by a rewriter of its own; a text that is no object and no list is
    rewritten as it is, and so is the rest of one from where it is no JSON any more.

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
        self._spelled: list[tuple[str, str]] | None = None
        """What the string's rewriter has not given back, and how it was written; ``None``: it has changed something."""
        self._bare = ""
        """What stands outside of strings since the last mark, and is held back: it may turn out to be no JSON."""

    def feed(self, text: str) -> str:
        """What may go on now."""
        if self._plain is not None:
            return self._plain.feed(text)
        if not self._open and self._string is None:
            begun = (self._bare + text).lstrip()
            if begun and begun[0] not in "{[" and not self._cut:
                return self._as_it_is(text)
        text, self._cut = self._cut + text, ""
        out: list[str] = []
        at = 0
        while at < len(text):
            at = self._outside(text, at, out) if self._string is None else self._inside(text, at, out)
        return "".join(out)

    def _as_it_is(self, text: str) -> str:
        """It is no JSON: ``text`` and what was held back before it."""
        bare, self._bare = self._bare, ""
        self._plain = self._make()
        return self._plain.feed(bare + text)

    def end(self) -> str:
        """The rest of it."""
        if self._plain is not None:
            return self._plain.end()
        if self._string is None:
            rest, self._bare = self._bare, ""
            return rest
        rest, self._string = self._written(self._string.end()) + self._cut, None
        self._cut = ""
        return rest

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        found = _OUTSIDE.search(text, at)
        held, self._bare = self._bare, self._bare + text[at : len(text) if found is None else found.start()]
        bare = self._bare.strip()
        if not (_may_begin(self._bare) if found is None else _may_follow(bare, found[0])):
            self._bare = held
            out.append(self._as_it_is(text[at:]))
            return len(text)
        if found is None:
            if not bare:
                out.append(self._bare)
                self._bare = ""
            return len(text)
        out.append(self._bare + found[0])
        self._bare = ""
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
            self._spelled = []
        return found.end()

    def _inside(self, text: str, at: int, out: list[str]) -> int:
        string = self._string
        assert string is not None
        found = _INSIDE.search(text, at)
        end = len(text) if found is None else found.start()
        if end > at:
            out.append(self._fed(string, text[at:end], text[at:end]))
        if found is None:
            return end
        if found[0] == '"':
            out.append(self._written(string.end()) + '"')
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
        out.append(self._fed(string, char, escape[:size]))
        return found.start() + size

    def _fed(self, string: Rewriter, text: str, written: str) -> str:
        if self._spelled is not None:
            self._spelled.append((text, written))
        return self._written(string.feed(text))

    def _written(self, given: str) -> str:
        """What a string's rewriter has given, as it stands in JSON: as it stood there before, as far as it is that."""
        if self._spelled is None:
            return escaped(given)
        out: list[str] = []
        while given and self._spelled:
            text, written = self._spelled[0]
            if given.startswith(text):
                del self._spelled[0]
            elif text.startswith(given):  # so text is no escape: it stands as it is written
                self._spelled[0] = (text[len(given) :],) * 2
                text = written = given
            else:
                break
            out.append(written)
            given = given[len(text) :]
        if given:
            self._spelled = None
        return "".join(out) + escaped(given)


def _may_begin(bare: str) -> bool:
    """Whether JSON may have ``bare``, or something that begins so, outside of strings; white space is no matter."""
    bare = bare.lstrip()
    return not bare or (len(bare) <= _MOST and _BEGUN.fullmatch(bare) is not None)


def _may_follow(bare: str, mark: str) -> bool:
    """Whether JSON may have ``mark`` behind ``bare``, what stands outside of strings."""
    return _BARE.fullmatch(bare) is not None and (not bare or mark in ",]}")


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
