"""Calls go where the beginning of their prompt is known to be kept: vendors' prompt caches are each account's or
region's own, and go cold wherever nobody asks.

A prompt has two beginnings: its tools and system prompt, which many conversations share, and these with the first that
is said, which is one conversation's. Whoever answered last in a conversation is asked first; then, where the strategy
shares the load, those that have read the same tools and system prompt, in the order of the strategy, so that a busy
one's calls spread. Who is out or full is passed over as ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec

from llmedge.call import Call, Candidate
from llmedge.config.prompt_caches import BYTES_A_TOKEN, SECONDS
from llmedge.config.sections.models import Model
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.registry import DIALECTS
from llmedge.operations import Operation
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.pipeline.strategies import Strategies
from llmedge.record import PROMPT_AFFINITY
from llmedge.state.warm import Warm
from llmedge.streams import Reply
from llmedge.threads import maybe_in_thread

LEAST = 512 * BYTES_A_TOKEN
"""Bytes of a beginning that some vendor keeps; what is shorter goes wherever the strategy has it."""
BY_RANK = ("priority", "cost")
"""Strategies to which targets are not alike: a beginning that others share is no reason to prefer the lesser one."""

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Item(msgspec.Struct):
    role: str = ""
    content: Any = None
    parts: Any = None


_decode_item = msgspec.json.Decoder(_Item).decode


class KeepWarm(Stage):
    """The innermost stage: notes who has read which beginning."""

    operations = (Operation.CHAT, Operation.TEXT)

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self._warm: Warm = deps.warm

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        match = call.match
        if match is None or match.model.prompt_cache == "off":
            return proceed(call)
        return self._noted(call, match.model, proceed)

    async def _noted(self, call: Call, model: Model, proceed: Handler) -> Reply:
        clock, size = call.deadline.clock, call.record.bytes_in
        found, marked = await maybe_in_thread(clock, size, lambda: (beginnings(call), marked_longer(call)))
        if not found:
            return await proceed(call)
        call.beginnings = found
        before = self._warm.ranks(found)
        reply = await proceed(call)
        if (by := call.record.routing.answered_by) is not None:
            target = str(by.target)
            call.record.facts[PROMPT_AFFINITY] = "kept" if target in before else "moved" if before else "new"
            ttl = "1h" if marked else model.prompt_cache_ttl
            self._warm.note(found, target, by.started + SECONDS[ttl])
        return reply


class WarmFirst(Strategies):
    """The order of a strategy, but for those who have the beginning of the prompt: they come first."""

    def order(self, label: str, model: Model, candidates: Sequence[Candidate], call: Call) -> list[Candidate]:
        """See :meth:`Strategies.order`. A model's own ``sticky`` goes before."""
        ordered = super().order(label, model, candidates, call)
        if model.sticky or not call.beginnings:
            return ordered
        ranks = self._deployments.warm.ranks(call.beginnings)
        if model.strategy in BY_RANK:
            return sorted(ordered, key=lambda each: ranks.get(each.name) != 0)
        return sorted(ordered, key=lambda each: ranks.get(each.name, 2) if each.entry.weight else 3)


def beginnings(call: Call) -> tuple[bytes, ...]:
    """Digests of the prompt's beginnings, of the conversation first; those that are too short to be kept are left out.
    What marks the client sets, and whether it says a text as a list of one, does not matter."""
    *before, last = DIALECTS[call.dialect].prompt
    digest = hashlib.blake2b(digest_size=16)
    size = 0
    for name in ("tools", *before):
        raw = bytes(call.fields.get(name, b""))
        digest.update(b"%b %d " % (name.encode(), len(raw)) + raw)
        size += len(raw)
    conversation = bytes(call.fields.get(last, b""))
    whole = size + len(conversation)
    system, opening = _opened(conversation)
    for each in system:
        digest.update(each)
        size += len(each)
    shared = digest.digest()
    digest.update(opening)
    if whole < LEAST:
        return ()
    return (digest.digest(), shared) if size >= LEAST else (digest.digest(),)


def _opened(conversation: bytes) -> tuple[list[bytes], bytes]:
    """What a conversation says of the system prompt, and the first that is said after that."""
    system: list[bytes] = []
    if not conversation.startswith(b"["):
        return system, conversation
    try:
        for raw in _decode_items(conversation):
            item = _decode_item(raw)
            said = _said(item.content if item.parts is None else item.parts)
            if item.role not in ("system", "developer"):
                return system, said
            system.append(said)
    except UNREADABLE:
        return system, conversation[:LEAST]
    return system, b""


def _said(content: Any) -> bytes:
    """The text of a message."""
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\0".join(text for text in texts if isinstance(text, str)).encode(errors="replace")
    return content.encode(errors="replace") if isinstance(content, str) else b""


def marked_longer(call: Call) -> bool:
    """Whether the client has its prompt kept for an hour."""
    names = ("cache_control", "tools", *DIALECTS[call.dialect].prompt)
    return any(b'"1h"' in bytes(call.fields.get(name, b"")) for name in names)
