"""A request's body in pieces, each of which is looked at by itself: a message, an item, a field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from llmedge.guards.fields import FIELDS, FREE, LASTING, NO_TEXT, OTHERS
from llmedge.guards.places import Unit
from llmedge.model import RawObject

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_HOLDS = (b'"', b"[", b"{")
_NUMBERS = re.compile(rb"\[\s*-?[0-9]")


class Piece(NamedTuple):
    """What one unit is made of: the body that it is in, its field there, its number in that, and the bytes."""

    body: Body
    field: str
    number: int
    raw: Any


class Body:
    """A request's body, in pieces.

    :param fields: top-level ones, raw.
    :ivar pieces: in the order in which they stand.
    """

    def __init__(self, fields: RawObject) -> None:
        self._fields = fields
        self.pieces: list[Piece] = []
        self._lists: set[str] = set()
        self._within: dict[str, Body] = {}
        self._units: dict[tuple[Body, str, int], Unit] = {}
        for name, raw in fields.items():
            if name not in NO_TEXT and (first := bytes(memoryview(raw)[:1])) in _HOLDS:
                self._field(name, raw, first)

    def _field(self, name: str, raw: Any, first: bytes) -> None:
        if first == b"{" and name in ("generateContentRequest", "generate_content_request"):
            self._within[name] = inner = Body(_decode_fields(raw))
            self.pieces += inner.pieces
        elif first == b"[" and name not in FREE and not _NUMBERS.match(raw):
            self._lists.add(name)
            self.pieces += [Piece(self, name, index, item) for index, item in enumerate(_decode_items(raw))]
        else:
            self.pieces.append(Piece(self, name, 0, raw))

    def unit(self, piece: Piece) -> Unit:
        """A piece, read.

        :raises ValueError: it is not JSON.
        """
        body, field, index, raw = piece
        unit = self._units.get((body, field, index))
        if unit is None:
            unit = body._units[body, field, index] = self._units[body, field, index] = Unit(field, index, raw)
            if index == 0 and field not in body._lists and _NUMBERS.match(raw):
                unit.tokens()
            else:
                unit.read(*FIELDS.get(field, OTHERS))
        return unit

    def all(self) -> Iterator[Unit]:
        """Read what was not read yet, a unit a step; then tell what is new.

        :raises ValueError: one is not JSON.
        """
        for piece in self.pieces:
            yield self.unit(piece)
        units = [self.unit(piece) for piece in self.pieces]
        last = max((at for at, unit in enumerate(units) if unit.answered), default=-1)
        for unit in units[: last + 1]:
            if unit.field not in LASTING:
                for slot in unit.slots:
                    slot.new = False
                for call in unit.called:
                    call.new = False

    def changed(self) -> RawObject | None:
        """The fields as they stand now; ``None``: as they came."""
        changed: dict[str, Any] = {}
        for name, inner in self._within.items():
            if (found := inner.changed()) is not None:
                changed[name] = msgspec.Raw(msgspec.json.encode(found))
        names = {field for (body, field, _), unit in self._units.items() if body is self and unit.changed}
        for name in names:
            now = [self._now(each) for each in self.pieces if each.body is self and each.field == name]
            changed[name] = msgspec.Raw(b"[%b]" % b",".join(now) if name in self._lists else now[0])
        return {**self._fields, **changed} if changed else None

    def _now(self, piece: Piece) -> bytes:
        unit = self._units.get((self, piece.field, piece.number))
        return bytes(piece.raw) if unit is None else unit.json()
