"""What OpenAI's chat and legacy completions share: fields, errors, usage, the shape of a stream.

Source: platform.openai.com/docs/api-reference (chat, completions, chat/streaming). Bodies are taken apart
one level deep only; every value the gateway does not touch is sent on as the bytes it came in.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from llmedge.dialects.dialect import Dialect, StreamReader
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.openai_answer import parse_error, parse_usage, read_usage
from llmedge.dialects.sse import SseReader
from llmedge.errors import EdgeError, MalformedEvent, UpstreamCut, ValidationError, VendorFailed
from llmedge.model import Event, EventKind, RawObject, Usage

DONE = Event(EventKind.DONE, b"data: [DONE]\n\n")
LAST = re.compile(rb"\A\[DONE\]\Z")

_Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_EMPTY = {b"null", b'""', b"[]", b"{}"}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class PassedRequest(msgspec.Struct, kw_only=True):
    """What passing a request on needs to know of it. Whether the rest makes sense is its vendor's to say: engines take
    more than the API documents."""

    model: str
    stream: bool | None = None


class PassedCompletion(PassedRequest, kw_only=True):
    stream_options: StreamOptions | None = None
    n: int | None = None


class CommonRequest(PassedCompletion, kw_only=True):
    """The fields both operations have, with the types the API documents. Ranges are the vendor's business."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    logit_bias: dict[str, float] | None = None


def decode_body(raw: bytes, decoder: msgspec.json.Decoder[Any], max_depth: int) -> tuple[RawObject, Any]:
    """The body's top-level fields as bytes, and what ``decoder`` makes of it; any dialect's.

    :raises ValidationError: not UTF-8, not JSON (with the position), not an object, or a mistyped field.
    """
    if not raw:
        raise ValidationError("The request has no body; send a JSON object.")
    if is_deeper(raw, max_depth):
        raise ValidationError(f"The body is nested more than {max_depth} deep (server.max_json_depth).")
    try:
        if not raw.isascii():
            raw.decode()
        return _decode_fields(raw), _typed(raw, decoder)
    except msgspec.ValidationError:
        raise ValidationError("The body must be a JSON object.") from None
    except UnicodeDecodeError as error:
        raise ValidationError(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if "truncated" in reason:
            reason = f"it ends too early, or has half an escape (byte {len(raw)})"
        raise ValidationError(f"The body is not valid JSON: {reason}.") from None


def _typed(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """What ``decoder`` makes of an object.

    :raises ValidationError: a field is missing or mistyped.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `")
        param = where.rstrip("`").removeprefix("$").removeprefix(".") or None
        _, required, missing = message.rpartition(" missing required field ")
        if required:
            missing = missing.strip("`")
            param = f"{param}.{missing}" if param else missing
            raise ValidationError(f"The field '{param}' is required.", param=param) from None
        raise ValidationError(f"The field '{param}' is mistyped: {_plain(message)}.", param=param) from None


def parse_body(raw: bytes, decoder: msgspec.json.Decoder[Any], max_depth: int) -> tuple[RawObject, Any]:
    """The same, with what OpenAI's operations have in common checked.

    :raises ValidationError: see :func:`decode_body`; or a value out of its range.
    """
    fields, known = decode_body(raw, decoder, max_depth)
    if not known.model.strip():
        raise ValidationError("The field 'model' must not be empty.", param="model")
    n = getattr(known, "n", None)
    if n is not None and n < 1:
        raise ValidationError("The field 'n' must be at least 1.", param="n")
    return fields, known


def check_fields(fields: RawObject, decoder: msgspec.json.Decoder[Any]) -> Any:
    """What ``decoder`` makes of a body that was taken apart before, for whoever has to understand all of it.

    :raises ValidationError: a field is missing or mistyped; or a number is none that can be calculated with.
    """
    known = _typed(_encode(fields), decoder)
    for name in _NUMBERS:
        value = getattr(known, name, None)
        if value is not None and not math.isfinite(value):
            raise ValidationError(f"The field '{name}' must be a finite number.", param=name)
    return known


def count_items(raw: msgspec.Raw) -> int | None:
    """How many items a list has; ``None`` if it is no list."""
    try:
        return len(_decode_items(raw))
    except msgspec.DecodeError:
        return None


_NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_deeper(raw: bytes, depth: int) -> bool:
    """Whether arrays and objects in a JSON text are nested more than ``depth`` deep. Linear passes in C only: the
    brackets outside strings, of which the innermost pairs are taken away ``depth`` times."""
    if raw.count(b"[") + raw.count(b"{") <= depth:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(depth):
        less = brackets.replace(b"[]", b"")
        if len(less) == len(brackets):
            break
        brackets = less
    return (brackets.startswith(b"[") and brackets.count(b"[") > depth) or b"[]" in brackets


def _plain(message: str) -> str:
    """msgspec's ``Expected `str | null`, got `int``` in words."""
    return message[0].lower() + message[1:].replace(" | null", "").replace("`", "")


class OpenAIDialect(Dialect):
    """What OpenAI's operations have in common. Stateless."""

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """The body for a vendor of the same dialect: as it came, but for the model and ``stream_options``."""
        changed = dict(fields)
        changed["model"] = model
        if stream and ask_usage:
            options: Any = fields.get("stream_options")
            known = _decode_any(options) if options is not None else None
            changed["stream_options"] = {**(known or {}), "include_usage": True}
        return _encode(changed)

    def read_answer(self, body: bytes) -> Usage | None:
        return read_usage(body)

    parse_error = staticmethod(parse_error)

    def error_body(self, error: EdgeError) -> bytes:
        return _encode(error.body())

    def error_frame(self, error: EdgeError) -> bytes:
        return b"data: " + _encode(error.body()) + b"\n\n"

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        return ChunkReader(strip_usage=strip_usage, choices=choices, max_event=max_event)


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


class ChunkReader(SseReader[Event]):
    """Reads one vendor's stream of chunks: SSE bytes in, events for the client out.

    It knows when content begins, when every choice has finished, what was used, and refuses what is broken.
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
            chunk = _decode_chunk(data) if self._content else _decode_full_chunk(data)
            if b'"usage"' in data:
                data = self._usage(data)
        except UNREADABLE:
            raise MalformedEvent("sent an event that is not a chunk of an answer") from None
        if chunk.error or name == b"error":
            error = parse_error(data)
            raise VendorFailed(f"failed while answering: {error.message or 'it gave no reason'}")
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self._finished.add(choice.index)
                self._open.discard(choice.index)
            elif choice.index not in self._finished:
                self._open.add(choice.index)
        if not data:
            return
        if self._content or _says_something(chunk):
            self._content = True
        if b"\n" in data:
            data = data.replace(b"\n", b"\ndata: ")  # each line of an event's data has the field name before it
        kind = EventKind.CONTENT if self._content else EventKind.LIFECYCLE
        frame = b"data: " + data + b"\n\n"
        items.append(Event(kind, frame))
        if self._finished:
            self._head = b""
        elif self._content and not name and b"\n" not in came and len(chunk.choices or ()) == 1:
            said_head, said_tail = _around_text(frame)
            head, tail = said_head, said_tail
            if came is not data:
                head, tail = _around_text(b"data: " + came + b"\n\n")
            if head and said_head:
                self._head, self._tail, self._said_head, self._said_tail = head, tail, said_head, said_tail

    def _usage(self, data: bytes) -> bytes:
        """Account for the usage in a chunk; the chunk without it, or ``b""`` if it held nothing else."""
        fields = _decode_fields(data)
        if "usage" not in fields:
            return data
        usage = parse_usage(fields["usage"])
        if usage is not None:
            self.usage = usage  # the last one stands: some vendors send running totals
        if not self._strip_usage:
            return data
        if usage is not None and bytes(fields.get("choices", msgspec.Raw(b"[]"))).strip() in (b"[]", b"null"):
            return b""
        del fields["usage"]
        return _encode(fields)


def _says_something(chunk: _Chunk | _FullChunk) -> bool:
    for choice in chunk.choices or ():
        if choice.finish_reason or not isinstance(choice, _FullChoice) or choice.text:
            return True
        for name, value in (choice.delta or {}).items():
            if name != "role" and bytes(value) not in _EMPTY:
                return True
    return False
