"""An answer that is kept."""

from __future__ import annotations

import msgspec

from llmedge.model import Usage

OVERHEAD = 980
"""Bytes, about, of an entry beside its body: its key, its fields, its places in tables, and the hash of one that is
gone and still known."""


class Entry(msgspec.Struct, gc=False, array_like=True):
    """A whole answer, or a stream that has ended well, as its client got it.

    :ivar body: the answer, or all frames of the stream, in the client's dialect.
    :ivar events: how many events the stream has; 0: it is a whole answer.
    :ivar provider: who answered, and by which ``model``: what it would cost again.
    :ivar usage: as its vendor told, or what was estimated; ``None``: nobody knows.
    :ivar stored: when, in seconds since 1970; ``ttl``: seconds for which it is fresh; ``keep``: for which it is kept.
    :ivar signed: its id, and when it was created, as they stand in ``body``; ``None``: nobody has looked.
    :ivar shape: where the one always follows the other: what another id begins with, what comes from behind the id to
        the digits of the time, and how many these are. Entries of a kind share it.
    """

    body: bytes
    content_type: bytes
    events: int
    provider: str
    model: str
    usage: Usage | None
    stored: float
    ttl: float
    keep: float
    signed: tuple[bytes, bytes] | None = None
    shape: tuple[bytes, bytes, int] | None = None
