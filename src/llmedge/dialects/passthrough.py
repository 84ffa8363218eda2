"""What is passed through: bodies are looked at as far as their model, answers as far as their usage and their end.

Sources: developers.openai.com/api/reference (moderations, images, audio), docs.cohere.com/reference/rerank. Errors
are in OpenAI's form.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmedge.dialects.billing import told_cost
from llmedge.dialects.dialect import Request
from llmedge.dialects.lenient import UNREADABLE, count
from llmedge.dialects.openai_answer import parse_error
from llmedge.dialects.openai_common import OpenAIDialect, decode_body
from llmedge.dialects.sse import PassingReader
from llmedge.errors import UpstreamCut, UpstreamMalformed, ValidationError, VendorFailed
from llmedge.model import Event, EventKind, RawObject, Usage

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Known(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_format: str | None = None
    n: int | None = None


class _Thin(msgspec.Struct):
    """As much of an answer or an event as is looked at."""

    type: str | None = None
    usage: Any = None
    meta: Any = None
    error: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")
    duration: Any = None


_NULL = msgspec.Raw(b"null")


class _Picture(msgspec.Struct):
    """One of those that were made."""

    b64_json: msgspec.Raw = _NULL
    url: msgspec.Raw = _NULL


_decode_pictures = msgspec.json.Decoder(list[_Picture]).decode
_decode_known = msgspec.json.Decoder(_Known)
_decode_thin = msgspec.json.Decoder(_Thin).decode

TERMINAL = {
    "speech.audio.": "speech.audio.done",
    "transcript.text.": "transcript.text.done",
    "image_generation.": "image_generation.completed",
    "image_edit.": "image_edit.completed",
}
"""How a stream's events begin → the event without which it is not whole."""


class PassedThrough(OpenAIDialect):
    """Whatever a vendor has under one of these paths."""

    name = "passthrough"

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        """:param model: where the body names none."""
        fields, known = decode_body(raw, _decode_known, max_depth)
        name = known.model or model
        if known.model is None and not model:
            raise ValidationError("The field 'model' is required.", param="model")
        if not name.strip():
            raise ValidationError("The field 'model' must not be empty.", param="model")
        streamed = bool(known.stream) or known.stream_format == "sse"
        return Request(fields, name, streamed, False, max(1, known.n or 1), None)

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        return _encode({**fields, "model": model})

    def read_answer(self, body: bytes) -> Usage | None:
        try:
            if not body.isascii():
                body.decode()
            if body.lstrip()[:1] == b"[":
                msgspec.json.decode(body, type=list[msgspec.Raw])
                return None
            payload = _decode_thin(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamMalformed("answered with something that is not JSON") from None
        if payload.error:
            error = parse_error(body)
            raise VendorFailed(f"answered with an error behind status 200: {error.message}", cause="error_body")
        seconds = {"seconds": payload.duration} if payload.usage is None and payload.duration is not None else None
        usage = read_usage(payload.usage or seconds, payload.meta)
        return with_pictures(usage, _pictures(payload.data)) if payload.data else usage


def read_usage(usage: Any, meta: Any = None) -> Usage | None:
    """What was used, in the words of whoever says it: OpenAI's images and transcriptions (``input_tokens``, or
    ``seconds``), its older operations and rerankers (``prompt_tokens``, ``total_tokens``), Cohere (``meta.tokens``).
    Search units are neither: ``None``."""
    if not isinstance(usage, dict):
        usage = meta.get("tokens") if isinstance(meta, dict) else None
    if not isinstance(usage, dict):
        return None
    given, total = _count(usage, "input_tokens", "prompt_tokens"), _count(usage, "total_tokens")
    output = _count(usage, "output_tokens", "completion_tokens") or 0
    sound, cost = _milliseconds(usage.get("seconds")), told_cost(usage)
    if given is None and total is None and not sound and cost is None:
        return None
    read = usage.get("input_token_details") or usage.get("input_tokens_details")
    return Usage(
        max(0, given if given is not None else (total or 0) - output),
        output,
        cached=count(read, "cached_tokens"),
        audio_input=count(read, "audio_tokens"),
        image_input=count(read, "image_tokens"),
        image_output=count(usage.get("output_tokens_details"), "image_tokens"),
        audio_ms=sound,
        cost=cost,
    )


def with_pictures(usage: Usage | None, pictures: int) -> Usage | None:
    """``usage`` of an answer that has so many pictures: their tokens are all that was written, if not told apart."""
    if not pictures:
        return usage
    usage = usage or Usage()
    return msgspec.structs.replace(usage, images=pictures, image_output=usage.image_output or usage.output)


def _pictures(data: msgspec.Raw) -> int:
    try:
        return sum(each.b64_json != _NULL or each.url != _NULL for each in _decode_pictures(data))
    except UNREADABLE:
        return 0


def _milliseconds(seconds: Any) -> int:
    """Of a number, which older transcriptions tell as a text (``duration``)."""
    if isinstance(seconds, str) and _NUMBER.fullmatch(seconds):
        seconds = float(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 10**6:
        return 0
    return round(seconds * 1000)


_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")


def _count(usage: dict[str, Any], *names: str) -> int | None:
    """The first that is told, and can be read."""
    return next((found for name in names if (found := count(usage, name)) or usage.get(name) == 0), None)


class PassedEvents(PassingReader):
    """Events, each passed on as it came.

    :param choices: terminal events there will be; 0 where that is not known: then HTTP tells the end.
    """

    def __init__(self, max_event: int, choices: int) -> None:
        super().__init__(max_event)
        self.usage: Usage | None = None
        self._choices = choices
        self._seen = 0
        self._owed = ""
        self._any = False

    @property
    def complete(self) -> bool:
        return bool(self._choices) and self._seen >= self._choices

    def _take(self, name: bytes, data: bytes, items: list[Event]) -> None:
        self._any = True
        frame = b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
        if name:
            frame = b"event: " + name + b"\n" + frame
        if data == b"[DONE]":
            self._owed = ""
            items.append(Event(EventKind.DONE, frame))
            self.done = True
            return
        try:
            payload = _decode_thin(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.lstrip()[:1] == b"{":
                raise UpstreamMalformed("sent an event that cannot be read") from None
            payload = _Thin()  # whatever it is, it is the client's
        kind = payload.type or name.decode("utf-8", "replace")
        if kind == "error" or payload.error:
            raise VendorFailed(f"failed within its answer: {parse_error(data).message}", cause="error_event")
        for prefix, last in TERMINAL.items():
            if kind == last:
                self._seen += 1
                self._owed = ""
                made = self._seen if kind.startswith("image_") else 0
                self.usage = with_pictures(read_usage(payload.usage) or self.usage, made)
            elif kind.startswith(prefix):
                self._owed = last
        items.append(Event(EventKind.CONTENT, frame))

    def _end(self, items: list[Event]) -> None:
        if self._owed or not self._any:
            raise UpstreamCut("closed the connection before its answer was complete")
        self.done = True
        items.append(Event(EventKind.DONE, b""))


class PassedBytes:
    """A body of any kind, which HTTP tells the end of."""

    usage: Usage | None = None
    cut = False
    complete = False
    broken = None

    def feed(self, data: bytes) -> list[Event]:
        return [Event(EventKind.CONTENT, data)]

    def end(self) -> list[Event]:
        return [Event(EventKind.DONE, b"")]
