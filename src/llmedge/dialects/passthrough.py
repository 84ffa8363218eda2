"""What is passed through: bodies are looked at as far as their model, answers as far as their usage and their end.

Sources: developers.openai.com/api/reference (moderations, images, audio), docs.cohere.com/reference/rerank. Errors
are in OpenAI's form.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.dialect import Request
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
        return read_usage(payload.usage, payload.meta)


def read_usage(usage: Any, meta: Any = None) -> Usage | None:
    """What was used, in the words of whoever says it: OpenAI's images and transcriptions (``input_tokens``), its older
    operations and rerankers (``prompt_tokens``, ``total_tokens``), Cohere (``meta.tokens``). Seconds and search units
    are no tokens: ``None``."""
    if not isinstance(usage, dict):
        usage = meta.get("tokens") if isinstance(meta, dict) else None
    if not isinstance(usage, dict):
        return None
    given, total = _count(usage, "input_tokens", "prompt_tokens"), _count(usage, "total_tokens")
    output = _count(usage, "output_tokens", "completion_tokens")
    if given is None and total is None:
        return None
    details = usage.get("input_token_details") or usage.get("input_tokens_details") or {}
    audio = _count(details, "audio_tokens") if isinstance(details, dict) else None
    read = given if given is not None else (total or 0) - (output or 0)
    return Usage(max(0, read), output or 0, audio_input=audio or 0)


def _count(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000:
            return int(value)
    return None


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
                self.usage = read_usage(payload.usage) or self.usage
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
