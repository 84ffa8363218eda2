"""The cases, in no dialect: what is asked, what is answered, and what each vendor tells beside it."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec

from llmedge.model import Usage

CASES = {
    "plain": "a question",
    "system": "system prompt",
    "turns": "several turns",
    "image": "image",
    "tool": "tool call",
    "parallel": "parallel tool calls",
    "result": "tool results",
    "schema": "JSON schema",
    "thinking": "thinking",
    "stop": "stop sequence",
    "max_tokens": "max tokens",
    "refusal": "refusal",
}
"""Name → how the documentation calls it. The errors are cases as well; they have no request of their own."""

MODELS = {
    "openai_chat": "gpt-x",
    "openai_responses": "gpt-x",
    "anthropic": "claude-x",
    "gemini": "gemini-3.1-pro",
    "bedrock": "us.anthropic.claude-x",
}
REQUEST_ID, ASKED_MODEL, NOW = "request_1", "asked-model", 1_800_000_000
CREATED, CREATED_TIME = 1_700_000_000, "2023-11-14T22:13:20Z"

QUESTION = "What is the weather in Łódź? 🌦"
SYSTEM = 'Be brief.\nNo "quotes".'
EARLIER = ("Hi", "Hello! How can I help?")
IMAGE = "iVBORw0KGgo="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALLS = (("call_1", "weather", '{"city":"Łódź"}'), ("call_2", "weather", '{"city":"Gdańsk \\"old\\""}'))
RESULTS = ("14 °C", "12 °C")
SIGNATURE = "c2lnbmF0dXJl"
THOUGHT = ("Let me ", "think. 🤔")
REFUSAL = "I cannot help with that."
STOP = "END"
EFFORT, BUDGET = "medium", 8192
"""The same on the scale of ``effort.py``."""

TOOL = ("weather", "The weather now")

Part = tuple[str, Any]
"""``("text", pieces)``, ``("thinking", pieces)``, ``("call", (id, name, pieces))``, ``("refusal", text)``."""


@attrs.frozen
class Told:
    """An answer, as far as its vendor can tell it. ``signature`` is the thought's."""

    parts: tuple[Part, ...]
    finish: str
    usage: Usage
    id: str = ""
    model: str = ""
    created: int = 0
    stop_sequence: str = ""


@attrs.frozen
class Vendor:
    """What a vendor's dialect can tell of an answer.

    :ivar usage: of the counts, those it has words for.
    :ivar stops: it says which stop sequence ended the answer.
    :ivar refusal: how an answer ends that was refused; ``part``: the refusal stands in a field of its own.
    :ivar call_pieces: of how many pieces the arguments of a streamed call are.
    """

    id: str
    model: str
    created: int
    usage: Usage
    stops: bool
    refusal: str
    part: bool
    call_pieces: int


_ALL = Usage(input=20, output=9, cached=4, reasoning=3, cache_write=2)
VENDORS = {
    "openai_chat": Vendor("chatcmpl_1", "vendor-model", CREATED, _ALL, False, "refusal", True, 2),
    "openai_responses": Vendor("resp_1", "vendor-model", CREATED, _ALL, False, "refusal", True, 2),
    "anthropic": Vendor("msg_1", "vendor-model", 0, _ALL, True, "refusal", False, 2),
    "gemini": Vendor(
        "g1", "vendor-model", CREATED, msgspec.structs.replace(_ALL, cache_write=0), False, "filter", False, 1
    ),
    "bedrock": Vendor("", "", 0, msgspec.structs.replace(_ALL, reasoning=0), True, "filter", False, 2),
}
"""Dialect → what is inherent in it: Anthropic and Bedrock tell no time, Bedrock neither an id nor its model; only those
two say which sequence stopped them; Gemini counts no tokens written to a cache, Bedrock none of thought; a refusal is a
field in OpenAI's dialects, elsewhere a text and a reason; Gemini's calls come whole."""


def told(vendor: str, case: str, streamed: bool) -> Told:
    """The answer of ``vendor`` in a case."""
    by = VENDORS[vendor]
    finish, parts, stop = "stop", (("text", ("It is ", "sunny. ☀")),), ""
    if case in ("tool", "parallel"):
        finish = "tool"
        pieces = by.call_pieces if streamed else 1
        calls = CALLS[:1] if case == "tool" else CALLS
        parts = tuple(("call", (id, name, _split(text, pieces))) for id, name, text in calls)  # type: ignore[misc]
    elif case == "schema":
        parts = (("text", _split(CALLS[0][2], 2)),)  # type: ignore[assignment]
    elif case == "thinking":
        parts = (("thinking", THOUGHT), *parts)
    elif case == "stop" and by.stops:
        finish, stop = "stop_sequence", STOP
    elif case == "max_tokens":
        finish = "length"
    elif case == "refusal":
        finish = by.refusal
        parts = (("refusal", REFUSAL) if by.part else ("text", (REFUSAL,)),)  # type: ignore[assignment]
    return Told(parts, finish, by.usage, by.id, by.model, by.created, stop)


def _split(text: str, pieces: int) -> tuple[str, ...]:
    return (text,) if pieces == 1 else (text[:5], text[5:])


def dump(value: Any) -> str:
    """JSON without spaces, as clients and vendors send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sse(*events: tuple[str, Any], end: str = "\n") -> bytes:
    """Server-sent events: a name (``""`` for none) and an object or a text each."""
    out = ""
    for name, data in events:
        out += (
            f"event: {name}{end}" if name else ""
        ) + f"data: {data if isinstance(data, str) else dump(data)}{end}{end}"
    return out.encode()


def unsse(data: bytes) -> list[tuple[str, Any]]:
    """The opposite, read by nobody's parser but this."""
    events: list[tuple[str, Any]] = []
    for block in data.decode().replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if lines:
            said = lines["data"]
            events.append((lines.get("event", ""), json.loads(said) if said[0] == "{" else said))
    return events
