"""Embeddings of which some are kept: the others are asked for, and all put in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from llmedge.cache import told
from llmedge.cache.asked import Asked
from llmedge.cache.entry import Entry
from llmedge.cache.items import FORMS, Form, asking_for, composed, keys_of, parted, spared
from llmedge.cache.key import Unclear, key_of
from llmedge.cache.refusals import NotCached
from llmedge.cache.state import CacheState
from llmedge.call import Call
from llmedge.errors import UpstreamMalformed
from llmedge.model import Answer, Target, Usage
from llmedge.pipeline.cached import Cached
from llmedge.record import CACHE_HEADERS
from llmedge.streams import Reply
from llmedge.threads import LARGE, maybe_in_thread

Fetch = Callable[[Asked], Awaitable[Reply]]
"""Asks for what is asked."""


async def answer_items(
    asked: Asked, inputs: Sequence[msgspec.Raw], state: CacheState, cached: Cached, fetch: Fetch
) -> Reply:
    """The embeddings of ``inputs``.

    :raises EdgeError: as ``fetch`` does.
    """
    call, form = asked.call, FORMS[asked.call.dialect]
    clock, weight = call.deadline.clock, LARGE if call.heavy else 0
    keys = await maybe_in_thread(clock, weight, keys_of, asked.prefix, form, call.fields, inputs, asked.careful)
    kept = await _kept(asked, keys, state) if asked.wish.read else {}
    found = list(kept.values())
    missing = {key: each for key, each in zip(keys, inputs, strict=True) if key not in kept}
    if not missing:
        oldest = min(found, key=lambda each: each.stored + each.ttl)
        saved = cached.save(asked, Target(oldest.provider, oldest.model), spared(found))
        cached.tell(asked, oldest, "items", "HIT", clock.seconds(), saved)
        return await _composed(call, form, [kept[key].body for key in keys], Usage(), spared(found))
    if asked.wish.only:
        raise NotCached
    wanted = list(missing.values())
    fields = call.fields if len(wanted) == len(inputs) else asking_for(form, call.fields, wanted)
    part = msgspec.structs.replace(
        asked,
        key=key_of(asked.prefix + b"\npart", fields, asked.careful),
        call=call.changed(fields=fields),
        wish=msgspec.structs.replace(asked.wish, store=False),  # it is kept by its items
    )
    reply = await fetch(part)
    assert isinstance(reply, Answer), "nobody streams embeddings"
    by = call.record.routing.answered_by
    if found:
        saved = cached.spare(call, Target(found[0].provider, found[0].model), spared(found))
        headers = told.COLLAPSED if call.record.accounting.kept else told.PARTIAL
        call.record.facts[CACHE_HEADERS] = headers[False] + (told.spared(saved) if saved else b"")
    try:
        parts = await maybe_in_thread(clock, len(reply.body), parted, form, reply, wanted)
    except Unclear:
        if found:
            raise UpstreamMalformed("answered with other embeddings than it was asked for") from None
        return reply
    for key, (body, share) in zip(missing, parts, strict=True):
        if asked.wish.store and by is not None:
            entry = cached.entry(asked, part.call, body, b"", 0, share)
            if entry is not None:
                cached.keep(key, entry)
    if len(wanted) == len(inputs):
        return reply
    bodies = {key: entry.body for key, entry in kept.items()}
    bodies |= {key: body for key, (body, _) in zip(missing, parts, strict=True)}
    return await _composed(call, form, [bodies[key] for key in keys], reply.usage or Usage(), reply.usage)


async def _composed(call: Call, form: Form, bodies: Sequence[bytes], shown: Usage, usage: Usage | None) -> Answer:
    size = sum(map(len, bodies))
    return Answer(await maybe_in_thread(call.deadline.clock, size, composed, form, bodies, shown), usage)


async def _kept(asked: Asked, keys: Sequence[bytes], state: CacheState) -> dict[bytes, Entry]:
    """Those of ``keys`` that are kept and fresh."""
    now, clock = asked.call.deadline.clock.seconds(), asked.call.deadline.clock
    kept = {key: got for key in keys if (got := state.memory.get(key)) is not None and asked.takes(got, now)}
    if state.shared is None:
        return kept
    coming = {key: each for key in keys if key not in kept and (each := state.shared.get(key)) is not None}
    with asked.call.record.routing.wait(clock):
        for key, each in coming.items():
            if (entry := await each) is not None and asked.takes(entry, now):
                kept[key] = entry
                state.memory.put(key, entry)
    return kept
