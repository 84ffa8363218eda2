"""Placeholders that stand for what a vendor is not to see, and are what they stand for again in its answer."""

from __future__ import annotations

import re

from llmedge.guards.interfaces import Rewriter
from llmedge.guards.places import answered

_PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]{0,31})_([1-9][0-9]{0,5})>")
_BEGUN = re.compile(r"<(?:[A-Z][A-Z0-9_]{0,38})?\Z")


class Placeholders:
    """Those of one call: ``<EMAIL_1>``, numbered by kind in the order in which they are first seen."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._count: dict[str, int] = {}

    def __bool__(self) -> bool:
        """There are some."""
        return bool(self._values)

    def put(self, kind: str, value: str) -> str:
        """The placeholder for ``value``: the same one each time."""
        name = self._names.get((kind, value))
        if name is None:
            number = self._count[kind] = self._count.get(kind, 0) + 1
            name = self._names[kind, value] = f"<{kind}_{number}>"
            self._values[name] = value
        return name

    def escaped(self, text: str) -> str:
        """A text of the client's, in which what looks like a placeholder is a value that one stands for."""
        return _PLACEHOLDER.sub(lambda found: self.put(found[1], found[0]), text) if "<" in text else text

    def restored(self, text: str) -> str:
        """``text`` with the values for the placeholders."""
        if "<" not in text:
            return text
        return _PLACEHOLDER.sub(lambda found: self._values.get(found[0], found[0]), text)

    def restored_json(self, body: bytes) -> bytes:
        """The same of a whole answer, or an item of one, in any dialect; what is no JSON stays as it is."""
        if b"<" not in body and b"\\u003" not in body:
            return body
        try:
            unit = answered(body, echoes=True)
        except ValueError:
            return body
        for slot in unit.slots:
            if (text := self.restored(slot.text)) is not slot.text and text != slot.text:
                slot.put(text)
        unit.rename(self.restored)
        return unit.json()

    def restorer(self) -> Rewriter:
        """Restores one text that comes in pieces."""
        return _Restorer(self)


class _Restorer:
    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, text: str) -> str:
        text = self._held + text
        begun = _BEGUN.search(text)
        cut = len(text) if begun is None else begun.start()
        self._held = text[cut:]
        return self._placeholders.restored(text[:cut])

    def end(self) -> str:
        held, self._held = self._held, ""
        return held
