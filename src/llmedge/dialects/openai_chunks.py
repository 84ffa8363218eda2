"""Streams of chunks, of OpenAI's chats and legacy completions, that are passed on
(platform.openai.com/docs/api-reference/chat/streaming)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmedge.dialects import lenient
from llmedge.dialects.billing import in_tier
from llmedge.dialects.endings import check_end
from llmedge.dialects.lenient import UNREADABLE, flat, whole
from llmedge.dialects.openai_answer import parse_error, parse_usage, usage_of
from llmedge.dialects.sse import LF, PassingReader
from llmedge.errors import UpstreamCut, UpstreamMalformed, VendorFailed
from llmedge.model import Event, EventKind, Usage

DONE = Event(EventKind.DONE, b"data: [DONE]\n\n")
LAST = re.compile(rb"\A\[DONE\]\s*\Z")

_Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(_Fields).decode
_encode = msgspec.json.Encoder().encode
_EMPTY = {b"null", b'""', b"[]", b"{}"}


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: Any = None


class _FullChoice(_Choice):
    delta: _Fields | None = None
    text: str | None = None


class _FullChunk(msgspec.Struct):
    choices: list[_FullChoice] | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_full_chunk = msgspec.json.Decoder(_FullChunk).decode


def _read_loosely(data: bytes) -> _FullChunk:
    """A chunk with an index, say, that is of another type than it should be, which its client may not mind.

    :raises ValueError: it is no chunk.
    """
    said = lenient.decode(data)
    choices = said.get("choices") if isinstance(said, dict) else 0
    if isinstance(choices, dict):
        choices = [choices]
    if not isinstance(choices, list | None):
        raise ValueError("no list of choices")
    return _FullChunk([_loose(each, place) for place, each in enumerate(choices or ()) if each], said.get("error"))


def _loose(choice: Any, place: int) -> _FullChoice:
    delta = choice.get("delta") if isinstance(choice, dict) else 0
    if delta and not isinstance(delta, dict):
        raise ValueError("no choice")
    index, reason = whole(choice.get("index")), choice.get("finish_reason")
    fields = {name: msgspec.Raw(_encode(value)) for name, value in (delta or {}).items()}
    text = choice.get("text")
    return _FullChoice(place if index is None else index, flat(reason or None) or None, fields, flat(text or None))


_plain_text = re.compile(rb"[ !#-\[\]-~]*").fullmatch
"""ASCII that stands in a JSON string as it is: no quote, no backslash, no control character."""
_TEXT = re.compile(rb'"content": ?"')


def _around_text(data: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the text in a chunk; empty if its text is not plain.

    In JSON these bytes can only be a key and the quote that opens its value: in a string the quotes would be escaped.
    Whatever plain text stands there instead, the rest of the chunk means the same.
    """
    found = _TEXT.search(data)
    if found is None:
        return b"", b""
    end = data.find(b'"', found.end())
    if end < 0 or _plain_text(data, found.end(), end) is None:
        return b"", b""
    return data[: found.end()], data[end:]


class ChunkReader(PassingReader):
    """Reads one vendor's stream of chunks: SSE bytes in, events for the client out.

    It knows when content begins, when every choice has finished, what was used, and refuses what is broken.

    :param strip_usage: the client did not ask for usage: of the chunk that tells it, only what a vendor adds (timings,
        say) goes on, within the finishing chunk before it.
    """

    last = LAST

    def __init__(self, *, strip_usage: bool, choices: int, max_event: int) -> None:
        super().__init__(max_event)
        self.usage: Usage | None = None
        self._strip_usage = strip_usage
        self._max_event = max_event
        self._choices = choices
        self._content = False
        self._open: set[int] = set()
        self._finished: set[int] = set()
        # A chunk that differs from the one before in nothing but its text is known without being parsed.
        self._head = self._tail = self._said_head = self._said_tail = b""

    @property
    def complete(self) -> bool:
        return not self._open and len(self._finished) >= self._choices

    def _end(self, items: list[Event]) -> None:
        super()._end(items)
        if self.held is not None:
            items.append(self.held)
        if not self.done:  # some vendors never send [DONE]: when every choice gave its finish_reason, all is said
            items.append(DONE)

    def _feed(self, data: bytes, items: list[Event]) -> None:
        passed = False
        pieces = 0
        while data and not self.done:
            if self._head and data.startswith(self._head) and self._sse.at_rest:
                data = self._alike(data, items)
                if not data:
                    return
                passed = True
            # Until chunks are known that the others are like, one after another is looked at; then all that are left.
            pieces += 1
            end = 0 if passed or pieces > 8 else data.find(b"\n\n") + 2
            if end < 2:
                super()._feed(data, items)
                return
            super()._feed(data[:end], items)
            data = data[end:]

    def _alike(self, data: bytes, items: list[Event]) -> bytes:
        """Pass on the chunks that differ in nothing but their text, and stand first; what is behind them.

        If another one stood between them, its quotes would be taken for text, and the text not be plain.
        """
        head, tail = self._head, self._tail
        if (
            len(data) <= self._max_event
            and data.endswith(tail)
            and _plain_text(data, len(head), len(data) - len(tail)) is not None
        ):  # a single one
            text = data[len(head) : len(data) - len(tail)]
            items.append(Event(EventKind.CONTENT, self._said_head + text + self._said_tail))
            return b""
        end = data.rfind(tail)
        if end < len(head):
            return data
        texts = data[len(head) : end].split(tail + head)
        if _plain_text(b"".join(texts)) is None:
            texts = texts[:1]
            if _plain_text(texts[0]) is None:
                return data
            end = len(head) + len(texts[0])
        if max(map(len, texts)) + len(head) + len(tail) > self._max_event:
            return data
        end += len(tail)
        said_head, said_tail = self._said_head, self._said_tail
        if (said_head, said_tail) == (head, tail):
            frames = data[:end]
        else:
            frames = said_head + (said_tail + said_head).join(texts) + said_tail
        items.append(Event(EventKind.CONTENT, frames, len(texts)))
        return data[end:]

    def _take(self, name: bytes, data: bytes, items: list[Event]) -> None:
        if self.held is not None and self._release(self.held, data, items):
            return
        if data == b"[DONE]":
            if not self._finished or self._open:
                raise UpstreamCut("ended its stream without an answer")
            self.done = True
            items.append(DONE)
            return
        came = data
        try:
            if not data.isascii():
                data.decode()
            try:
                chunk = _decode_chunk(data) if self._content else _decode_full_chunk(data)
            except msgspec.ValidationError:
                chunk = _read_loosely(data)
            if data.find(b'"usage"') >= 0:  # ``in`` looks for a number first, at six times the cost
                data = self._usage(data)
        except UNREADABLE:
            raise UpstreamMalformed("sent an event that is not a chunk of an answer") from None
        if chunk.error or name == b"error":
            error = parse_error(came)
            raise VendorFailed(f"failed while answering: {error.message or 'it gave no reason'}")
        finishes = False
        for choice in chunk.choices or ():
            if choice.finish_reason:
                check_end(choice.finish_reason)
                finishes = True
                self._finished.add(choice.index)
                self._open.discard(choice.index)
            elif choice.index not in self._finished:
                self._open.add(choice.index)
        if not data:
            return
        if self._content or _says_something(chunk):
            self._content = True
        if LF in data:
            data = data.replace(b"\n", b"\ndata: ")  # each line of an event's data has the field name before it
        kind = EventKind.CONTENT if self._content else EventKind.LIFECYCLE
        frame = b"data: " + data + b"\n\n"
        if finishes and self._strip_usage:
            self.held = Event(kind, frame)
        else:
            items.append(Event(kind, frame))
        if self._finished:
            self._head = b""
        elif self._content and not name and LF not in came and len(chunk.choices or ()) == 1:
            said_head, said_tail = _around_text(frame)
            head, tail = said_head, said_tail
            if came is not data:
                head, tail = _around_text(b"data: " + came + b"\n\n")
            if head and said_head:
                self._head, self._tail, self._said_head, self._said_tail = head, tail, said_head, said_tail

    def _usage(self, data: bytes) -> bytes:
        """Account for the usage in a chunk; the chunk as the client gets it, ``b""`` for not at all."""
        fields = _decode_fields(data)
        if "usage" not in fields:
            self.usage = usage_of(fields) or self.usage
            return data
        usage = parse_usage(fields["usage"])
        if usage is not None:
            # The last one stands: some vendors send running totals.
            self.usage = in_tier(usage, fields.get("service_tier"))
        if not self._strip_usage or not (bytes(fields["usage"]) == b"null" or _is_usage(fields)):
            return data
        del fields["usage"]  # also a null, which OpenAI says in each chunk where usage is asked for
        return _encode(fields) if usage is None or fields.keys() - _EACH else b""

    def _release(self, held: Event, data: bytes, items: list[Event]) -> bool:
        """Let the finishing chunk go. Whether ``data`` has nothing more to say than what goes with it."""
        self.held = None
        rest: _Fields = {}
        if b'"usage"' in data:
            try:
                if not data.isascii():
                    data.decode()
                rest = _decode_fields(data)
            except UNREADABLE:
                pass
        if not _is_usage(rest):
            items.append(held)
            return False
        self.usage = in_tier(parse_usage(rest.pop("usage")), rest.get("service_tier"))
        items.append(_with_more(held, rest))
        return True


def _is_usage(fields: _Fields) -> bool:
    """Whether a chunk is there for its usage alone."""
    if "error" in fields or parse_usage(fields.get("usage")) is None:
        return False
    return bytes(fields.get("choices", b"[]")).strip() in (b"[]", b"null")


_SAME = {"id", "object", "created", "model", "choices", "obfuscation"}
_EACH = {*_SAME, "service_tier", "system_fingerprint"}
"""What each chunk of OpenAI's has."""


def _with_more(chunk: Event, rest: _Fields) -> Event:
    """``chunk`` with what the one behind it tells besides."""
    try:
        fields = _decode_fields(chunk.frame[6:-2].replace(b"\ndata: ", b"\n"))
    except UNREADABLE:
        return chunk
    more = {
        name: value
        for name, value in rest.items()
        if name not in _SAME and bytes(value) not in (b"null", bytes(fields.get(name, b"")))
    }
    return Event(chunk.kind, b"data: " + _encode(fields | more) + b"\n\n") if more else chunk


def _says_something(chunk: _Chunk | _FullChunk) -> bool:
    for choice in chunk.choices or ():
        if choice.finish_reason or not isinstance(choice, _FullChoice) or choice.text:
            return True
        for name, value in (choice.delta or {}).items():
            if name != "role" and bytes(value) not in _EMPTY:
                return True
    return False
