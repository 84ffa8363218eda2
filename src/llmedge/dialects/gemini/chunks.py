"""One GenerateContentResponse, whole or a piece of a stream, decoded (ai.google.dev/api/generate-content)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.gemini.citations import NULL
from llmedge.dialects.lenient import UNREADABLE, arguments, flat, text
from llmedge.errors import UpstreamMalformed

FINISH: dict[str, ir.FinishReason] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "NO_IMAGE": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "OTHER": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "IMAGE_OTHER": "filter",
    "MODEL_ARMOR": "filter",
    "ESCALATION": "filter",
}
"""Google's reasons and ours, but for those that say that there is no answer (``endings.py``). What it adds to them
counts as ``stop``."""

REASONS: dict[ir.FinishReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool": "STOP",
    "pause": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}


class Call(msgspec.Struct, gc=False):
    name: Any = None
    id: Any = None
    args: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def identifier(self) -> str:
        return self.id if isinstance(self.id, str) else ""

    @property
    def arguments(self) -> str:
        return arguments(self.args) or "{}"


class Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    file_uri: str | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: Any = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None
    file_data: Blob | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part | None] | Part | None = None

    @property
    def said(self) -> list[Part]:
        parts = self.parts
        return [parts] if isinstance(parts, Part) else [part for part in parts or () if part is not None]


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: Content | None = None
    finish_reason: Any = None
    index: Any = None
    grounding_metadata: msgspec.Raw = NULL
    citation_metadata: msgspec.Raw = NULL
    logprobs_result: msgspec.Raw = NULL


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[Candidate | None] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")
    prompt_feedback: Any = None
    model_version: Any = None
    response_id: Any = None
    create_time: Any = None
    error: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(Chunk).decode


def decode(data: bytes, what: str) -> Chunk:
    """:raises UpstreamMalformed: it is none; ``what`` says what it was to be."""
    try:
        return _decode(data)
    except UNREADABLE:
        raise UpstreamMalformed(what) from None


def blocked(chunk: Chunk) -> bool:
    """The prompt was refused: there are no candidates, and there will be none."""
    return not chunk.candidates and bool(text(chunk.prompt_feedback, "blockReason"))


def created(chunk: Chunk) -> int:
    """``createTime`` (RFC 3339) in seconds since the epoch; 0 for none."""
    try:
        return int(datetime.fromisoformat(chunk.create_time).timestamp()) if chunk.create_time else 0
    except (ValueError, OverflowError, TypeError):
        return 0


def timestamp(seconds: int) -> str:
    """The opposite; of what is no year of ours, its beginning."""
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        when = datetime.fromtimestamp(0, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def finish_of(reason: Any, called: bool) -> ir.FinishReason:
    """:raises VendorFailed: it says that there is no answer."""
    check_end(reason)
    return with_calls(FINISH.get(flat(reason) or "STOP", "stop"), called)


def head(id: str, model: str, seconds: int) -> dict[str, Any]:
    """The fields of an answer that each chunk repeats."""
    out: dict[str, Any] = {"modelVersion": model, "responseId": id}
    if seconds:
        out["createTime"] = timestamp(seconds)
    return out


def texts_of(parts: Sequence[dict[str, Any]]) -> list[str | None]:
    """The texts of the answer among rendered parts, ``None`` for what is none."""
    return [None if part.get("thought") else part.get("text") for part in parts]
