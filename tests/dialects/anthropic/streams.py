"""A whole stream of the Messages dialect, written from platform.claude.com/docs/en/build-with-claude/streaming."""

import json
from typing import Any

from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.dialect import ResponseContext
from llmedge.model import Event, EventKind, Usage

CLAUDE = Anthropic()
ASKED = ResponseContext("asked", "msg_asked")
STREAMED: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def begin(index: int, kind: str, **fields: Any) -> bytes:
    return frame("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return frame("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return frame("content_block_stop", index=index)


def end(reason: str, sequence: str | None = None, details: Any = None, **counts: int) -> bytes:
    said = {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}
    return frame("message_delta", delta=said, usage={"output_tokens": 20, **counts})


START = frame(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP = frame("message_stop")
CITE = {
    "type": "char_location",
    "cited_text": "q",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 1,
    "end_char_index": 2,
    "file_id": None,
}
WHOLE = b"".join(
    (
        START,
        begin(0, "thinking", thinking="", signature=""),
        PING,
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="sig"),
        stop(0),
        begin(1, "redacted_thinking", data="enc"),
        stop(1),
        begin(2, "server_tool_use", id="s", name="web_search", input={}),
        delta(2, "input_json_delta", partial_json='{"q":1}'),
        stop(2),
        begin(3, "text", text=""),
        delta(3, "text_delta", text="Hé"),
        delta(3, "citations_delta", citation=CITE),
        stop(3),
        begin(4, "tool_use", id="t1", name="f", input={}),
        delta(4, "input_json_delta", partial_json=""),
        delta(4, "input_json_delta", partial_json='{"a": '),
        delta(4, "input_json_delta", partial_json="1.0}"),
        stop(4),
        begin(5, "tool_use", id="t2", name="g", input={}),
        stop(5),
        frame("something_new", x=1),
        end("tool_use", output_tokens_details={"thinking_tokens": 6}),
        STOP,
    )
)
FIRST, LAST = Usage(22, 1, 5, 0, 7, 3), Usage(22, 20, 5, 6, 7, 3)
EVENTS: list[ir.StreamEvent] = [
    ir.Begin("msg_1", "claude-x", 0, "default"),
    ir.Counted(FIRST),
    ir.Open(0, "thinking"),
    ir.Delta(0, "hm"),
    ir.Sign(0, "sig"),
    ir.Close(0),
    ir.Open(1, "thinking", signature="enc", redacted=True),
    ir.Close(1),
    ir.Open(2, "text"),
    ir.Delta(2, "Hé"),
    ir.Cite(2, ir.Citation("char", quote="q", document=0, start=1, end=2)),
    ir.Close(2),
    ir.Open(3, "tool", 0, "t1", "f"),
    ir.Delta(3, '{"a": '),
    ir.Delta(3, "1.0}"),
    ir.Close(3),
    ir.Open(4, "tool", 0, "t2", "g"),
    ir.Delta(4, "{}"),
    ir.Close(4),
    ir.Finish("tool"),
    ir.Counted(LAST),
    ir.End(),
]


def decode(data: bytes, step: int = 10**9) -> list[ir.StreamEvent]:
    decoder = CLAUDE.decoder(choices=1, max_event=10000)
    events: list[ir.StreamEvent] = []
    for first in range(0, len(data), step):
        events += decoder.feed(data[first : first + step])
    if not decoder.done:
        events += decoder.end()
    return events


def read(data: bytes, step: int = 10**9) -> tuple[list[Event], Usage | None]:
    reader = CLAUDE.reader(strip_usage=True, choices=1, max_event=10000)
    events: list[Event] = []
    for first in range(0, len(data), step):
        events += reader.feed(data[first : first + step])
    if not events or events[-1].kind is not EventKind.DONE:
        events += reader.end()
    return events, reader.usage


def encode(events: list[ir.StreamEvent]) -> list[Event]:
    encoder = CLAUDE.encoder(ASKED)
    return [out for event in events for out in encoder.encode([event])]


def joined(events: list[Event]) -> bytes:
    return b"".join(event.frame for event in events)


def documents(events: list[Event]) -> list[Any]:
    """The events, each strictly what the SDK's types say."""
    out = []
    for event in events:
        name, _, data = event.frame.partition(b"\n")
        document = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode(), event.frame
        STREAMED.validate_python(document, strict=True)
        out.append(document)
    return out
