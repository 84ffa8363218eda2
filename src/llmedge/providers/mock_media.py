"""What the mock answers where it does not talk: verdicts, vectors, pictures and sounds, the same each time."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
import zlib
from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.embedding_ir import EmbeddingAnswer, EmbeddingDialect
from llmedge.errors import VendorRefused
from llmedge.model import Answer, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.record import Attempt
from llmedge.streams import AwaitedStream, Batch, Reply

_encode = msgspec.json.encode
_DIMENSIONS = 256
_MOST_DIMENSIONS = 4096
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


async def answer(call: Call, attempt: Attempt, created: int) -> Reply:
    """The answer to a call of an operation that is passed through."""
    fields = {name: msgspec.json.decode(value) for name, value in call.fields.items()}
    operation, model = call.operation, attempt.target.model
    if call.upload is not None:
        size = 0
        body = call.upload.open(model)
        while data := await body.read():
            size += len(data)
        said: dict[str, Any] = {"text": f"This is a mock transcription of {size} bytes."}
        return Answer(_encode(_pictures(1, created) if operation is Operation.IMAGES_EDITS else said))
    if operation is Operation.AUDIO_SPEECH:
        sound = _silence()
        attempt.content_type, attempt.content_length = "audio/wav", len(sound)
        return MockMedia(sound)
    if operation is Operation.MODERATIONS:
        return Answer(_encode(_moderation(fields, model)))
    if operation is Operation.RERANK:
        return Answer(_encode(_ranking(fields, model)))
    return Answer(_encode(_pictures(call.choices, created)))


def embeddings(call: Call, dialect: EmbeddingDialect, model: str, created: int) -> Answer:
    """Unit vectors, each made of its input alone."""
    context = dialect.parse(call.fields)
    dimensions = context.dimensions or _DIMENSIONS
    if not 0 < dimensions <= _MOST_DIMENSIONS:
        raise VendorRefused(f"A mock vector has 1 to {_MOST_DIMENSIONS} dimensions.", param="dimensions")
    inputs = [each if isinstance(each, str) else " ".join(map(str, each)) for each in context.inputs]
    usage = Usage(sum(len(each.split()) for each in inputs))
    vectors = tuple(_vector(f"{model}\n{each}", dimensions) for each in inputs)
    said = ResponseContext(call.model, call.record.request_id, created, False, call.fields)
    return Answer(dialect.render_answer(EmbeddingAnswer(vectors, model, usage), context, said), usage)


def _vector(text: str, dimensions: int) -> tuple[float, ...]:
    raw = hashlib.shake_256(text.encode(errors="replace")).digest(4 * dimensions)
    numbers = [each / 2**31 - 1 for each in struct.unpack(f"<{dimensions}I", raw)]
    length = math.sqrt(sum(each * each for each in numbers)) or 1.0
    return tuple(each / length for each in numbers)


def _moderation(fields: dict[str, Any], model: str) -> dict[str, Any]:
    given = fields.get("input", "")
    count = len(given) if isinstance(given, list) and all(isinstance(each, str) for each in given) else 1
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    return {"id": f"modr-mock-{_digest(fields)}", "model": model, "results": [result] * count}


def _ranking(fields: dict[str, Any], model: str) -> dict[str, Any]:
    """Documents by the share of the query's words that is in them."""
    query = set(str(fields.get("query", "")).lower().split())
    documents = fields.get("documents") or []
    scored = []
    for index, document in enumerate(documents if isinstance(documents, list) else []):
        text = str(document.get("text", "") if isinstance(document, dict) else document)
        share = len(query & set(text.lower().split())) / len(query) if query else 0.0
        scored.append({"index": index, "relevance_score": share})
    scored.sort(key=lambda each: (-each["relevance_score"], each["index"]))
    top = fields.get("top_n")
    return {"id": f"rerank-mock-{_digest(fields)}", "model": model, "results": scored[: top if top else None]}


def _pictures(count: int, created: int) -> dict[str, Any]:
    return {"created": created, "data": [{"b64_json": base64.b64encode(_pixel()).decode()}] * count}


def _pixel() -> bytes:
    """One grey pixel as PNG (www.w3.org/TR/png-3, section 5)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\x80")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _silence() -> bytes:
    """A tenth of a second of silence as WAV: 8 kHz, 16 bits, one channel."""
    sound = bytes(1600)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_encode(fields)).hexdigest()[:24]


class MockMedia(AwaitedStream):
    """A body of one piece."""

    def __init__(self, body: bytes) -> None:
        self._left = [[Event(EventKind.CONTENT, body)], [Event(EventKind.DONE, b"")]]

    async def next_batch(self) -> Batch:
        return self._left.pop(0)
