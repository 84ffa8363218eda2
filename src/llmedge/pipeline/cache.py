"""Answers that are given again: a call that was answered before asks nobody, and equal ones under way ask once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Any

import attrs
from msgspec.json import encode
from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from llmedge.cache import told
from llmedge.cache.asked import NO_WISH, Asked, marks_of, scope_of, told_in_body
from llmedge.cache.entry import Entry
from llmedge.cache.flight import Flight, Rider
from llmedge.cache.items import FORMS, inputs_of
from llmedge.cache.key import KEPT, LOOKED_AT, VERSION, Unclear, is_deterministic, key_of, why_never
from llmedge.cache.policy import policy_of, rules_of
from llmedge.cache.refusals import NotCached
from llmedge.cache.replay import like, signature
from llmedge.call import Call, Match
from llmedge.config.sections.cache import Cache as Policy
from llmedge.errors import EdgeError, TargetError
from llmedge.model import Answer, Caller, Deadline, EventKind, Target, Usage
from llmedge.operations import Operation
from llmedge.pipeline.books import Books
from llmedge.pipeline.cache_items import answer_items
from llmedge.pipeline.cached import Cached, CacheDeps, used_by
from llmedge.pipeline.kept import note_again
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.record import CACHE, CACHE_HEADERS, Accounting, Routing
from llmedge.streams import Batch, Reply, ReplyStream, Wake
from llmedge.threads import in_thread

log = Logger()

FAILURES = 2
"""Of others that a call waits for, before it asks for itself: they may take long, one after the other."""
KNOWN = 4096
"""Models and callers of which it is known what holds for them."""


@attrs.define(eq=False)
class _Known:
    """What holds for one caller's calls of one model.

    :ivar place: a digest of where they lead. ``prefixes``: of their keys, by dialect and whether they are streams, with
        usage, of answers that their clients may go on from. ``headers``: those of the client's that are sent on.
    """

    match: Match
    caller: Caller
    policy: Policy
    place: bytes
    prefixes: dict[tuple[str, bool, bool, bool], bytes]
    headers: list[str]


class Cache(Stage):
    """Between who may ask and what is held for asking."""

    operations = KEPT

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        parts: CacheDeps = deps.cache
        self._parts, self._state = parts, parts.state
        self._cached = Cached(parts, deps.prices, deps.allowances)
        self._books = Books(deps.prices)
        self._all_known: dict[tuple[int, int], _Known] = {}

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        known = self._all_known.get((id(call.match), id(call.caller))) or self._look(call)
        if not known.policy.enabled:
            return proceed(_without_its_field(call))
        if call.heavy:
            return self._heavy(call, known, proceed)
        return self._answer(self._asked(call, known), call, proceed)

    async def _heavy(self, call: Call, known: _Known, proceed: Handler) -> Reply:
        """It takes milliseconds to tell what it is equal to."""
        asked = await in_thread(call.deadline.clock, self._asked, call, known)
        return await self._answer(asked, call, proceed)

    def _answer(self, asked: Asked | str, call: Call, proceed: Handler) -> Awaitable[Reply]:
        if isinstance(asked, str):
            return self._passed(call, asked, proceed)
        if call.operation is Operation.EMBEDDINGS and asked.policy.embeddings and (inputs := _inputs(asked)):
            fetch = partial(self._ask, stale=None, proceed=proceed)
            return answer_items(asked, inputs, self._state, self._cached, fetch)
        if asked.wish.read:
            entry = self._state.memory.get(asked.key)
            if self._state.shared is not None and (entry is None or not asked.takes(entry, _now(call))):
                return self._look_further(asked, proceed)
            if entry is not None:
                return self._given(asked, entry, "memory", proceed)
        if asked.wish.only:
            raise NotCached
        return self._ask(asked, None, proceed)

    async def _look_further(self, asked: Asked, proceed: Handler) -> Reply:
        entry, level = await self._shared(asked)
        if entry is not None:
            return await self._given(asked, entry, level, proceed)
        if asked.wish.only:
            raise NotCached
        return await self._ask(asked, None, proceed)

    async def _given(self, asked: Asked, entry: Entry, level: str, proceed: Handler) -> Reply:
        """``entry``, if that will do."""
        now = _now(asked.call)
        if asked.takes(entry, now):
            return self._cached.serve(asked, entry, level, now)
        if asked.takes_stale(entry, now):
            self._revalidate(asked, proceed)
            return self._cached.serve(asked, entry, level, now, "STALE")
        if asked.wish.only:
            raise NotCached
        return await self._ask(asked, entry, proceed)

    def _look(self, call: Call) -> _Known:
        match, caller = call.match, call.caller
        assert match is not None, "Admit found it"
        targets = [(str(each), self._parts.places.get(each.provider, "")) for each in match.targets]
        others, passed = (match.model.fallbacks, match.model.context_fallbacks), self._parts.passed
        leads = repr((targets, *others, match.model.on_unsupported)).encode()
        asked = passed if any(others) else [each.provider for each in match.targets if each.provider in passed]
        policy = policy_of(self._parts.settings, match.model.cache, rules_of(caller))
        if len(self._all_known) >= KNOWN:
            self._all_known.clear()
        headers = sorted({header for provider in asked for header in passed[provider]})
        known = _Known(match, caller, policy, sha256(leads).digest(), {}, headers)
        self._all_known[id(match), id(caller)] = known  # it holds both, so that no others have these ids
        return known

    def _asked(self, call: Call, known: _Known) -> Asked | str:
        """What the cache is asked, or why it is not."""
        policy, fields = known.policy, call.fields
        wish = call.hints.cache or NO_WISH
        if "cache" in fields:
            wish, call = told_in_body(wish, call)
            fields = call.fields
        if policy.when != "always" and not wish.asked:
            if policy.when == "asked":
                return "off"
            if not is_deterministic(fields):
                return "chance"
        if not LOOKED_AT.isdisjoint(fields) and (why := why_never(fields, call.dialect)):
            return why
        form = (call.dialect, call.stream, call.wants_usage, call.remember is not None)
        prefix = known.prefixes.get(form)
        if prefix is None or policy.scope == "user":
            how = encode((form, policy.scope, call.model, scope_of(call, policy.scope)))
            prefix = known.prefixes[form] = sha256(b"%b\n%b%b" % (VERSION, known.place, how)).digest()
        generations = self._state.generations
        if generations.marks or generations.epoch:
            scope = scope_of(call, policy.scope)
            if purged := generations.of(
                scope,
                call.record.model_label,
                wish.namespace,
                f"key:{call.caller.id}" if policy.scope == "user" else "",
                call.model,
            ):
                prefix += b"\ng=" + purged
        if wish is not NO_WISH:
            if not wish.read and not wish.store:
                return "off"
            if wish.namespace:
                prefix += b"\nn=" + encode(wish.namespace)
        if known.headers:
            prefix += b"\nh=" + encode([call.hints.header(name) for name in known.headers])
        if marks := marks_of(call):
            prefix += b"\nm=" + marks
        try:
            key = key_of(prefix, fields, policy.scope not in ("key", "user"))
        except Unclear:
            return "unclear"
        return Asked(prefix, key, call, policy, wish)

    async def _shared(self, asked: Asked) -> tuple[Entry | None, str]:
        """What other processes have kept, or this one has meanwhile, and which of them."""
        state = self._state
        assert state.shared is not None
        coming, entry = state.shared.get(asked.key), None
        if coming is not None:
            with asked.call.record.routing.wait(asked.call.deadline.clock):
                entry = await coming
        here = state.memory.get(asked.key)
        if entry is None or (here is not None and here.stored >= entry.stored):
            return here, "memory"
        state.memory.put(asked.key, entry)
        return entry, "redis"

    async def _passed(self, call: Call, why: str, proceed: Handler) -> Reply:
        """The cache has nothing to do with it."""
        self._cached.missed(call, why, "BYPASS", told.BYPASS)
        wish = call.hints.cache
        if wish is not None and wish.only:
            raise NotCached
        return await proceed(_without_its_field(call))

    # What has to be asked for

    def _ask(self, asked: Asked, stale: Entry | None, proceed: Handler) -> Awaitable[Reply]:
        if asked.key in self._state.flights and asked.policy.coalesce and asked.wish.read:
            return self._join_or_lead(asked, stale, proceed)
        return self._lead(asked, stale, proceed)

    async def _join_or_lead(self, asked: Asked, stale: Entry | None, proceed: Handler) -> Reply:
        """Wait for what is under way, and where that fails, ask."""
        for _ in range(FAILURES):  # each is the other one's alone
            flight = self._state.flights.get(asked.key)
            if flight is None or not flight.complete:
                break
            if (reply := await self._join(asked, flight)) is not None:
                return reply
        return await self._lead(asked, stale, proceed)

    def _lead(self, asked: Asked, stale: Entry | None, proceed: Handler) -> Awaitable[Reply]:
        """Ask; others may come along."""
        flight, read = Flight(asked, self._landed), asked.wish.read
        if read and asked.policy.coalesce:
            self._state.flights[asked.key] = flight
        if not read:
            self._cached.missed(asked.call, "asked", "REFRESH", told.REFRESH)
        elif stale is None:
            self._cached.missed(asked.call, "none", "MISS", told.MISS)
        else:
            self._cached.missed(asked.call, "stale", "MISS", told.STALE)
            return self._or_stale(asked, stale, flight.lead(proceed))
        return flight.lead(proceed)

    async def _or_stale(self, asked: Asked, stale: Entry, leading: Awaitable[Reply]) -> Reply:
        """What comes of ``leading``, or ``stale`` where nothing does."""
        try:
            return await leading
        except TargetError:
            now = _now(asked.call)
            if not asked.takes_at_last(stale, now):
                raise
            return self._cached.serve(asked, stale, "memory", now, "STALE")

    async def _join(self, asked: Asked, flight: Flight) -> Reply | None:
        """What comes of ``flight``; ``None``: nothing."""
        call, routing = asked.call, asked.call.record.routing
        routing.joined = flight.record.routing
        try:
            with routing.wait(call.deadline.clock):
                reply = await flight.answer(call.record)
        except CancelledError:
            raise  # whoever asked has left
        except Exception:  # it is in the other's record
            return None
        finally:
            routing.joined = None
        by = flight.record.routing.deciding_attempt
        self._cached.joined(call)
        target = Target("", call.model) if by is None else by.target
        renamed = partial(_note_again, call, target)

        def save() -> str:
            return self._cached.save(asked, target, used_by(flight))

        if isinstance(reply, Rider):
            reply.renamed = renamed
            return CollapsedStream(reply, save)
        assert isinstance(reply, Answer)
        if saved := save():
            call.record.facts[CACHE_HEADERS] += told.spared(saved)
        id, _ = signature(reply.body, False)
        if not id:
            return reply
        renamed(new := like(id), id)
        return Answer(reply.body.replace(id, new), reply.usage, reply.content_type)

    def _revalidate(self, asked: Asked, proceed: Handler) -> None:
        """Ask anew, for whoever comes next. What it costs is the caller's, in a record of its own."""
        if asked.key in self._state.flights:
            return
        call = asked.call
        record = replace(call.record, routing=Routing(), accounting=Accounting(), facts={CACHE: "REFRESH"})
        call = call.changed(record=record, deadline=Deadline(call.deadline.clock, call.deadline.seconds))
        flight = self._state.flights[asked.key] = Flight(replace(asked, call=call), self._landed)
        flight.payer, flight.finish = None, True
        flight.start(proceed)

    # What came of it

    def _landed(self, flight: Flight) -> None:
        asked = flight.asked
        if self._state.flights.get(asked.key) is flight:
            del self._state.flights[asked.key]
        if flight.whole and flight.complete and asked.wish.store:
            try:
                self._keep(asked, flight)
            except Exception:  # what cannot be kept is answered all the same
                log.failure("an answer could not be kept")
        if flight.payer is None:
            self._settle(flight)

    def _keep(self, asked: Asked, flight: Flight) -> None:
        entry = self._cached.entry_of(flight)
        if entry is not None:
            self._cached.keep(asked.key, entry)
            if not entry.events and (headers := flight.record.facts.get(CACHE_HEADERS)):
                flight.record.facts[CACHE_HEADERS] = told.STORED.get(headers, headers)

    def _settle(self, flight: Flight) -> None:
        """A call has ended whose record nobody else reads."""
        call, record, error = flight.call, flight.record, flight.error
        record.request_id = f"{record.request_id}-{secrets.token_hex(4)}"
        record.ended = call.deadline.clock.seconds()
        if (trace := record.trace) is not None:  # a span of its own, within the first one's
            record.trace = attrs.evolve(trace, span_id=trace.new_span_id(), parent_id=trace.span_id)
        if error is None:
            record.outcome, record.status = "ok", 200
            self._books.enter_answer(call, used_by(flight))
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

    def __init__(self, stream: ReplyStream, saved: Callable[[], str]) -> None:
        self._stream, self._saved = stream, saved

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    def read_now(self) -> Batch | None:
        events = self._stream.read_now()
        self.drained = self._stream.drained
        if events is not None and events[-1].kind is EventKind.DONE:
            self._saved()
        return events

    def on_readable(self, wake: Wake) -> None:
        self._stream.on_readable(wake)

    def abort(self) -> None:
        self._stream.abort()


def _note_again(call: Call, target: Target, new: bytes, id: bytes) -> None:
    note_again(call, new.decode(), id.decode(), f"{target.provider}/{target.model}")


def _now(call: Call) -> float:
    now: float = call.deadline.clock.seconds()
    return now


def _without_its_field(call: Call) -> Call:
    return told_in_body(NO_WISH, call)[1] if "cache" in call.fields else call


def _inputs(asked: Asked) -> list[Any]:
    form = FORMS.get(asked.call.dialect)
    return [] if form is None else inputs_of(form, asked.call.fields)
