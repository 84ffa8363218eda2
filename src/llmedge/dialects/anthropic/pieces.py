"""A whole message as the events of a stream (platform.claude.com/docs/en/build-with-claude/streaming): nothing of it is
lost, also what the IR has no words for."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.anthropic.answer import check
from llmedge.model import Event, EventKind

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

_DELTAS = {
    "text": {"text": "text_delta"},
    "thinking": {"thinking": "thinking_delta", "signature": "signature_delta"},
}
"""Kind of block → the fields of it that come in deltas, and those of what type."""


def pieces(body: bytes) -> list[Event]:
    """:raises UpstreamMalformed: it is no message. :raises VendorFailed: it is an error."""
    check(body).objects("content")
    message = _decode(body)
    end = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details") if name in message}
    begun = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    begun.pop("stop_details", None)
    out = [_event("message_start", EventKind.LIFECYCLE, message=begun)]
    for index, block in enumerate(message["content"]):
        start, deltas = _parts(block)
        out.append(_event("content_block_start", EventKind.CONTENT, index=index, content_block=start))
        out += [_event("content_block_delta", EventKind.CONTENT, index=index, delta=delta) for delta in deltas]
        out.append(_event("content_block_stop", EventKind.CONTENT, index=index))
    out.append(_event("message_delta", EventKind.CONTENT, delta=end, usage=message.get("usage") or {}))
    out.append(_event("message_stop", EventKind.DONE))
    return out


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and its deltas. What has no deltas comes in its beginning."""
    if "input" in block:  # a tool's call, also of the vendor's own
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": _encode(block["input"]).decode()}]
    start, deltas = dict(block), []
    for name, kind in _DELTAS.get(block.get("type", ""), {}).items():
        if block.get(name):
            start[name] = ""
            deltas.append({"type": kind, name: block[name]})
    for cite in block.get("citations") or ():
        start["citations"] = []
        deltas.append({"type": "citations_delta", "citation": cite})
    return start, deltas


def _event(kind: str, what: EventKind, **fields: Any) -> Event:
    return Event(what, b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields})))
