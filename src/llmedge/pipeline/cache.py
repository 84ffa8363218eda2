"""Answers that are given again: a call that was answered before asks nobody, and equal ones under way ask once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from llmedge.cache.asked import NO_WISH, Asked, marks_of, scope_of, told_in_body
from llmedge.cache.entry import Entry
from llmedge.cache.flight import Flight
from llmedge.cache.items import FORMS, inputs_of
from llmedge.cache.key import KEPT, VERSION, Unclear, is_deterministic, key_of, why_never
from llmedge.cache.policy import policy_of, rules_of
from llmedge.cache.replay import like, signature
from llmedge.call import Call, Match
from llmedge.config.sections.cache import Cache as Policy
from llmedge.config.sections.cache import CacheRule
from llmedge.errors import EdgeError, NotCached, TargetError
from llmedge.model import Answer, Deadline, EventKind, Target, Usage
from llmedge.operations import Operation
from llmedge.pipeline.books import Books
from llmedge.pipeline.cache_items import answer_items
from llmedge.pipeline.cached import Cached, CacheDeps
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.record import CACHE, CACHE_LEVEL, CACHE_MISS, CACHE_STATUS, Accounting, Routing
from llmedge.streams import Batch, Reply, ReplyStream, Wake
from llmedge.threads import in_thread

log = Logger()

KNOWN = 2000
"""Models and callers whose settings are remembered."""


class Cache(Stage):
    """Between who may ask and what is held for asking."""

    operations = KEPT

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        parts: CacheDeps = deps.cache
        self._parts, self._state = parts, parts.state
        self._cached = Cached(parts, deps.prices, deps.allowances)
        self._books = Books(deps.prices)
        self._policies: dict[tuple[Match, tuple[CacheRule, ...]], tuple[Policy, bytes]] = {}

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        policy, place = self._policy(call)
        if not policy.enabled:
            return await proceed(call)
        if call.heavy:
            asked = await in_thread(call.deadline.clock, self._asked, call, policy, place)
        else:
            asked = self._asked(call, policy, place)
        if isinstance(asked, str):
            return await self._passed(call, asked, proceed)
        if call.operation is Operation.EMBEDDINGS and policy.embeddings and (inputs := _inputs(asked)):
            fetch = partial(self._ask, stale=None, proceed=proceed)
            return await answer_items(asked, inputs, self._state, self._cached, fetch)
        entry = None
        if asked.wish.read:
            entry, level = self._state.memory.get(asked.key), "memory"
            if entry is None and self._state.shared is not None:
                entry, level = await self._shared(asked), "redis"
            if entry is not None:
                now = call.deadline.clock.seconds()
                if asked.takes(entry, now):
                    return self._cached.serve(asked, entry, level)
                age = now - entry.stored
                if age < entry.ttl + policy.stale_while_revalidate and asked.wish.max_age is None:
                    self._revalidate(asked, proceed)
                    return self._cached.serve(asked, entry, level, "STALE")
        if asked.wish.only:
            raise NotCached
        return await self._ask(asked, entry, proceed)

    def _policy(self, call: Call) -> tuple[Policy, bytes]:
        """What holds for it, and a digest of where it leads."""
        match = call.match
        assert match is not None, "Admit found it"
        known = (match, rules_of(call.caller) if call.caller.limits else ())
        found = self._policies.get(known)
        if found is None:
            if len(self._policies) >= KNOWN:
                self._policies.clear()
            targets = [(str(each), self._parts.places.get(each.provider, "")) for each in match.targets]
            leads = repr((targets, match.model.fallbacks, match.model.on_unsupported)).encode()
            policy = policy_of(self._parts.settings, match.model.cache, known[1])
            found = self._policies[known] = policy, blake2b(leads, digest_size=16).digest()
        return found

    def _asked(self, call: Call, policy: Policy, place: bytes) -> Asked | str:
        """What the cache is asked, or why it is not."""
        wish = call.hints.cache or NO_WISH
        if "cache" in call.fields:
            wish, call = told_in_body(wish, call)
        if not wish.read and not wish.store:
            return "off"
        if policy.when != "always" and not wish.asked:
            if policy.when == "asked":
                return "off"
            if not is_deterministic(call.fields):
                return "chance"
        if why := why_never(call):
            return why
        scope = scope_of(call, policy.scope)
        label = call.record.model_label
        whose = f"{scope}\n{wish.namespace}\n{call.dialect} {call.stream:d} {call.wants_usage:d} {call.model}\n"
        generation = self._state.generations.of(scope, label, wish.namespace)
        prefix = b"\n".join((VERSION, whose.encode(), generation, place, marks_of(call)))
        try:
            return Asked(prefix, key_of(prefix, call.fields), call, policy, wish)
        except Unclear:
            return "unclear"

    async def _shared(self, asked: Asked) -> Entry | None:
        """What other processes have kept, or this one has meanwhile."""
        state = self._state
        assert state.shared is not None
        coming = state.shared.get(asked.key)
        if coming is None:
            return None
        with asked.call.record.routing.wait(asked.call.deadline.clock):
            entry = await coming
        if entry is not None:
            state.memory.put(asked.key, entry)
        return entry or state.memory.get(asked.key)

    async def _passed(self, call: Call, why: str, proceed: Handler) -> Reply:
        """The cache has nothing to do with it."""
        facts = call.record.facts
        facts[CACHE], facts[CACHE_MISS], facts[CACHE_STATUS] = "BYPASS", why, "llmedge; fwd=bypass"
        wish = call.hints.cache
        if wish is not None and wish.only:
            raise NotCached
        if "cache" in call.fields:
            _, call = told_in_body(NO_WISH, call)
        return await proceed(call)

    # What has to be asked for

    async def _ask(self, asked: Asked, stale: Entry | None, proceed: Handler) -> Reply:
        record, flights = asked.call.record, self._state.flights
        what, why, forward = ("MISS", "none", "miss") if stale is None else ("MISS", "stale", "stale")
        if not asked.wish.read:
            what, why, forward = "REFRESH", "asked", "request"
        facts = record.facts
        facts[CACHE], facts[CACHE_MISS], facts[CACHE_STATUS] = what, why, f"llmedge; fwd={forward}"
        joins = asked.policy.coalesce and asked.wish.read
        while joins and (flight := flights.get(asked.key)) is not None and flight.complete:
            if (reply := await self._join(asked, flight)) is not None:
                return reply  # else it failed, which is the other one's alone
        flight = self._depart(asked, proceed, asked.policy.finish, joins)
        try:
            return await flight.answer(record)
        except TargetError:
            if stale is None or not self._is_last_resort(asked, stale):
                raise
            return self._cached.serve(asked, stale, "memory", "STALE")

    def _is_last_resort(self, asked: Asked, entry: Entry) -> bool:
        age = asked.call.deadline.clock.seconds() - entry.stored
        return asked.wish.read and age < entry.ttl + asked.policy.stale_if_error

    def _depart(self, asked: Asked, proceed: Handler, finish: bool, shown: bool, alone: bool = False) -> Flight:
        """:param alone: nobody who asks pays for it: its record is its own."""
        flight = Flight(asked.call, asked.policy.max_entry, finish, partial(self._landed, asked))
        if alone:
            flight.payer = None
        if shown:
            self._state.flights[asked.key] = flight
        flight.start(proceed)
        return flight

    async def _join(self, asked: Asked, flight: Flight) -> Reply | None:
        """What comes of ``flight``; ``None``: nothing."""
        call = asked.call
        try:
            with call.record.routing.wait(call.deadline.clock):
                reply = await flight.answer(call.record)
        except CancelledError:
            raise  # whoever asked has left
        except Exception:  # it is in the other's record
            return None
        facts, by = call.record.facts, flight.record.routing.deciding_attempt
        facts[CACHE], facts[CACHE_LEVEL] = "COLLAPSED", "flight"
        facts[CACHE_STATUS] = "llmedge; fwd=miss; collapsed"
        facts.pop(CACHE_MISS)
        self._state.collapsed += 1
        save = partial(self._cached.save, asked, Target("", call.model) if by is None else by.target)
        if not isinstance(reply, Answer):
            return CollapsedStream(reply, save)
        save(reply.usage)
        id, _ = signature(reply.body, False)
        return Answer(reply.body.replace(id, like(id)), reply.usage, reply.content_type) if id else reply

    def _revalidate(self, asked: Asked, proceed: Handler) -> None:
        """Ask anew, for whoever comes next. What it costs is the caller's, in a record of its own."""
        if asked.key in self._state.flights:
            return
        call = asked.call
        facts = {CACHE: "REFRESH", CACHE_STATUS: "llmedge; fwd=stale"}
        record = replace(call.record, routing=Routing(), accounting=Accounting(), facts=facts)
        call = call.changed(record=record, deadline=Deadline(call.deadline.clock, call.deadline.seconds))
        self._depart(replace(asked, call=call), proceed, True, True, alone=True)

    # What came of it

    def _landed(self, asked: Asked, flight: Flight) -> None:
        if self._state.flights.get(asked.key) is flight:
            del self._state.flights[asked.key]
        try:
            if flight.whole and flight.complete and asked.wish.store:
                kept = self._cached.keep(asked.key, self._cached.entry_of(asked, flight))
                if kept and isinstance(flight.reply, Answer):
                    flight.record.facts[CACHE_STATUS] += "; stored"
        except Exception:  # what cannot be kept is answered all the same
            log.failure("an answer could not be kept")
        if flight.payer is None:
            self._settle(flight)

    def _settle(self, flight: Flight) -> None:
        """A call has ended whose record nobody else reads."""
        call, record, error = flight.call, flight.record, flight.error
        record.request_id = f"{record.request_id}-{secrets.token_hex(4)}"
        record.ended = call.deadline.clock.seconds()
        if error is None:
            record.outcome, record.status = "ok", 200
            self._books.enter_answer(call, flight.usage)
        else:
            if isinstance(error, EdgeError):
                record.status = error.status
                record.fail(error)
            record.outcome = record.outcome or "aborted"
            self._books.enter_vain(call)
        for observe in self._parts.observers:
            observe(record)


class CollapsedStream(ReplyStream):
    """The stream of another's call. What it would have cost is known at its end."""

    def __init__(self, stream: ReplyStream, saved: Callable[[Usage | None], None]) -> None:
        self._stream, self._saved = stream, saved

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    def read_now(self) -> Batch | None:
        events = self._stream.read_now()
        self.drained = self._stream.drained
        if events is not None and events[-1].kind is EventKind.DONE:
            self._saved(self._stream.usage)
        return events

    def on_readable(self, wake: Wake) -> None:
        self._stream.on_readable(wake)

    def abort(self) -> None:
        self._stream.abort()


def _inputs(asked: Asked) -> list[Any]:
    form = FORMS.get(asked.call.dialect)
    return [] if form is None else inputs_of(form, asked.call.fields)
