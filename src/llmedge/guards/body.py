"""A request's body in pieces, each of which is looked at by itself: a message, an item, a field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import msgspec

from llmedge.dialects.surrogates import mend
from llmedge.guards.fields import FIELDS, FREE, LASTING, NO_TEXT, OTHERS
from llmedge.guards.places import Unit
from llmedge.model import RawObject
from llmedge.threads import FEW, is_heavy

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_HOLDS = frozenset(b'"[{')
_OBJECT, _LIST = b"{["
_NUMBERS = re.compile(rb"\[\s*-?[0-9]")


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The message that is most often sent."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str


_plain = msgspec.json.Decoder(Plain).decode
_PLAIN = 8
"""Quotation marks around its names and its values."""
PLAIN = "messages"
"""The field that has such."""


def read_plain(raw: Any) -> Plain | None:
    """An item that is a message of a role and a text, and nothing else, nor one of them twice."""
    try:
        plain = _plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if _is_twice(bytes(raw), plain.content) else plain


def _is_twice(raw: bytes, content: str) -> bool:
    """Whether a name of a plain message may stand twice in it: it has more quotation marks than it needs."""
    if '"' in content:
        return raw.count(b'"') != _PLAIN + content.count('"') or rb"\u0022" in raw
    last = raw.rfind(b'"', 0, raw.rfind(b'"'))  # where the last value begins: to count them in a text takes a while
    return raw.count(b'"', 0, last) != _PLAIN - 2


Units = dict[tuple[str, int], Unit]


class Field:
    """One field of a body.

    :ivar units: those of its body that have been read, by field and number.
    :ivar raw: what stands in it; ``listed``: as a list, whose items are looked at by themselves.
    """

    __slots__ = ("_items", "listed", "name", "raw", "units")

    def __init__(self, units: Units, name: str, raw: Any, listed: bool = False) -> None:
        self.units, self.name, self.raw, self.listed = units, name, raw, listed
        self._items: list[Any] | None = None if listed else [raw]

    @property
    def items(self) -> list[Any]:
        """What is looked at by itself."""
        if self._items is None:
            try:
                self._items = _decode_items(self.raw)
            except msgspec.DecodeError:
                self.raw = mend(bytes(self.raw))
                self._items = _decode_items(self.raw)
        return self._items

    def items_from(self, start: int) -> list[Any]:
        """Those behind ``start`` bytes of it: a comma follows, or the end."""
        rest = memoryview(self.raw)[start:]
        return _decode_items(mend(b"[" + rest[1:])) if len(rest) > 1 else []


class Body:
    """A request's body.

    :param fields: top-level ones, raw. ``twice``: one of them stands there twice, of which this is the last.
    :ivar fields: those that may hold texts, in the order in which they stand.
    """

    def __init__(self, fields: RawObject, twice: bool = False) -> None:
        self._given, self._twice = fields, twice
        self.fields: list[Field] = []
        self._within: dict[str, Body] = {}
        self._units: Units = {}
        for name, raw in fields.items():
            if name not in NO_TEXT and (view := memoryview(raw)) and (first := view[0]) in _HOLDS:
                self._field(name, raw, first)

    def _field(self, name: str, raw: Any, first: int) -> None:
        if first == _OBJECT and name in ("generateContentRequest", "generate_content_request"):
            fields = _decode_fields(raw)
            count = sum([bytes(each).count(b'"') for each in fields.values()])
            twice = bytes(raw).count(b'"') != count + 2 * len(fields)
            self._within[name] = inner = Body(fields, twice)
            self.fields += inner.fields
        elif first == _LIST and name not in FREE and not _NUMBERS.match(raw):
            self.fields.append(Field(self._units, name, raw, True))
        else:
            self.fields.append(Field(self._units, name, raw))

    def unit(self, field: Field, number: int, raw: Any = None) -> Unit:
        """An item, read. :param raw: it, where it is at hand.

        :raises ValueError: it is not JSON.
        """
        units, name = field.units, field.name
        unit = units.get((name, number))
        if unit is None:
            raw = field.items[number] if raw is None else raw
            unit = units[name, number] = Unit(name, number, raw)
            if not field.listed and _NUMBERS.match(raw):
                unit.tokens()
            else:
                unit.read(*FIELDS.get(name, OTHERS))
        return unit

    def later(self, field: Field, number: int, raw: Any) -> Callable[[], Unit] | None:
        """:meth:`unit`, for a thread, where reading the item takes long; ``None``: it does not."""
        if len(memoryview(raw)) < FEW or (field.name, number) in field.units or not is_heavy(bytes(raw)):
            return None
        return partial(self.unit, field, number, raw)

    def made(self, field: Field) -> list[Unit]:
        """The units of ``field`` that have been read."""
        return [unit for (name, _), unit in field.units.items() if name == field.name]

    @property
    def units(self) -> list[Unit]:
        """All of them; errors as for :meth:`unit`."""
        return [self.unit(field, number) for field in self.fields for number in range(len(field.items))]

    def all(self) -> Iterator[Callable[[], Unit] | None]:
        """Read what was not read yet, a unit a step; then tell what is new. A step that is given is for a thread.

        :raises ValueError: one is not JSON.
        """
        for field in self.fields:
            for number, raw in enumerate(field.items):
                yield self.later(field, number, raw)
                self.unit(field, number)
        units = self.units
        last = max((at for at, unit in enumerate(units) if unit.answered), default=-1)
        for unit in units[: last + 1]:
            if unit.field not in LASTING:
                for slot in unit.slots:
                    slot.new = False
                for call in unit.called:
                    call.new = False

    def changed(self) -> RawObject | None:
        """The fields as they stand now; ``None``: as they came."""
        if not self._units and not self._within and not self._twice:
            return None
        changed: dict[str, Any] = {}
        for name, inner in self._within.items():
            if (found := inner.changed()) is not None:
                changed[name] = msgspec.Raw(msgspec.json.encode(found))
        for name in {unit.field for unit in self._units.values() if unit.changed}:
            field = next(each for each in self.fields if each.units is self._units and each.name == name)
            now = [self._now(name, number, raw) for number, raw in enumerate(field.items)]
            changed[name] = msgspec.Raw(b"[%b]" % b",".join(now) if field.listed else now[0])
        return {**self._given, **changed} if changed or self._twice else None

    def _now(self, name: str, number: int, raw: Any) -> bytes:
        unit = self._units.get((name, number))
        return bytes(raw) if unit is None else unit.json()
