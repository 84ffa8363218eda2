"""A call as a question: the text of its last message, and digests of all else, which has to be the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from llmedge.cache.key import Unclear, canonical, key_of
from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError
from llmedge.model import RawObject
from llmedge.operations import Operation

_TOOLS = (
    "tools",
    "functions",
    "toolConfig",
    "tool_choice",
    "function_call",
    "cachedContent",
    "cached_content",
    "prompt",
)
"""Fields with which a call is left alone: with tools, or what a vendor keeps, there is more than what is said."""
_INSTRUCTIONS = ("system", "developer")
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class Question(msgspec.Struct, frozen=True):
    """:ivar partition: digest of all but the conversation, whose instructions and number of messages are in it.

    :ivar before: digest of what was said before; ``b""`` for nothing. ``context``: that, for people and judges.
    """

    text: str
    partition: bytes
    before: bytes
    context: str


def question_of(call: Call, prefix: bytes, max_messages: int, max_chars: int) -> Question | None:
    """What is asked; ``None``: the call is none that another's answer could do for.

    :param prefix: whose the answer may be, who is asked, and how.
    """
    if call.operation is not Operation.CHAT or call.heavy or any(name in call.fields for name in _TOOLS):
        return None
    try:
        said = call.said().messages
    except EdgeError:
        return None  # only its vendor can judge it
    if not 0 < len(said) <= max_messages or said[-1].role != "user" or not all(map(_is_text, said)):
        return None
    parts = said[-1].parts
    text = parts[0].text if len(parts) == 1 and isinstance(parts[0], ir.Text) else ""
    if not text.strip() or len(text) > max_chars:
        return None
    try:
        rest, before, last = _taken_apart(call.fields, DIALECTS[call.dialect].prompt[-1], text)
        instructions = [each for each in before if _role(each) in _INSTRUCTIONS]
        turns = [each for each in before if _role(each) not in _INSTRUCTIONS]
        shape = _encode([instructions, len(turns), last])
        partition = key_of(prefix + b"\nby meaning\n" + shape, rest)
    except (Unclear, *UNREADABLE):
        return None
    context = "\n".join(f"{each.role}: {_text(each)}" for each in said[:-1] if each.role not in _INSTRUCTIONS)
    digest = blake2b(_encode(turns), digest_size=16).digest() if turns else b""
    return Question(text, partition, digest, context)


def _is_text(message: ir.Message) -> bool:
    return all(isinstance(part, ir.Text) for part in message.parts)


def _text(message: ir.Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, ir.Text))


def _role(message: Any) -> str:
    return str(message.get("role")) if isinstance(message, dict) else ""


def _taken_apart(fields: RawObject, name: str, text: str) -> tuple[RawObject, Sequence[Any], Any]:
    """All but the conversation; what was said before; the last message without its text.

    :raises Unclear: the text is not where it should be.
    """
    rest = {other: raw for other, raw in fields.items() if other != name}
    said = _decode(canonical(bytes(fields.get(name, b"null"))))
    if isinstance(said, str):
        said = [{"content": said}]
    if isinstance(said, dict):
        said = [said]
    if not isinstance(said, list) or not said or not isinstance(said[-1], dict):
        raise Unclear
    *before, last = said
    for place in ("content", "parts"):
        content = last.get(place)
        if content == text:
            return rest, before, {**last, place: ""}
        if isinstance(content, dict):
            content = [content]
        only = content[0] if isinstance(content, list) and len(content) == 1 else None
        if isinstance(only, dict) and only.get("text") == text:
            return rest, before, {**last, place: [{**only, "text": ""}]}
    raise Unclear
