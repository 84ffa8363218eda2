"""A vendor's stream that is passed on as it came (platform.openai.com/docs/api-reference/responses-streaming)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.openai_responses.envelope import failure, parse_usage
from llmedge.dialects.sse import LF, PassingReader
from llmedge.errors import UpstreamCut, UpstreamMalformed
from llmedge.model import Event, EventKind, Usage

ENDS = {"response.completed", "response.incomplete"}
"""The only events after which an answer is whole."""

FAILS = {"response.failed", "response.cancelled", "error"}

_LIFECYCLE = {
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.content_part.added",
    "response.reasoning_summary_part.added",
    "keepalive",
}
_EMPTY_ITEMS = {"message", "reasoning"}
"""Output items that say nothing yet when they are added."""


_NONE = msgspec.Raw(b"null")


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    item: msgspec.Raw = _NONE
    response: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE


class _Item(msgspec.Struct, gc=False):
    type: str = ""


class _Response(msgspec.Struct, gc=False):
    error: Any = None
    usage: msgspec.Raw = _NONE
    service_tier: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_any = msgspec.json.Decoder().decode


class EventReader(PassingReader):
    """Passes events on, says which of them are content, what was used, and refuses what is broken."""

    def __init__(self, *, max_event: int) -> None:
        super().__init__(max_event)
        self.usage: Usage | None = None
        self._content = False

    def _take(self, name: bytes, data: bytes, items: list[Event]) -> None:
        if data == b"[DONE]":  # not of this API, but some servers end every stream so
            raise UpstreamCut("ended its stream without an answer")
        try:
            if not data.isascii():
                data.decode()
            event = _decode_event(data)
            kind = self._kind(event, name, data)
        except UNREADABLE:
            raise UpstreamMalformed("sent an event that is not one of an answer") from None
        if LF in data:
            data = data.replace(b"\n", b"\ndata: ")  # each line of an event's data has the field name before it
        frame = b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data
        items.append(Event(kind, frame))

    def _kind(self, event: _Event, name: bytes, data: bytes) -> EventKind:
        """:raises EdgeError: the event says that the answer failed."""
        type = event.type or name.decode()
        if type in ENDS:
            response = _decode_response(event.response)
            self.usage = parse_usage(response.usage, response.service_tier)
            self.done = True
            return EventKind.DONE
        if type in FAILS or (not type and event.error != _NONE):
            raise failed(type, data)
        if not type:
            raise UpstreamMalformed("sent an event that is not one of an answer")
        if not self._content:
            if type in _LIFECYCLE:
                return EventKind.LIFECYCLE
            if (
                type == "response.output_item.added"
                and event.item != _NONE
                and _decode_item(event.item).type in _EMPTY_ITEMS
            ):
                return EventKind.LIFECYCLE
            self._content = True
        return EventKind.CONTENT


def failed(type: str, data: bytes) -> Exception:
    """The exception for an event that says so."""
    document = _decode_any(data)
    if not isinstance(document, dict):
        document = {}
    response = document.get("response")
    error = (response.get("error") if isinstance(response, dict) else None) or document.get("error") or document
    return failure(error, cancelled=type == "response.cancelled")
