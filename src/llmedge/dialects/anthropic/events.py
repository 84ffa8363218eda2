"""Events of a Messages stream, as far as anybody here reads them
(platform.claude.com/docs/en/build-with-claude/streaming)."""

from __future__ import annotations

import re

import msgspec

from llmedge.errors import UpstreamMalformed

NULL = msgspec.Raw(b"null")


class Delta(msgspec.Struct, gc=False):
    """Of a block, or of the message. ``None`` is what is absent."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = NULL
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = NULL


class StreamedEvent(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
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
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NULL


class Message(msgspec.Struct, gc=False):
    """What the stream begins with."""

    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(StreamedEvent).decode
decode_block = msgspec.json.Decoder(Block).decode
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

LAST = re.compile(b'"message_stop"')


def malformed() -> UpstreamMalformed:
    return UpstreamMalformed("sent an event that is not one of a message")
