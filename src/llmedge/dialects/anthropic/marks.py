"""Marks of a prompt cache in a Messages request that is passed on: every value that gets none stays the bytes received
(platform.claude.com/docs/en/build-with-claude/prompt-caching)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.config.prompt_caches import BYTES_A_TOKEN, PromptCache
from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import RawObject

_Object = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(_Object).decode
_decode_text = msgspec.json.Decoder(str).decode
_KINDS = frozenset({b'"text"', b'"image"', b'"document"', b'"tool_result"', b'"search_result"'})
"""Blocks of the user's that take a mark. One without text does not, nor does a tool whose loading is deferred."""
_MARK = b'"cache_control"'


def set_marks(fields: RawObject, cache: PromptCache, ttl: str) -> RawObject:
    """``fields`` with a mark behind the tools, one behind ``system`` and one behind the user's last turn, each where
    what is before it is long enough; as they are, where the client set a mark of its own or they cannot be read."""
    try:
        if _is_marked(fields):
            return fields
        return {**fields, **_marked(fields, cache.least * BYTES_A_TOKEN, _mark(cache.ttl(ttl)))}
    except UNREADABLE:
        return fields  # its vendor says what is wrong with it


def _mark(ttl: str) -> msgspec.Raw:
    return msgspec.Raw(_encode({"type": "ephemeral"} | ({"ttl": ttl} if ttl != "5m" else {})))


def _is_marked(fields: RawObject) -> bool:
    if _is_set(fields.get("cache_control")):
        return True
    for name in ("tools", "system", "messages"):
        raw = bytes(fields.get(name, b""))
        if _MARK in raw and _has_mark(raw):  # a schema may have a property of that name
            return True
    return False


def _is_set(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) != b"null"


def _has_mark(raw: bytes) -> bool:
    """Whether one of a list of tools, messages or blocks has a mark, or a block within one has."""
    if raw[:1] != b"[":
        return False
    for item in map(_decode_object, _decode_items(raw)):
        content = item.get("content")
        if _is_set(item.get("cache_control")) or (content is not None and _has_mark(bytes(content))):
            return True
    return False


def _marked(fields: RawObject, least: int, mark: msgspec.Raw) -> dict[str, Any]:
    """The fields that get a mark, with it."""
    out: dict[str, Any] = {}
    tools, system, messages = (bytes(fields.get(name, b"")) for name in ("tools", "system", "messages"))
    size = len(tools)
    if size >= least and (marked := _tools(_decode_items(tools), mark)) is not None:
        out["tools"] = marked
    size += len(system)
    if size >= least and (marked := _content(system, mark)) is not None:
        out["system"] = marked
    turns = _decode_items(messages)
    if _is_long(turns, least - size):
        for at in range(len(turns) - 1, -1, -1):
            turn = _decode_object(turns[at])
            if bytes(turn.get("role", b"")) != b'"user"':
                continue
            if (marked := _content(bytes(turn.get("content", b"")), mark)) is not None:
                turns[at] = msgspec.Raw(_encode(turn | {"content": marked}))
                out["messages"] = msgspec.Raw(_encode(turns))
                break
    return out


def _is_long(turns: list[msgspec.Raw], least: int) -> bool:
    """Whether the texts in ``turns`` have that many bytes: no longer is looked than it takes."""
    for turn in turns:
        if least <= 0:
            break
        content = bytes(_decode_object(turn).get("content", b""))
        if content[:1] != b"[":
            least -= len(content)
            continue
        for block in map(_decode_object, _decode_items(content)):
            if bytes(block.get("type", b"")) not in (b'"image"', b'"document"'):
                least -= sum(len(bytes(value)) for value in block.values())
    return least <= 0


def _tools(tools: list[msgspec.Raw], mark: msgspec.Raw) -> msgspec.Raw | None:
    for at in range(len(tools) - 1, -1, -1):
        tool = _decode_object(tools[at])
        if bytes(tool.get("defer_loading", b"")) != b"true":
            tools[at] = msgspec.Raw(_encode(tool | {"cache_control": mark}))
            return msgspec.Raw(_encode(tools))
    return None


def _content(content: bytes, mark: msgspec.Raw) -> msgspec.Raw | None:
    """A text or a list of blocks, with a mark at the last that may have one; ``None``: there is none."""
    if content[:1] == b'"':
        block = {"type": "text", "text": msgspec.Raw(content), "cache_control": mark}
        return msgspec.Raw(_encode([block])) if _says(content) else None
    blocks = _decode_items(content) if content[:1] == b"[" else []
    for at in range(len(blocks) - 1, -1, -1):
        found = _decode_object(blocks[at])
        kind = bytes(found.get("type", b""))
        if kind in _KINDS and (kind != b'"text"' or _says(bytes(found.get("text", b'""')))):
            blocks[at] = msgspec.Raw(_encode(found | {"cache_control": mark}))
            return msgspec.Raw(_encode(blocks))
    return None


def _says(text: bytes) -> bool:
    return bool(_decode_text(text).strip())
