"""Server-sent events (WHATWG HTML, section 9.2): bytes in, events out, split anywhere."""

from __future__ import annotations

import msgspec

_BOM = b"\xef\xbb\xbf"


class SseError(Exception):
    """The bytes cannot be an event stream the gateway takes."""


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: ``name`` of its ``event:`` field (``b""`` for none) and its joined ``data:`` lines."""

    name: bytes
    data: bytes


class SseParser:
    """Incremental parser. Comments and fields other than ``event`` and ``data`` are dropped.

    :param limit: largest event, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._carriage_return = False
        self._started = False

    @property
    def at_rest(self) -> bool:
        """Nothing of an event that is not complete is held."""
        return self._started and not self._buffer and not self._carriage_return

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes.

        :raises SseError: an event is over the limit.
        """
        return [event for block in self.blocks(data) if (event := parse_block(block)) is not None]

    def blocks(self, data: bytes) -> list[bytes]:
        """The same, each as the lines it came in, ended by LF and without the blank one.

        :raises SseError: an event is over the limit.
        """
        if self._carriage_return or b"\r" in data:
            data = self._newlines(data)
        blocks = self._blocks(data)
        if len(self._buffer) > self._limit:
            raise SseError(f"an event of more than {self._limit} bytes")
        if blocks and max(map(len, blocks)) > self._limit:
            raise SseError(f"an event of more than {self._limit} bytes")
        return blocks

    def _blocks(self, data: bytes) -> list[bytes]:
        """The blocks that ``data`` completes. What is left is not searched again: an event may come in many reads."""
        if self._started and not self._buffer:
            *blocks, rest = data.split(b"\n\n")
            self._buffer += rest
            return blocks
        searched = max(0, len(self._buffer) - 1)
        self._buffer += data
        if not self._started:
            if len(self._buffer) < 3 and _BOM.startswith(self._buffer):
                return []
            self._started = True
            if self._buffer.startswith(_BOM):
                del self._buffer[:3]
            searched = 0
        if self._buffer.find(b"\n\n", searched) < 0:
            return []
        *blocks, rest = bytes(self._buffer).split(b"\n\n")
        self._buffer[:] = rest
        return blocks

    def close(self) -> list[SseEvent]:
        """What an ended stream still owes: an event whose blank line never came, or nothing."""
        block = bytes(self._buffer)
        self._buffer.clear()
        event = parse_block(block)
        return [] if event is None else [event]

    def _newlines(self, data: bytes) -> bytes:
        """CRLF and CR become LF, also where a CRLF is split between two reads."""
        if self._carriage_return and data.startswith(b"\n"):
            data = data[1:]
        self._carriage_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_block(block: bytes) -> SseEvent | None:
    """The event in a block of lines; ``None`` if there is none in it, as in a comment."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return SseEvent(b"", block[6:])
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SseEvent(name, b"\n".join(data)) if data else None
