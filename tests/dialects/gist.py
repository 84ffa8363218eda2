"""What an answer says, whole or streamed, whatever form its vendor gave it; and vendors' answers to be read."""

from __future__ import annotations

import json
from typing import Any

import attrs

from llmedge.dialects import ir
from llmedge.dialects.bedrock.stream import frame
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Usage

Call = tuple[str, str, str]
"""Id, name, arguments."""


@attrs.frozen
class Gist:
    """:ivar said: texts and thoughts, each with its kind, in their order."""

    said: tuple[tuple[str, str], ...] = ()
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    stop_sequence: str = ""
    usage: Usage | None = None


def whole(dialect: str, body: Any) -> Gist:
    """:raises EdgeError: it is no answer."""
    parser: Any = DIALECTS[dialect]
    answer: ir.Answer = parser.parse_answer(json.dumps(body).encode())
    (choice,) = answer.choices
    said = tuple(
        (type(part).__name__.lower(), part.text)
        for part in choice.parts
        if isinstance(part, ir.Text | ir.Thinking | ir.Refusal)
    )
    calls = tuple((part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ir.ToolCall))
    return Gist(said, calls, choice.finish, choice.stop_sequence, answer.usage)


def streamed(dialect: str, *events: Any) -> Gist:
    """:param events: their data; of Bedrock's their name and payload.
    :raises EdgeError: they are no answer.
    """
    decoder: Any = DIALECTS[dialect].decoder(choices=1, max_event=1 << 20)  # type: ignore[attr-defined]
    if dialect == "bedrock":
        raw = b"".join(frame(name, payload) for name, payload in events)
    else:
        raw = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
        raw += b"data: [DONE]\n\n" if dialect == "openai_chat" else b""
    heard: list[ir.StreamEvent] = decoder.feed(raw)
    if decoder.broken is not None:
        raise decoder.broken
    return gist(heard if decoder.done else heard + decoder.end())


def gist(events: list[ir.StreamEvent]) -> Gist:
    """Of one choice, whose blocks are all closed."""
    opens = {event.block: event for event in events if isinstance(event, ir.Open)}
    texts = dict.fromkeys(opens, "")
    finish, usage = ir.Finish("stop"), None
    for event in events:
        if isinstance(event, ir.Delta):
            texts[event.block] += event.text
        elif isinstance(event, ir.Finish):
            finish = event
        elif isinstance(event, ir.Counted):
            usage = event.usage
    assert sorted(opens) == sorted(event.block for event in events if isinstance(event, ir.Close))
    assert isinstance(events[-1], ir.End)
    said = tuple((opened.kind, texts[block]) for block, opened in opens.items() if opened.kind != "tool")
    calls = tuple(
        (opened.tool_id, opened.name, texts[block]) for block, opened in opens.items() if opened.kind == "tool"
    )
    return Gist(said, calls, finish.reason, finish.stop_sequence, usage)


# Vendors of chats


def chat(message: dict[str, Any], finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """A whole answer. :param more: fields of the choice; of the answer behind ``top``."""
    top = more.pop("top", {})
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish} | more],
    } | top


def chunk(delta: dict[str, Any], finish: Any = None, **more: Any) -> dict[str, Any]:
    """One of a stream, likewise."""
    top = more.pop("top", {})
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish} | more]} | top


def piece(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """One of ``tool_calls``."""
    function = {"name": name, "arguments": arguments}
    return {"function": {key: value for key, value in function.items() if value is not None}} | more
