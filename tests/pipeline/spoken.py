"""Streams of every dialect that say what a test wants, in the pieces it wants, and what a client reads of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Event, Usage
from llmedge.operations import Operation
from llmedge.pipeline.said import codec, read_frames
from tests.guards import made
from tests.pipeline.harness import Stream

DIALECT_NAMES = ("openai_chat", "openai_responses", "anthropic", "gemini", "openai_text")


def call_of(dialect: str, clock: Any, **more: Any) -> Call:
    operation = Operation.TEXT if dialect == "openai_text" else Operation.CHAT
    return made.call({"model": "m"}, dialect, operation, clock, stream=True, **more)


def events_of(call: Call, blocks: Sequence[tuple[str, Sequence[str]]]) -> list[list[Event]]:
    """The frames of an answer: blocks of a kind (``text``, ``thinking``, ``tool``), each text in pieces; one list for
    what comes together."""
    _, encoder = codec(call)
    said: list[list[ir.StreamEvent]] = [[ir.Begin("id", "up", 1)]]
    for number, (kind, pieces) in enumerate(blocks):
        named = {"tool_id": f"call_{number}", "name": "look_up"} if kind == "tool" else {}
        said[-1].append(ir.Open(number, kind, **named))  # type: ignore[arg-type]
        said += [[ir.Delta(number, piece)] for piece in pieces if piece]
        said[-1].append(ir.Close(number))
    last = "tool" if any(kind == "tool" for kind, _ in blocks) else "stop"
    said.append([ir.Finish(last), ir.Counted(Usage(3, 4)), ir.End()])  # type: ignore[arg-type]
    batches = [encoder.encode(each) for each in said]
    return [batch for batch in batches if batch]


@attrs.define
class Read:
    """What a client has read: by block, its kind and text; and why it ended."""

    blocks: list[tuple[str, str]]
    finish: str
    frames: list[bytes]


def read(call: Call, batches: Sequence[list[Event]]) -> Read:
    decoder, _ = codec(call)
    texts: dict[int, list[str]] = {}
    kinds: dict[int, str] = {}
    finish = ""
    for batch in batches:
        for event in read_frames(decoder, batch):
            if isinstance(event, ir.Open):
                kinds[event.block] = event.kind
                texts[event.block] = []
            elif isinstance(event, ir.Delta):
                texts[event.block].append(event.text)
            elif isinstance(event, ir.Finish):
                finish = event.reason
    blocks = [(kinds[block], "".join(texts[block])) for block in kinds]
    return Read(blocks, finish, [event.frame for batch in batches for event in batch])


class Script(Stream):
    """A vendor's stream that tells what it has used at its end."""

    @property
    def usage(self) -> Usage:
        return Usage(3, 4)


def names(kinds: Sequence[str], dialect: str) -> list[str]:
    """Those of ``kinds`` that a dialect has."""
    return ["text"] if dialect == "openai_text" else list(kinds)


assert set(DIALECT_NAMES) <= set(DIALECTS)
