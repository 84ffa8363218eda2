"""What OpenAI's chat and legacy completions share: fields, errors, usage, the shape of a stream.

Source: platform.openai.com/docs/api-reference (chat, completions, chat/streaming). Bodies are taken apart
one level deep only; every value the gateway does not touch is sent on as the bytes it came in.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from llmedge.dialects.dialect import Dialect, ResponseContext, StreamReader
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.openai_answer import check_answer, parse_error, read_usage
from llmedge.dialects.openai_chunks import DONE, ChunkReader
from llmedge.dialects.weight import is_deeper
from llmedge.errors import EdgeError, UpstreamMalformed, ValidationError
from llmedge.model import Event, EventKind, RawObject, Usage

_Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


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


def parse_body(
    raw: bytes, decoder: msgspec.json.Decoder[Any], max_depth: int, model: str = ""
) -> tuple[RawObject, Any]:
    """The same, with what OpenAI's operations have in common checked.

    :param model: where the body may name none, and does not.
    :raises ValidationError: see :func:`decode_body`; or a value out of its range.
    """
    fields, known = decode_body(raw, decoder, max_depth)
    if known.model is None:  # where it may be left out
        if not model:
            raise ValidationError("The field 'model' is required.", param="model")
        known.model = model
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

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        """A chunk for each choice, which has all that its answer had."""
        head: dict[str, Any] = dict(check_answer(body))
        try:
            choices = _decode_choices(head.pop("choices"))
        except UNREADABLE:
            raise UpstreamMalformed("answered without choices") from None
        usage = head.pop("usage", None)
        if any("message" in choice for choice in choices):
            head["object"] = "chat.completion.chunk"
        chunks: list[dict[str, Any]] = [head | {"choices": [_as_delta(choice)]} for choice in choices]
        if usage is not None and context.wants_usage:
            chunks.append(head | {"choices": [], "usage": usage})
        return [Event(EventKind.CONTENT, b"data: " + _encode(chunk) + b"\n\n") for chunk in chunks] + [DONE]

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        return ChunkReader(strip_usage=strip_usage, choices=choices, max_event=max_event)


_decode_choices = msgspec.json.Decoder(list[dict[str, Any]]).decode


def _as_delta(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of a whole answer as one of a chunk; a text's are the same."""
    if not isinstance(message := choice.get("message"), dict):
        return choice
    if calls := message.get("tool_calls"):
        message = message | {"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}
    return {name: value for name, value in choice.items() if name != "message"} | {"delta": message}
