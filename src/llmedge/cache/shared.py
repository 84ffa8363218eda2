"""The level of the cache that processes share, on Redis: each answer under a name of its own, for its time."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred

from llmedge.cache.entry import Entry
from llmedge.cache.sealed import Seal
from llmedge.model import Usage

_FIELDS = " ".join(field.name for kind in (Entry, Usage) for field in msgspec.structs.fields(kind))
_FORMAT = b"1" + zlib.crc32(_FIELDS.encode()).to_bytes(4)
"""What a value begins with: of another release's entries, which may mean something else, nothing is read."""
_PLAIN, _DEFLATED, _SEALED, _BOTH = b"p", b"d", b"s", b"b"
"""What comes next: how the rest is written."""
_SMALLEST, _LARGEST = 4096, 65536
"""Bytes of what is compressed: less does not pay, and of more each step would hold up others for over a millisecond."""
_LEVEL = 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Asked(Protocol):
    """A Redis (:class:`llmedge.redis.client.Redis`)."""

    prefix: bytes

    def read(self, *command: bytes) -> Deferred[Any] | None: ...

    def write(self, *command: bytes) -> None: ...


class SharedAnswers:
    """What is there and cannot be read, whatever it is, is not there.

    :param seal: what encrypts them; ``None``: nothing does. One that was kept otherwise is not there either.
    """

    def __init__(self, redis: Asked, seal: Seal | None = None) -> None:
        self._redis = redis
        self._seal = seal

    def get(self, key: bytes) -> Deferred[Entry | None] | None:
        """What is kept under ``key``; ``None`` at once: nobody is asked now. The Deferred fires within
        ``redis.timeout`` and never fails."""
        names = self._names(key)
        if len(names) == 1:
            answer = self._redis.read(b"GET", names[0])
            return None if answer is None else answer.addCallback(self._read, names[0])
        answer = self._redis.read(b"MGET", *names)
        return None if answer is None else answer.addCallback(self._first, names)

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep ``entry`` for as long as it says. Never waits, never raises."""
        if (milliseconds := int(entry.keep * 1000)) > 0:
            name = self._names(key)[0]
            self._redis.write(b"SET", name, self._written(entry, name), b"PX", b"%d" % milliseconds)

    def _names(self, key: bytes) -> list[bytes]:
        """Where it may be; what is written, at the first."""
        found = [key] if self._seal is None else self._seal.names(key)
        return [b"%bcache:%b" % (self._redis.prefix, each.hex().encode()) for each in found]

    def _first(self, values: Any, names: list[bytes]) -> Entry | None:
        if not isinstance(values, list):
            return None
        found = map(self._read, values, names)
        return next((entry for entry in found if entry is not None), None)

    def _written(self, entry: Entry, name: bytes) -> bytes:
        value = _encode(entry)
        deflated = False
        if _SMALLEST <= len(value) <= _LARGEST:
            shorter = zlib.compress(value, _LEVEL)
            if deflated := len(shorter) < len(value) * 3 // 4:
                value = shorter
        if self._seal is None:
            return _FORMAT + (_DEFLATED if deflated else _PLAIN) + value
        head = _FORMAT + (_BOTH if deflated else _SEALED)
        return head + self._seal.seal(value, head + name)

    def _read(self, value: Any, name: bytes) -> Entry | None:
        if not isinstance(value, bytes) or not value.startswith(_FORMAT):
            return None
        size = len(_FORMAT) + 1
        head, rest = value[:size], value[size:]
        kind = head[-1:]
        try:
            if self._seal is not None:
                rest = self._seal.open(rest, head + name)  # which fails where it is not sealed
            elif kind not in (_PLAIN, _DEFLATED):
                return None
            return _decode(_inflated(rest) if kind in (_DEFLATED, _BOTH) else rest)
        except (ValueError, RecursionError, zlib.error, msgspec.MsgspecError):
            return None


def _inflated(value: bytes) -> bytes:
    """:raises ValueError: it is not whole, or more than was ever deflated."""
    inflating = zlib.decompressobj()
    inflated = inflating.decompress(value, _LARGEST + 1)
    if not inflating.eof:
        raise ValueError("not whole")
    return inflated
