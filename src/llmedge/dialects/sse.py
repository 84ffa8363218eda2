"""Server-sent events (WHATWG HTML, section 9.2): bytes in, events out, split anywhere; and readers of streams."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar, cast

import msgspec

from llmedge.dialects import ir, surrogates
from llmedge.errors import EdgeError, UpstreamCut, UpstreamMalformed, UpstreamTooLarge
from llmedge.model import Event

T = TypeVar("T")

CUT = "ended its stream before the answer was complete"

BOM = b"\xef\xbb\xbf"
"""A byte order mark, which some write before UTF-8 and everybody may ignore (RFC 8259 section 8.1)."""
LF, _CR, _BACKSLASH = b"\n\r\\"
"""As numbers: looking for bytes of one byte costs CPython an exception."""
_PINGS = (b"ping", b"keepalive", b"keep-alive", b"heartbeat")
"""Names of events that say nothing but that somebody is there, whatever their data."""


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
        if self._carriage_return or _CR in data:
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
            if len(self._buffer) < 3 and BOM.startswith(self._buffer):
                return []
            self._started = True
            if self._buffer.startswith(BOM):
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
    """The event in a block of lines; ``None`` if there is none in it, as in a comment, or where its data are empty."""
    if block.startswith(b"data: ") and LF not in block:
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
    return SseEvent(name, b"\n".join(data)) if any(data) else None


class FramedReader(ABC, Generic[T]):
    """Takes a stream of frames apart, and gives good items before the error that follows them.

    ``T`` is :class:`~llmedge.model.Event` where the frames are passed on, an event of the IR where they are read.
    """

    cut = False
    """Nothing is ended before its vendor ends it."""

    def __init__(self) -> None:
        self.done = False
        self._error: EdgeError | None = None
        self._halves: surrogates.Halves | None = None

    @property
    def complete(self) -> bool:
        """Nothing is owed but the terminal event, which some vendors never send."""
        return False

    @property
    def broken(self) -> EdgeError | None:
        return self._error

    @property
    def is_halved(self) -> bool:
        """What was read so far ends with half a character, which is not in the items yet."""
        return self._halves is not None and self._halves.held

    def flush(self) -> list[T]:
        """Items held back so far because more of them may come, for who has to know all that was said: they come now,
        and not later."""
        return []

    def feed(self, data: bytes) -> list[T]:
        """The items completed by ``data``; see :class:`~llmedge.dialects.dialect.StreamReader`."""
        items: list[T] = []
        if self._error is None and not self.done:
            try:
                self._feed(data, items)
            except EdgeError as error:
                self._error = error
        if self._halves is not None:
            items = self._joined(items)
        if self._error is not None and not items:
            raise self._error
        return items

    def end(self) -> list[T]:
        """The items still owed when the body has ended.

        :raises EdgeError: it is not complete.
        """
        if self._error is not None:
            raise self._error
        items: list[T] = []
        if not self.done:
            self._end(items)
        return self._joined(items)

    def _marked(self, data: bytes) -> bytes:
        """JSON of the vendor's as a decoder can read it: see :mod:`~llmedge.dialects.surrogates`."""
        marked = surrogates.mark(data)
        if marked is not data and self._halves is None:
            self._halves = surrogates.Halves()
        return marked

    def _joined(self, items: list[T]) -> list[T]:
        if self._halves is None:
            return items
        return cast("list[T]", self._halves.join(cast("list[ir.StreamEvent]", items)))

    @abstractmethod
    def _feed(self, data: bytes, items: list[T]) -> None:
        """Append what ``data`` completes; set ``done`` at the terminal event.

        :raises EdgeError: the rest is broken.
        """

    @abstractmethod
    def _end(self, items: list[T]) -> None:
        """Append what is owed at the end.

        :raises UpstreamCut: the terminal event is missing.
        """


class SseReader(FramedReader[T]):
    """A stream of server-sent events.

    :cvar last: found in the data of what may be the last event.
    """

    last: ClassVar[re.Pattern[bytes]] = re.compile(b"")

    def __init__(self, max_event: int) -> None:
        super().__init__()
        self._sse = SseParser(max_event)

    def _feed(self, data: bytes, items: list[T]) -> None:
        try:
            self._take_blocks(self._sse.blocks(data), items)
        except SseError as error:
            raise UpstreamTooLarge(f"sent {error} (upstream.max_event_size)") from None

    def _end(self, items: list[T]) -> None:
        self._take_rest(items)
        if not (self.done or self.complete):
            raise UpstreamCut(CUT)

    def _take_rest(self, items: list[T]) -> None:
        """The last event, where only its blank line never came and it is one that may be the last."""
        for event in self._sse.close():
            if self.last.search(event.data):
                try:
                    self._take_event(event, items)
                except UpstreamMalformed:  # half an event
                    raise UpstreamCut(CUT) from None

    def _take_blocks(self, blocks: list[bytes], items: list[T]) -> None:
        for block in blocks:
            event = parse_block(block)
            if event is None:
                continue
            self._take_event(event, items)
            if self.done:
                break

    def _take_event(self, event: SseEvent, items: list[T]) -> None:
        data = event.data
        try:
            if _BACKSLASH in data and b"\\u" in data:
                self._take_escaped(event, items)
            else:
                self._take(event.name, data, items)
        except UpstreamMalformed:
            if data != b"[DONE]" and data.strip() == b"[DONE]":
                self._take(event.name, b"[DONE]", items)
            elif event.name not in _PINGS:
                raise

    def _take_escaped(self, event: SseEvent, items: list[T]) -> None:
        """An event in which halves of characters may be."""
        self._take(event.name, self._marked(event.data), items)

    @abstractmethod
    def _take(self, name: bytes, data: bytes, items: list[T]) -> None:
        """One event.

        :raises EdgeError: it is an error, or broken.
        """


class PassingReader(SseReader[Event]):
    """One whose events are passed on, as they came.

    :ivar held: an event that is not given yet.
    """

    held: Event | None = None

    def _take_escaped(self, event: SseEvent, items: list[Event]) -> None:
        mended = surrogates.mend(event.data)
        known = len(items)
        self._take(event.name, mended, items)
        if mended is not event.data:
            for at, item in enumerate(items[known:], known):
                items[at] = _restored(item, mended, event.data)
            if self.held is not None:
                self.held = _restored(self.held, mended, event.data)


def _restored(event: Event, mended: bytes, came: bytes) -> Event:
    return Event(event.kind, surrogates.restore(event.frame, mended, came), event.count)
