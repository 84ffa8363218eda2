"""Operations that a vendor has under a path of its own: what is asked of it, and what of its answer is passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmedge.call import Call
from llmedge.dialects.dialect import StreamReader
from llmedge.dialects.passthrough import PassedBytes, PassedEvents
from llmedge.errors import UpstreamMalformed
from llmedge.operations import Operation
from llmedge.providers.translation import PassThrough, Translation
from llmedge.record import Attempt

_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:[ \t]*;[\x20-\x7e]*)?")
_ALLOWED = ("application/json", "application/octet-stream", "application/x-subrip", "text/", "audio/", "image/")
_TEXTS = (Operation.AUDIO_TRANSCRIPTIONS, Operation.AUDIO_TRANSLATIONS)
"""What may be answered by a text, whatever its vendor calls it: whisper.cpp's server says HTML."""
_MANY = (Operation.IMAGES_EDITS, Operation.IMAGES_GENERATIONS)
EVENTS = "text/event-stream"
JSON = "application/json"


def note_media(attempt: Attempt, fields: Mapping[bytes, bytes], operation: Operation) -> str:
    """Note in ``attempt`` what the answer with these headers is; its media type.

    :raises UpstreamMalformed: it is of a kind that is not passed on. Pages of HTML are not: they would be run in our
        name, and come from a proxy rather than from a model.
    """
    told = fields.get(b"content-type", b"application/octet-stream").decode("latin-1").strip()
    kind = told.partition(";")[0].strip().lower()
    if len(told) > 256 or not _TYPE.fullmatch(told) or not kind.startswith(_ALLOWED) or kind == "text/html":
        if operation not in _TEXTS:
            raise UpstreamMalformed("answered with a content-type that is not passed on", cause="media_type")
        told, kind = "text/plain; charset=utf-8", "text/plain"
    attempt.content_type = told
    length = fields.get(b"content-length", b"")
    attempt.content_length = int(length) if length.isdigit() and kind != EVENTS else None
    return kind


def is_asked_for(call: Call, translation: Translation, kind: bytes) -> bool:
    """Whether an answer that is no JSON, of the media type ``kind``, is in a form of the vendor's own that the client
    asked for: vLLM gives embeddings as ``bytes`` (docs.vllm.ai, "Encoding format")."""
    if (
        call.operation is not Operation.EMBEDDINGS
        or not isinstance(translation, PassThrough)
        or b"json" in kind.lower()
    ):
        return False
    return bytes(call.fields.get("encoding_format", b"null")) not in (b"null", b'"float"', b'"base64"')


def reader_for(kind: str, call: Call, max_event: int) -> StreamReader:
    """Of an answer of the media type ``kind``."""
    if kind != EVENTS:
        return PassedBytes()
    choices = call.choices if call.operation in _MANY else 1
    return PassedEvents(max_event, 0 if call.upload is not None and call.operation in _MANY else choices)
