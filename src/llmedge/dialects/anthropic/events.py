"""Events of a Messages stream, as far as anybody here reads them
(platform.claude.com/docs/en/build-with-claude/streaming)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmedge.dialects import lenient
from llmedge.errors import UpstreamMalformed

NULL = msgspec.Raw(b"null")


class Delta(msgspec.Struct, gc=False):
    """Of a block, or of the message. ``None`` is what is absent."""

    type: Any = None
    text: str | None = None
    partial_json: msgspec.Raw = NULL
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = NULL
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: msgspec.Raw = NULL


class StreamedEvent(msgspec.Struct, gc=False):
    type: str = ""
    index: Any = None
    delta: Delta | None = None
    content_block: msgspec.Raw = NULL
    message: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL


class Block(msgspec.Struct, gc=False):
    """What a block begins with."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: Any = None
    name: str | None = None
    input: msgspec.Raw = NULL


class Message(msgspec.Struct, gc=False):
    """What the stream begins with."""

    id: Any = None
    model: Any = None
    usage: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(StreamedEvent).decode
_decode_block = msgspec.json.Decoder(Block).decode
decode_message = msgspec.json.Decoder(Message).decode

KINDS = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
)
"""Those that are read here; the API may add others."""

_BLOCKS = ("", "text", "thinking", "redacted_thinking", "tool_use")
DELTAS = ("", "text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta")
"""Kinds of deltas that are read here."""

LAST = re.compile(b'"message_stop"')


def decode_block(data: bytes | msgspec.Raw) -> Block:
    """What a block begins with; of a kind that is not read here, whose fields may be anything, the type alone.

    :raises msgspec.DecodeError: it is none.
    """
    try:
        return _decode_block(data)
    except msgspec.ValidationError:
        kind = lenient.text(lenient.decode(data), "type")
        if kind in _BLOCKS:
            raise
        return Block(kind)


def malformed() -> UpstreamMalformed:
    return UpstreamMalformed("sent an event that is not one of a message")
