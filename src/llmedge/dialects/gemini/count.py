"""countTokens (ai.google.dev/api/tokens): what a request would cost to read."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import Request
from llmedge.dialects.gemini.render import render_fields
from llmedge.dialects.gemini.wire import GoogleFields, failed
from llmedge.dialects.openai_common import count_items, decode_body
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import UpstreamMalformed
from llmedge.model import RawObject

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: int | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Counted).decode


def parse_request(raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
    """A client's request. Its ``fields`` are a generateContent request's, which :meth:`Gemini.parse` reads: the body
    holds one in ``generateContentRequest``, or its ``contents`` alone.

    :raises ValidationError: the former is no object.
    """
    fields, _ = decode_body(raw, _any, max_depth)
    top = GoogleFields(fields)
    if (inner := top.object("generateContentRequest")) is not None:
        fields = inner.fields
    return Request(fields, model, False, True, 1, contents_in(fields))


def contents_in(fields: RawObject) -> int | None:
    """How many contents a request has, of which one may stand alone; ``None`` where they are none."""
    contents = fields.get("contents", msgspec.Raw(b""))
    return 1 if bytes(contents).startswith(b"{") else count_items(contents)


def forward(fields: RawObject, model: str) -> bytes:
    """The body for a vendor who speaks Gemini: always the wrapped form, which says everything."""
    if set(fields) == {"contents"}:
        return _encode(fields)
    return _encode({"generateContentRequest": {**fields, "model": f"models/{model}"}})


def render(request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str]) -> bytes:
    """The body for a vendor.

    :raises Unsupported: a field cannot be said.
    """
    out = render_fields(request, model, context, quirks)
    return _encode({"generateContentRequest": {"model": f"models/{model}", **out}})


def parse_answer(body: bytes) -> int:
    """A vendor's answer: the tokens.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    try:
        payload = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("answered with something that is not a count of tokens") from None
    if payload.error and bytes(payload.error) != b"null":
        raise failed(body, "answered with an error behind status 200")
    if payload.total_tokens is None or payload.total_tokens < 0:
        raise UpstreamMalformed("answered without a count of tokens")
    return payload.total_tokens


def render_answer(tokens: int) -> bytes:
    """An answer for a client."""
    return _encode({"totalTokens": tokens})
