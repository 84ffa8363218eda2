"""OpenAI embeddings: ``POST /embeddings`` (platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

import re
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
from llmedge.dialects.rendering import RenderContext
from llmedge.dialects.scalars import render_scalars
from llmedge.errors import UpstreamMalformed, ValidationError, VendorFailed
from llmedge.model import RawObject, Usage

_encode = msgspec.json.Encoder().encode


TASKS = {
    "query": "RETRIEVAL_QUERY",
    "search_query": "RETRIEVAL_QUERY",
    "passage": "RETRIEVAL_DOCUMENT",
    "document": "RETRIEVAL_DOCUMENT",
    "search_document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""``input_type``, which NVIDIA, Voyage and Cohere have beside OpenAI's fields, in words of their own → Google's."""
_INPUT_TYPES = {"RETRIEVAL_QUERY": "query", "QUESTION_ANSWERING": "query", "RETRIEVAL_DOCUMENT": "passage"}
"""The other way, in NVIDIA's words."""


class _EmbeddingsRequest(msgspec.Struct):
    """What is looked at where the vendor speaks this dialect too: engines have more ways to say what is embedded (vLLM
    takes ``messages``), and judge them themselves."""

    model: str
    input: Any = None


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


_LISTED = re.compile(rb'"embedding"\s*:\s*\[')
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_vector = msgspec.json.Decoder(list[float]).decode
_decoder = msgspec.json.Decoder(_EmbeddingsRequest)
_decode_answer = msgspec.json.Decoder(_Answer)
_decode_thin = msgspec.json.Decoder(_ThinAnswer)


class OpenAIEmbeddings(OpenAIDialect, EmbeddingDialect):
    name = "openai_embeddings"
    prompt = ("input",)
    field_names = {"task": "input_type"}

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = decode_body(raw, _decoder, max_depth)
        if not known.model.strip():
            raise ValidationError("The field 'model' must not be empty.", param="model")
        several = isinstance(known.input, list) and not isinstance(next(iter(known.input), None), int)
        return Request(fields, known.model, False, False, len(known.input) if several and known.input else 1, None)

    def read_answer(self, body: bytes) -> Usage | None:
        return parse_usage(_check(body, _decode_thin).usage)

    def parse(self, fields: RawObject) -> EmbeddingRequest:
        unread: list[str] = []
        top = Fields(fields, "", unread)
        top.ignore("model")
        encoding = top.text("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            top.fail("encoding_format", "must be float or base64")
        given = top.value("input")
        if given is None:
            top.fail("input", "is required")
        if given in ("", []):
            top.fail("input", "must not be empty")
        inputs, single = _inputs(given)
        dimensions, user, kind = top.integer("dimensions"), top.text("user"), top.text("input_type")
        if kind and kind not in TASKS:
            unread.append("task")
        top.finish()
        task = TASKS.get(kind, "")
        return EmbeddingRequest(inputs, single, dimensions, encoding == "base64", user, task, extra=tuple(unread))

    def render(
        self, request: EmbeddingRequest, model: str, context: RenderContext, quirks: frozenset[str] = frozenset()
    ) -> bytes:
        """Quirk ``input_type``: the vendor has a word for what the vectors are for."""
        if request.task and ("input_type" not in quirks or request.task not in _INPUT_TYPES):
            context.unsupported("task")
            request = msgspec.structs.replace(request, task="")
        return super().render(request, model, context, quirks)

    def _render(self, seen: EmbeddingRequest, model: str) -> bytes:
        inputs = [each if isinstance(each, str) else list(each) for each in seen.inputs]
        payload: dict[str, Any] = {"model": model, "input": inputs[0] if seen.single else inputs}
        render_scalars(seen, {"dimensions": "dimensions", "user": "user"}, payload)
        if seen.base64:
            payload["encoding_format"] = "base64"
        if seen.task:
            payload["input_type"] = _INPUT_TYPES[seen.task]
        return _encode(payload)

    def as_asked(self, body: bytes, fields: RawObject) -> bytes:
        """Where base64 was asked for and lists of numbers came: the vectors in base64. Some vendors do not know
        ``encoding_format``, and the SDK for JavaScript, which asks unasked, takes whatever comes for base64."""
        if bytes(fields.get("encoding_format", b"")) != b'"base64"' or _LISTED.search(body) is None:
            return body
        try:
            answer = _decode_object(body)
            packed = [{**each, "embedding": _packed(each["embedding"])} for each in _decode_list(answer["data"])]
        except (msgspec.DecodeError, KeyError):
            raise UpstreamMalformed("answered with vectors that are no lists of numbers") from None
        return _encode({**answer, "data": packed})

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


def _packed(vector: msgspec.Raw) -> msgspec.Raw | str:
    return vector if bytes(vector)[:1] == b'"' else to_base64(_decode_vector(vector))


def _inputs(given: Any) -> tuple[tuple[str | tuple[int, ...], ...], bool]:
    """The inputs, and whether it is one that stands alone: a list of numbers is the tokens of one.

    :raises ValidationError: tokens stand beside something else.
    """
    if isinstance(given, str):
        return (given,), True
    if not isinstance(given, list):
        raise ValidationError("The field 'input' must be a text or a list.", param="input")
    tokens = isinstance(given[0], int)
    inputs: list[str | tuple[int, ...]] = []
    for index, each in enumerate(given):
        good = isinstance(each, int) if tokens else isinstance(each, str) or _is_tokens(each)
        if not good or isinstance(each, bool):
            what = "a token, as the others are" if tokens else "a text, or a list of tokens"
            raise ValidationError(f"The field 'input[{index}]' must be {what}.", param=f"input[{index}]")
        inputs.append(tuple(each) if isinstance(each, list) else each)
    return ((tuple(given),), True) if tokens else (tuple(inputs), False)


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in given)


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
