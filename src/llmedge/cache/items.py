"""Embeddings, one by one: each input of a request has an answer of its own, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import attrs
import msgspec

from llmedge.cache.entry import Entry
from llmedge.cache.key import LEFT_OUT, Unclear, canonical
from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import Answer, RawObject, Usage

_encode = msgspec.json.Encoder().encode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


@attrs.frozen
class Form:
    """How a dialect has several of them.

    :ivar field: of the request, ``data`` of the answer. ``indexed``: each of its items says which it is.
    :ivar vector: of an item.
    """

    field: str
    data: str
    indexed: bool
    vector: str


FORMS = {
    # platform.openai.com/docs/api-reference/embeddings
    "openai_embeddings": Form("input", "data", True, "embedding"),
    # ai.google.dev/api/embeddings#method:-models.batchembedcontents
    "gemini_embeddings": Form("requests", "embeddings", False, "values"),
}


_EMPTY = (b"", b"null", b"[]", b'""')


class _Kept(msgspec.Struct):
    """:ivar around: the answer that it was in, without the items. ``item``: without its number."""

    around: msgspec.Raw
    item: msgspec.Raw


_decode_kept = msgspec.json.Decoder(_Kept).decode


def inputs_of(form: Form, fields: RawObject) -> list[msgspec.Raw]:
    """The inputs of a request; nothing where it is not understood, which is its vendor's to say."""
    raw = fields.get(form.field)
    if raw is None:
        return []
    if bytes(raw)[:1] != b"[":
        return [raw] if bytes(raw)[:1] == b'"' else []
    try:
        inputs = _decode_list(raw)
    except UNREADABLE:
        return []
    tokens = bool(inputs) and bytes(inputs[0])[:1].isdigit()
    return [raw] if tokens else inputs


def keys_of(prefix: bytes, form: Form, fields: RawObject, inputs: Sequence[msgspec.Raw], careful: bool) -> list[bytes]:
    """A key for each of ``inputs``.

    :param careful: as of :func:`llmedge.cache.key.key_of`.
    :raises Unclear: as :func:`llmedge.cache.key.key_of`.
    """
    common = sha256(prefix + b"\nitem")
    for name in sorted(fields):
        if name not in LEFT_OUT and name != form.field:
            common.update(b"\n%b:" % _encode(name))
            common.update(_clear(fields[name], careful))
    keys = []
    for each in inputs:
        one = common.copy()
        one.update(b"\n=")
        one.update(_clear(each, careful))
        keys.append(one.digest())
    return keys


def _clear(raw: msgspec.Raw, careful: bool) -> bytes:
    text = bytes(raw)
    return canonical(text, careful) if text[:1] in b"[{" or b"\\" in text else text


def asking_for(form: Form, fields: RawObject, inputs: Sequence[msgspec.Raw]) -> RawObject:
    """The request, for ``inputs`` only."""
    return {**fields, form.field: msgspec.Raw(_encode(inputs))}


def parted(form: Form, answer: Answer, inputs: Sequence[msgspec.Raw]) -> list[tuple[bytes, Usage | None]]:
    """What is kept for each of ``inputs``, which ``answer`` is to, and its share of the usage.

    :raises Unclear: the answer is not to these.
    """
    try:
        around = _decode_object(answer.body)
        items = _decode_items(around.pop(form.data))
        around.pop("usageMetadata", None)  # of others besides
        if form.indexed:
            items = sorted(items, key=lambda item: int(bytes(item.pop("index"))))
    except (*UNREADABLE, KeyError):
        raise Unclear from None
    if len(items) != len(inputs) or any(bytes(item.get(form.vector, b"")) in _EMPTY for item in items):
        raise Unclear
    frame = msgspec.Raw(_encode(around))
    lengths = [len(bytes(each)) for each in inputs]
    total, tokens = sum(lengths), 0 if answer.usage is None else answer.usage.input
    usages = _shared(tokens, lengths, total)
    return [
        (_encode(_Kept(frame, msgspec.Raw(_encode(item)))), None if answer.usage is None else Usage(input=usage))
        for item, usage in zip(items, usages, strict=True)
    ]


def _shared(tokens: int, lengths: Sequence[int], total: int) -> list[int]:
    """``tokens`` by length, to the last one."""
    shares, given, passed = [], 0, 0
    for length in lengths:
        passed += length
        share = tokens * passed // max(1, total) - given
        given += share
        shares.append(share)
    return shares


def composed(form: Form, kept: Sequence[bytes], usage: Usage) -> bytes:
    """The answer to a request whose inputs' answers are ``kept``.

    :param usage: of what was asked for.
    """
    read = [_decode_kept(each) for each in kept]
    around: dict[str, Any] = dict(_decode_object(read[-1].around))
    if "usage" in around:
        around["usage"] = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    items: list[dict[str, Any]] = []
    for index, each in enumerate(read):
        item: dict[str, Any] = dict(_decode_object(each.item))
        items.append({**item, "index": index} if form.indexed else item)
    return _encode({form.data: items, **around})


def spared(entries: Sequence[Entry]) -> Usage:
    """What the items that were there took, when they were asked for."""
    return Usage(input=sum(entry.usage.input for entry in entries if entry.usage is not None))
