"""One GenerateContentResponse, whole or a piece of a stream, decoded (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.gemini.citations import Grounding, Logprobs, Recitation
from llmedge.dialects.lenient import UNREADABLE
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
    "MALFORMED_FUNCTION_CALL": "malformed",
    "MALFORMED_RESPONSE": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "TOO_MANY_TOOL_CALLS": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "malformed",
}
"""Google's reasons and ours. What it adds to them counts as ``stop``."""

REASONS: dict[ir.FinishReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool": "STOP",
    "pause": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
    "malformed": "MALFORMED_FUNCTION_CALL",
}


class Call(msgspec.Struct, gc=False):
    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")


class Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    file_uri: str | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None
    file_data: Blob | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int | None = None
    grounding_metadata: Grounding | None = None
    citation_metadata: Recitation | None = None
    logprobs_result: Logprobs | None = None


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[Candidate] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"")
    prompt_feedback: Feedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(Chunk).decode
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")


def decode(data: bytes, what: str) -> Chunk:
    """:raises UpstreamMalformed: it is none; ``what`` says what it was to be."""
    try:
        return _decode(data)
    except UNREADABLE:
        raise UpstreamMalformed(what) from None


def blocked(chunk: Chunk) -> bool:
    """The prompt was refused: there are no candidates, and there will be none."""
    return not chunk.candidates and chunk.prompt_feedback is not None and bool(chunk.prompt_feedback.block_reason)


def created(chunk: Chunk) -> int:
    """``createTime`` (RFC 3339) in seconds since the epoch; 0 for none."""
    try:
        return int(datetime.fromisoformat(chunk.create_time).timestamp()) if chunk.create_time else 0
    except (ValueError, OverflowError):
        return 0


def timestamp(seconds: int) -> str:
    """The opposite; of what is no year of ours, its beginning."""
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        when = datetime.fromtimestamp(0, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def call_id(call: Call, response: str, choice: int, number: int) -> str:
    """A call's id. An invented one names the answer, so that no two calls of a conversation have the same, and keeps
    to what every vendor takes: letters, digits, ``_`` and ``-``, 40 at most."""
    if call.id:
        return call.id
    answer = _NOT_ID.sub("", response)[-24:]
    return "_".join(["call", *([answer] if answer else []), *([str(choice)] if choice else []), str(number)])


def arguments(call: Call) -> str:
    """:raises UpstreamMalformed: they are no object."""
    raw = bytes(call.args)
    if raw == b"null":
        return "{}"
    if raw[:1] != b"{":
        raise UpstreamMalformed("called a function with arguments that are not an object")
    return raw.decode()


def head(id: str, model: str, seconds: int) -> dict[str, Any]:
    """The fields of an answer that each chunk repeats."""
    out: dict[str, Any] = {"modelVersion": model, "responseId": id}
    if seconds:
        out["createTime"] = timestamp(seconds)
    return out


def texts_of(parts: Sequence[dict[str, Any]]) -> list[str | None]:
    """The texts of the answer among rendered parts, ``None`` for what is none."""
    return [None if part.get("thought") else part.get("text") for part in parts]
