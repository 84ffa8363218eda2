"""What makes two calls equal: everything that may change the answer, and whose it may be.

:data:`LEFT_OUT` is the list of fields that do not count; every other one does, those that nobody here knows included.
The order of members does not, nor does white space.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import RawObject
from llmedge.operations import Operation

VERSION = b"1"
"""Of the form of keys and entries: a release that changes it begins with an empty cache."""
LEFT_OUT = frozenset(
    {
        *("model", "stream"),  # in the key by other ways
        *("stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        *("service_tier", "store", "labels"),
    }
)
_SEARCHES = ("search_parameters", "plugins", "enable_search")
"""xAI's, OpenRouter's and Alibaba's (docs.x.ai/docs/guides/live-search, openrouter.ai/docs/features/web-search,
help.aliyun.com/model-studio): a search of the web that is no tool."""
LOOKED_AT = frozenset(
    {
        *("background", "conversation", "previous_response_id", "store", "audio", "modalities", "web_search_options"),
        *("tools", "container", "mcp_servers", "generationConfig", "input"),
        *_SEARCHES,
    }
)
"""Fields that tell that what is asked for is kept by its vendor, looked up elsewhere, or a sound; or may tell it."""
_NOTHING = (b"null", b"[]", b"{}", b"false")
_OWN_TOOLS = (None, "function", "custom")
_DECLARED = {"functionDeclarations", "function_declarations"}
_QUOTE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0022")
"""One that is written as its number."""
_HOT, _SHORT = 256, 4096
"""Questions whose keys are known, those that are asked all the time, and bytes of the longest one."""
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_decode_tools = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Unclear(Exception):
    """Nobody can say what a call is equal to."""


def key_of(prefix: bytes, fields: RawObject, careful: bool = True) -> bytes:
    """32 bytes.

    :param prefix: whose the answer may be, who is asked, and how.
    :param careful: others may get the answer: a body that two readers may understand differently is not clear.
    :raises Unclear: it is not.
    """
    counts = _encode({name: raw for name, raw in fields.items() if name not in LEFT_OUT})
    return (_known_digest if len(counts) <= _SHORT else _digest)(prefix, counts, careful)


def _digest(prefix: bytes, counts: bytes, careful: bool) -> bytes:
    return sha256(prefix + b"\0" + canonical(counts, careful)).digest()


_known_digest = lru_cache(_HOT)(_digest)


def canonical(raw: bytes, careful: bool = True) -> bytes:
    """``raw``, JSON, with members in order and without white space.

    :raises Unclear: a member is there twice, or the like: readers differ in which one they take.
    """
    try:
        said = _encode_sorted(_decode(raw))
    except UNREADABLE:
        raise Unclear from None
    if careful and said.count(b'"') != raw.count(b'"') + len(_QUOTE.findall(raw) if b"\\u0022" in raw else ""):
        raise Unclear
    return said


def why_never(fields: RawObject, dialect: str) -> str:
    """Why the answer to a request with some of :data:`LOOKED_AT` is given once, whatever is configured; ``""``: it may
    be given again."""
    if bytes(fields.get("store", b"false")) == b"true" or bytes(fields.get("background", b"false")) == b"true":
        return "state"
    if _is_there(fields, ("conversation", "previous_response_id", "container")):
        return "state"
    if _is_there(fields, ("audio",)) or _sounds(fields):
        return "audio"
    if bytes(fields.get("web_search_options", b"null")) != b"null" or _is_there(fields, ("mcp_servers", *_SEARCHES)):
        return "tools"
    said = bytes(fields.get("input", b"")) if dialect == "openai_responses" else b""
    if said[:1] == b"[" and b'"additional_tools"' in said:
        return "tools"
    return "" if _only_own(fields.get("tools"), dialect) else "tools"


def _sounds(fields: RawObject) -> bool:
    """Whether a sound is asked for, by ``modalities`` or, as Gemini has it, within ``generationConfig``."""
    if b"audio" in bytes(fields.get("modalities", b"")).lower():
        return True
    settings = bytes(fields.get("generationConfig", b""))
    return b"Modalities" in settings and b'"audio"' in settings.lower()


def _is_there(fields: RawObject, names: Collection[str]) -> bool:
    return any(bytes(fields.get(name, b"null")) not in _NOTHING for name in names)


def _only_own(tools: Any, dialect: str) -> bool:
    """Whether all tools are the client's own to run: a vendor's see a world that changes."""
    if tools is None or bytes(tools) == b"null":
        return True
    try:
        listed: list[dict[str, Any]] = _decode_tools(tools)
    except UNREADABLE:
        return False
    if dialect == "gemini":
        return all(set(tool) <= _DECLARED for tool in listed)
    return all(tool.get("type") in _OWN_TOOLS for tool in listed)


def is_deterministic(fields: RawObject) -> bool:
    """Whether the client asks for the same answer each time: temperature 0, or a seed."""
    settings: Mapping[str, Any] = fields
    if (raw := fields.get("generationConfig")) is not None:
        try:
            settings = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except UNREADABLE:
            return False
    temperature = bytes(settings.get("temperature", b""))
    seeded = bytes(settings.get("seed", b"null")) != b"null"
    return seeded or (temperature[:1] == b"0" and not temperature.strip(b"0.eE+-"))


KEPT = frozenset({Operation.CHAT, Operation.TEXT, Operation.EMBEDDINGS})
"""What is cached."""
