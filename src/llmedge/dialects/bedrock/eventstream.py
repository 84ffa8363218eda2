"""AWS event streams (``application/vnd.amazon.eventstream``): bytes in, messages out, split anywhere; and the opposite.

A message is a prelude (total length, headers' length, CRC-32 of both), headers, a payload, and a CRC-32 of all that
comes before it; numbers are big-endian. Source: smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from zlib import crc32

import attrs

HeaderValue = str | bytes | int | bool
"""Integers of every width and timestamps (milliseconds since the epoch) are ``int``, UUIDs are ``bytes``."""

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SIZE = struct.Struct(">H")
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_NUMBERS[8] = _NUMBERS[5]
_OVERHEAD = _PRELUDE.size + _CRC.size
_MAX_HEADERS = 128 * 1024
_KNOWN_HEADERS = 64


class EventStreamError(Exception):
    """The bytes are not an event stream the gateway takes."""


@attrs.frozen
class Message:
    headers: Mapping[str, HeaderValue]
    payload: bytes


class EventStreamParser:
    """Incremental parser.

    :param limit: largest message, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._wanted = 0
        self._known: dict[bytes, Mapping[str, HeaderValue]] = {}

    @property
    def partial(self) -> bool:
        """Whether part of a message is waiting for the rest."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that ``data`` completes. To be exhausted, or given up with the parser.

        :raises EventStreamError: after the good ones, what follows is broken or over the limit. A length that cannot
            be right is found with the first 12 bytes, before anything is waited for.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return  # a large message in many reads is not looked at again each time
            data = bytes(self._buffer)
            self._buffer.clear()
        start, size, self._wanted = 0, len(data), 0
        while size - start >= _PRELUDE.size:
            total, headers, crc = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + 8]) != crc:
                raise EventStreamError("a message whose length does not match its checksum")
            if headers > _MAX_HEADERS or total < headers + _OVERHEAD:
                raise EventStreamError("a message with impossible lengths")
            if total > self._limit:
                raise EventStreamError(f"an event of more than {self._limit} bytes")
            end = start + total
            if end > size:
                self._wanted = total
                break
            if crc32(data[start : end - 4]) != _CRC.unpack_from(data, end - 4)[0]:
                raise EventStreamError("a message that does not match its checksum")
            middle = start + _PRELUDE.size + headers
            yield Message(self._headers(data[start + _PRELUDE.size : middle]), data[middle : end - 4])
            start = end
        self._buffer += data[start:]

    def _headers(self, raw: bytes) -> Mapping[str, HeaderValue]:
        """A stream has a handful of different headers, repeated in each message."""
        known = self._known.get(raw)
        if known is None:
            try:
                known = dict(_headers(raw))
            except (struct.error, IndexError, UnicodeDecodeError):
                raise EventStreamError("a message whose headers cannot be read") from None
            if len(self._known) < _KNOWN_HEADERS:
                self._known[raw] = known
        return known


def _headers(raw: bytes) -> Iterator[tuple[str, HeaderValue]]:
    at = 0
    while at < len(raw):
        end = at + 1 + raw[at]
        name = raw[at + 1 : end].decode()
        kind = raw[end]
        at = end + 1
        if kind in (0, 1):
            yield name, kind == 0
        elif number := _NUMBERS.get(kind):
            yield name, number.unpack_from(raw, at)[0]
            at += number.size
        elif kind in (6, 7, 9):
            size = 16
            if kind != 9:
                (size,) = _SIZE.unpack_from(raw, at)
                at += 2
            value = raw[at : at + size]
            if len(value) != size:
                raise IndexError
            yield name, value.decode() if kind == 7 else value
            at += size
        else:
            raise EventStreamError(f"a header of the unknown type {kind}")


def encode(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One message. Whole numbers are written as 64 bits.

    :raises struct.error: a header's name or value is too long.
    """
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", _OVERHEAD + len(head) + len(payload), len(head))
    message = prelude + _CRC.pack(crc32(prelude)) + head + payload
    return message + _CRC.pack(crc32(message))


def _header(name: str, value: HeaderValue) -> bytes:
    out = name.encode()
    head = struct.pack(">B", len(out)) + out
    if isinstance(value, bool):
        return head + (b"\0" if value else b"\1")
    if isinstance(value, int):
        return head + b"\5" + _NUMBERS[5].pack(value)
    kind, raw = (b"\7", value.encode()) if isinstance(value, str) else (b"\6", value)
    return head + kind + _SIZE.pack(len(raw)) + raw
