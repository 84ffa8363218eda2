"""OpenAI embeddings: ``POST /embeddings`` (platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.dialect import Request, ResponseContext
from llmedge.dialects.embedding_ir import (
    EmbeddingAnswer,
    EmbeddingDialect,
    EmbeddingRequest,
    from_base64,
    to_base64,
)
from llmedge.dialects.fields import Fields
from llmedge.dialects.openai_answer import parse_error, parse_usage
from llmedge.dialects.openai_common import OpenAIDialect, decode_body
from llmedge.dialects.scalars import render_scalars
from llmedge.errors import UpstreamMalformed, ValidationError, VendorFailed
from llmedge.model import RawObject, Usage

_encode = msgspec.json.Encoder().encode


class _EmbeddingsRequest(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


class _Vector(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _ThinAnswer(msgspec.Struct):
    """As much of an answer as passing it on needs."""

    data: list[msgspec.Raw] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_EmbeddingsRequest)
_decode_answer = msgspec.json.Decoder(_Answer)
_decode_thin = msgspec.json.Decoder(_ThinAnswer)


class OpenAIEmbeddings(OpenAIDialect, EmbeddingDialect):
    name = "openai_embeddings"
    prompt = ("input",)

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = decode_body(raw, _decoder, max_depth)
        if not known.model.strip():
            raise ValidationError("The field 'model' must not be empty.", param="model")
        if known.input in ("", []):
            raise ValidationError("The field 'input' must not be empty.", param="input")
        inputs, _ = _inputs(known.input)
        return Request(fields, known.model, False, False, len(inputs), None)

    def read_answer(self, body: bytes) -> Usage | None:
        return parse_usage(_check(body, _decode_thin).usage)

    def parse(self, fields: RawObject) -> EmbeddingRequest:
        unread: list[str] = []
        top = Fields(fields, "", unread)
        top.ignore("model")
        encoding = top.text("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            top.fail("encoding_format", "must be float or base64")
        inputs, single = _inputs(top.value("input"))
        dimensions, user = top.integer("dimensions"), top.text("user")
        top.finish()
        return EmbeddingRequest(inputs, single, dimensions, encoding == "base64", user, extra=tuple(unread))

    def _render(self, seen: EmbeddingRequest, model: str) -> bytes:
        inputs = [each if isinstance(each, str) else list(each) for each in seen.inputs]
        payload: dict[str, Any] = {"model": model, "input": inputs[0] if seen.single else inputs}
        render_scalars(seen, {"dimensions": "dimensions", "user": "user"}, payload)
        if seen.base64:
            payload["encoding_format"] = "base64"
        return _encode(payload)

    def parse_answer(self, body: bytes) -> EmbeddingAnswer:
        payload = _check(body, _decode_answer)
        data = payload.data or []
        if all(each.index is not None for each in data):
            data = sorted(data, key=lambda each: each.index or 0)
        vectors = tuple(
            from_base64(each.embedding) if isinstance(each.embedding, str) else tuple(each.embedding) for each in data
        )
        return EmbeddingAnswer(vectors, payload.model or "", parse_usage(payload.usage))

    def render_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest, context: ResponseContext) -> bytes:
        usage = answer.usage or Usage()
        data = [
            {"object": "embedding", "index": index, "embedding": to_base64(vector) if request.base64 else vector}
            for index, vector in enumerate(answer.vectors)
        ]
        counts = {"prompt_tokens": usage.input, "total_tokens": usage.input + usage.output}
        return _encode({"object": "list", "data": data, "model": answer.model or context.model, "usage": counts})


def _inputs(given: Any) -> tuple[tuple[str | tuple[int, ...], ...], bool]:
    """The inputs, and whether it is one that stands alone: a list of numbers is the tokens of one.

    :raises ValidationError: tokens stand beside something else.
    """
    if isinstance(given, str):
        return (given,), True
    tokens = bool(given) and isinstance(given[0], int)
    for index, each in enumerate(given):
        if isinstance(each, int) is not tokens:
            what = "a token, as the others are" if tokens else "a text, or a list of tokens"
            raise ValidationError(f"The field 'input[{index}]' must be {what}.", param=f"input[{index}]")
    if tokens:
        return (tuple(given),), True
    return tuple(each if isinstance(each, str) else tuple(each) for each in given), False


def _check(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        payload = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        payload = None
    if payload is not None and bytes(payload.error) != b"null":
        raise VendorFailed(f"answered with an error behind status 200: {parse_error(body).message}")
    if payload is None or payload.data is None:
        raise UpstreamMalformed("answered with something that is not a list of embeddings")
    return payload
