"""An answer given again is one of its own: its id is new, and it was made now. All else is as it was."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from itertools import count

import msgspec

from llmedge.cache.entry import Entry
from llmedge.dialects.lenient import UNREADABLE

_CREATED = re.compile(rb'"created(?:_at)?"\s*:\s*\d+')
_LEAST = 8
"""Characters of an id that stands for nothing else in an answer."""
_LOOKED_AT = 4
"""Events at the beginning of a stream, one of which has its id: some begin with one that has none."""
_DIGITS = b"0123456789"
_FAR = 256
"""Characters of a text that is replaced as one."""
_HOT, _LARGEST = 32, 32768
"""Streams that are kept in pieces as well, and bytes of the largest one: those that are asked for all the time."""
_HERE, _NUMBER = secrets.token_hex(8).encode(), count(1)
"""No other id begins with it, and none has this number."""


class _Within(msgspec.Struct):
    id: str = ""


class _Signed(_Within):
    """Where the dialects have an answer's id."""

    gemini: str = msgspec.field(default="", name="responseId")
    message: _Within | None = None
    response: _Within | None = None


_decode = msgspec.json.Decoder(_Signed).decode


def signature(body: bytes, stream: bool) -> tuple[bytes, bytes]:
    """The id of an answer, and the member that says when it was created, as they stand in it; ``b""`` for none."""
    beginning = body if not stream else b"\n\n".join(body[:65536].split(b"\n\n", _LOOKED_AT)[:_LOOKED_AT])
    created = _CREATED.search(beginning[:4096])
    return _id(beginning, stream), b"" if created is None else created[0]


def _id(beginning: bytes, stream: bool) -> bytes:
    lines = [line[5:] for line in beginning.split(b"\n") if line.startswith(b"data:")] if stream else [beginning]
    for line in lines:
        try:
            said = _decode(line)
        except UNREADABLE:
            continue
        within = said.message or said.response
        found = (said.id or said.gemini or (within.id if within is not None else "")).encode()
        if len(found) >= _LEAST and found in beginning:  # one with an escape in it stays
            return found
    return b""


def renewed(entry: Entry, now: float) -> tuple[bytes, bytes, bytes]:
    """The answer with another id, this id, and the one that it had."""
    body = entry.body
    if entry.signed is None:
        entry.signed = signature(body, bool(entry.events))
        entry.shape = _together(body, *entry.signed)
    (id, created), new = entry.signed, b""
    if entry.shape is not None:
        kind, rest, digits = entry.shape
        new, both = b"%b%012x" % (kind, next(_NUMBER)), id + rest + created[-digits:]
        hot = entry.events and len(body) <= _LARGEST
        pieces = _pieces(body, both) if hot else body.split(both)
        return (b"%b%b%d" % (new, rest, now)).join(pieces), new, id
    if created:
        body = body.replace(created, b"%b%d" % (created.rstrip(_DIGITS), now))
    if id:
        new = like(id)
        body = body.replace(id, new)
    return body, new, id


def _together(body: bytes, id: bytes, created: bytes) -> tuple[bytes, bytes, int] | None:
    """As :attr:`Entry.shape`; ``None``: they do not stand like that."""
    both = body[body.find(id) : body.find(created) + len(created)]
    if not (id and created and len(both) <= _FAR and body.count(both) == body.count(id) == body.count(created) > 0):
        return None
    rest = both[len(id) :].rstrip(_DIGITS)
    return _shape(_kind(id) + _HERE, rest, len(both) - len(id) - len(rest))


@lru_cache(256)
def _shape(kind: bytes, rest: bytes, digits: int) -> tuple[bytes, bytes, int]:
    return kind, rest, digits


@lru_cache(_HOT)
def _pieces(body: bytes, apart: bytes) -> list[bytes]:
    return body.split(apart)


def like(id: bytes) -> bytes:
    """An id of the same kind: what stands before its random part stays."""
    return b"%b%b%012x" % (_kind(id), _HERE, next(_NUMBER))


def _kind(id: bytes) -> bytes:
    return id[: max(id.rfind(b"-"), id.rfind(b"_")) + 1][:24]
