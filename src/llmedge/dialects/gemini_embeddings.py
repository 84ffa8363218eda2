"""Gemini embeddings: ``POST /models/{model}:embedContent`` and ``:batchEmbedContents`` (ai.google.dev/api/embeddings).

The method stands in the URL, and the body tells which: a batch has ``requests``. To a vendor other dialects' requests
go as batches, whatever their number.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.dialect import Request, ResponseContext
from llmedge.dialects.embedding_ir import EmbeddingAnswer, EmbeddingDialect, EmbeddingRequest
from llmedge.dialects.gemini import usage, wire
from llmedge.dialects.gemini.wire import GoogleFields
from llmedge.dialects.openai_common import decode_body
from llmedge.dialects.scalars import render_scalars
from llmedge.errors import Unsupported, UpstreamMalformed
from llmedge.model import RawObject, Usage

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decode_list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class _Vector(msgspec.Struct):
    values: list[float]


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class _ThinAnswer(msgspec.Struct, rename="camel"):
    """As much of an answer as passing it on needs."""

    embedding: msgspec.Raw = msgspec.Raw(b"")
    embeddings: list[msgspec.Raw] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


_decode_answer = msgspec.json.Decoder(_Answer)
_decode_thin = msgspec.json.Decoder(_ThinAnswer)


class GeminiEmbeddings(EmbeddingDialect):
    name = "gemini_embeddings"
    prompt = ("content", "requests")
    heartbeat = wire.HEARTBEAT
    field_names = {"dimensions": "outputDimensionality", "task": "taskType"}

    @staticmethod
    def is_batch(fields: RawObject) -> bool:
        """Whether a body is ``batchEmbedContents``' and not ``embedContent``'s; one this class renders is."""
        return "requests" in fields

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, _ = decode_body(raw, _any, max_depth)
        top = GoogleFields(fields)
        return Request(fields, model, False, True, max(1, len(top.objects("requests"))), None)

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """The body as it came, but for the model, which each request of a batch repeats."""
        named = f"models/{model}"
        changed = dict(fields)
        if "model" in fields:
            changed["model"] = named
        if bytes(fields.get("requests") or b"")[:1] == b"[":
            changed["requests"] = [{**each, "model": named} for each in _decode_list(fields["requests"])]
        return _encode(changed)

    def read_answer(self, body: bytes) -> Usage | None:
        return usage.parse(_check(body, _decode_thin).usage_metadata)

    parse_error = staticmethod(wire.parse_error)
    error_body = staticmethod(wire.error_body)
    error_frame = staticmethod(wire.error_frame)

    def parse(self, fields: RawObject) -> EmbeddingRequest:
        unread: list[str] = []
        top = GoogleFields(fields, "", unread)
        batch = top.has("requests")
        each = top.objects("requests") if batch else [top]
        if not each:
            top.fail("requests", "must hold at least one request")
        inputs: list[str] = []
        settings: list[tuple[int | None, str, str]] = []
        for request in each:
            request.ignore("model")
            content = request.object("content")
            if content is None:
                request.fail("content", "is required")
            inputs.append(_text(content, unread))
            settings.append((request.integer("outputDimensionality"), request.text("taskType"), request.text("title")))
            if settings[-1][0] != settings[0][0]:
                unread.append(request.at("outputDimensionality"))  # no other dialect has settings for each
            request.finish()
        if batch:
            top.finish()
        dimensions = settings[0][0]
        task = _of_all(unread, "task", {each[1] for each in settings})
        title = _of_all(unread, "title", {each[2] for each in settings})
        task = "" if task == "TASK_TYPE_UNSPECIFIED" else task
        return EmbeddingRequest(tuple(inputs), not batch, dimensions, task=task, title=title, extra=tuple(unread))

    def _render(self, seen: EmbeddingRequest, model: str) -> bytes:
        shared: dict[str, Any] = {"model": f"models/{model}"}
        render_scalars(seen, {"title": "title", **self.field_names}, shared)
        requests: list[dict[str, Any]] = []
        for text in seen.inputs:
            if not isinstance(text, str):
                # Nothing that could be dropped: it is all there is.
                raise Unsupported("The field 'input' holds tokens of another vocabulary; send texts.", param="input")
            requests.append(shared | {"content": {"parts": [{"text": text}]}})
        return _encode({"requests": requests})

    def parse_answer(self, body: bytes) -> EmbeddingAnswer:
        payload = _check(body, _decode_answer)
        vectors = payload.embeddings if payload.embeddings is not None else [payload.embedding]
        return EmbeddingAnswer(tuple(tuple(each.values) for each in vectors), "", usage.parse(payload.usage_metadata))

    def render_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest, context: ResponseContext) -> bytes:
        vectors = [{"values": vector} for vector in answer.vectors]
        payload: dict[str, Any] = {"embedding": vectors[0]} if request.single else {"embeddings": vectors}
        if answer.usage is not None:
            payload["usageMetadata"] = {"promptTokenCount": answer.usage.input, "totalTokenCount": answer.usage.input}
        return _encode(payload)


def _of_all(unread: list[str], name: str, values: set[str]) -> str:
    """What all requests of a batch say; where they differ it is a hint that no other dialect can say of each."""
    if len(values) == 1:
        return values.pop()
    unread.append(name)
    return ""


def _text(content: GoogleFields, unread: list[str]) -> str:
    """One input: the texts of its parts."""
    content.ignore("role")
    texts: list[str] = []
    for part in content.objects("parts"):
        texts.append(part.text("text"))
        part.finish()  # what is no text goes into extra
    content.finish()
    if len(texts) > 1:
        unread.append(content.at("parts"))
    return "".join(texts)


def _check(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        payload = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        payload = None
    if payload is not None and payload.error and bytes(payload.error) != b"null":
        raise wire.failed(body, "answered with an error behind status 200")
    if payload is None or (not payload.embedding and payload.embeddings is None):
        raise UpstreamMalformed("answered with something that is not an embedding")
    return payload
