"""What the tests of the dialect share: bodies, items and streams as the API reference has them."""

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Begin, Citation, Close, Counted, Delta, End, Finish, Open, Sign
from llmedge.dialects.openai_responses import OpenAIResponses
from llmedge.dialects.rendering import RenderContext
from llmedge.model import Usage

DIALECT = OpenAIResponses()
raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "weather", "description": "Now", "parameters": SCHEMA, "strict": True}


def packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def parsed(**fields: object) -> ir.Request:
    body = packed({"model": "m", "input": "hi", **fields})
    return DIALECT.parse(DIALECT.parse_request(body).fields)


def rendered(request: ir.Request, drop: bool = False) -> tuple[dict[str, Any], list[str]]:
    context = RenderContext(DIALECT.field_names, "drop" if drop else "refuse", "it")
    return json.loads(DIALECT.render(request, "m", context, stream=False)), context.dropped


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), packed(event)) for event in events)


def response(status: str = "completed", output: list[Any] | None = None, **more: object) -> dict[str, Any]:
    """As the API reference has it."""
    return {
        "id": "resp_67ccd2bed1ec8190",
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "gpt-4.1-2025-04-14",
        "output": output or [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE if status in ("completed", "incomplete") else None,
        "user": None,
        "metadata": {},
        **more,
    }


USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 4},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
COUNTED = Usage(input=36, output=87, cached=8, cache_write=4, reasoning=64)


def message(*content: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": list(content)}


def output_text(text: str, *annotations: object) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{id}",
        "call_id": id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


URL = {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://a.example", "title": "A"}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Second."}],
    "encrypted_content": "gAAA=",
}


@dataclass
class Maker:
    """A vendor's stream, event by event, numbered."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def say(self, type: str, **fields: object) -> "Maker":
        self.events.append({"type": type, "sequence_number": len(self.events), **fields})
        return self

    def begin(self) -> "Maker":
        self.say("response.created", response=response("in_progress"))
        return self.say("response.in_progress", response=response("in_progress"))

    def text(self, index: int, *deltas: str) -> "Maker":
        place = {"item_id": "msg_1", "output_index": index, "content_index": 0}
        self.say("response.output_item.added", output_index=index, item=message(status="in_progress"))
        self.say("response.content_part.added", **place, part=output_text(""))
        for delta in deltas:
            self.say("response.output_text.delta", **place, delta=delta, logprobs=[])
        text = "".join(deltas)
        self.say("response.output_text.done", **place, text=text, logprobs=[])
        self.say("response.content_part.done", **place, part=output_text(text))
        return self.say("response.output_item.done", output_index=index, item=message(output_text(text)))

    def end(self, status: str = "completed", **more: object) -> bytes:
        self.say(f"response.{status}", response=response(status, **more))
        return sse(*self.events)


BEGIN = Begin("resp_67ccd2bed1ec8190", "gpt-4.1-2025-04-14", 1741476542)
HELLO = Maker().begin().text(0, "Hel", "lo")


def decoded(data: bytes, size: int = 0) -> list[ir.StreamEvent]:
    decoder = DIALECT.decoder(choices=1, max_event=1 << 20)
    events: list[ir.StreamEvent] = []
    size = size or len(data) or 1
    for start in range(0, len(data), size):
        events += decoder.feed(data[start : start + size])
        if decoder.broken is not None:
            raise decoder.broken
    return events + decoder.end()


def thinking_and_tools() -> bytes:
    """A thought of two summary parts, then two calls whose arguments mix."""
    maker = Maker().begin()
    maker.say("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []})
    for number, text in enumerate(("First.", "Second.")):
        place = {"item_id": "rs_1", "output_index": 0, "summary_index": number}
        part = {"type": "summary_text", "text": ""}
        maker.say("response.reasoning_summary_part.added", **place, part=part)
        maker.say("response.reasoning_summary_text.delta", **place, delta=text)
        maker.say("response.reasoning_summary_text.done", **place, text=text)
        maker.say("response.reasoning_summary_part.done", **place, part={**part, "text": text})
    maker.say("response.output_item.done", output_index=0, item=REASONING)
    for index in (1, 2):
        item = {**call(f"call_{index}", "weather", ""), "status": "in_progress"}
        maker.say("response.output_item.added", output_index=index, item=item)
    for index, delta in ((1, '{"a"'), (2, "{"), (1, ":1}"), (2, "}")):
        maker.say("response.function_call_arguments.delta", item_id=f"fc_call_{index}", output_index=index, delta=delta)
    for index, arguments in ((2, "{}"), (1, '{"a":1}')):
        item = call(f"call_{index}", "weather", arguments)
        place = {"item_id": item["id"], "output_index": index}
        maker.say("response.function_call_arguments.done", **place, arguments=arguments)
        maker.say("response.output_item.done", output_index=index, item=item)
    return maker.end()


def encoded(events: list[ir.StreamEvent], asked: ResponseContext = ResponseContext("m", "7", 5)) -> bytes:  # noqa: B008
    return b"".join(event.frame for event in DIALECT.encoder(asked).encode(events))


RICH: list[ir.StreamEvent] = [
    BEGIN,
    Open(0, "thinking"),
    Delta(0, "Hm"),
    Sign(0, "sig"),
    Close(0),
    Open(1, "thinking", signature="enc", redacted=True),
    Close(1),
    Open(2, "text"),
    Delta(2, "Zür", 0, (ir.TokenLogprob("Zür", -0.5, (90, 195, 188, 114), (ir.TokenLogprob("x", -1.0, (120,)),)),)),
    ir.Cite(2, Citation("url", "https://a.example", "A", text_start=0, text_end=5)),
    ir.Cite(2, Citation("file", file="file-1", title="a.pdf", text_start=3)),
    Close(2),
    Open(3, "text"),
    Delta(3, "two"),
    Close(3),
    Open(4, "tool", 0, "c1", "f"),
    Open(5, "tool", 0, "c2", "g"),
    Delta(5, "{"),
    Delta(4, "{}"),
    Delta(5, "}"),
    Close(4),
    Close(5),
    Open(6, "text"),
    Delta(6, "last"),
    Close(6),
    Finish("tool"),
    Counted(COUNTED),
    End(),
]
