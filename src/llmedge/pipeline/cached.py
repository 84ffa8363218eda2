"""What is done with answers that are kept: which are, how one is given again, and what that saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import attrs

from llmedge.cache import told
from llmedge.cache.asked import Asked
from llmedge.cache.endings import ending
from llmedge.cache.entry import Entry
from llmedge.cache.flight import Flight
from llmedge.cache.replay import renewed
from llmedge.cache.state import CacheState
from llmedge.call import Call
from llmedge.config.sections.cache import Cache as Policy
from llmedge.model import Answer, Event, EventKind, Target, Usage
from llmedge.money import text
from llmedge.pipeline.kept import note_again
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.reserve import charge
from llmedge.pipeline.tokens import rough, said_in_answer
from llmedge.record import CACHE, CACHE_HEADERS, CACHE_LEVEL, CACHE_SAVED, FALLBACK, Record
from llmedge.state.allowances import Allowances
from llmedge.streams import Reply, WholeStream

JITTER = 0.1
"""Of a ttl: answers that were kept at once are not asked for at once again."""
STREAM = b"text/event-stream"


@attrs.frozen
class CacheDeps:
    """What the stages of the cache are built with besides.

    :ivar settings: ``[cache]``. ``places``: provider → what says where it is, for keys. ``passed``: provider → headers
        of the client's that it is sent.
    :ivar observers: get the record of a call that goes on though who asked first has left.
    :ivar semantic: of the cache by meaning; ``None``: it is off.
    """

    settings: Policy
    state: CacheState
    places: Mapping[str, str]
    passed: Mapping[str, Sequence[str]]
    observers: Sequence[Callable[[Record], None]]
    random: Random
    semantic: Any = None

    def enter(self) -> None:
        """They are in force: what was learned by meaning stays as long as it counts."""
        before = self.state.semantic
        self.state.semantic = None if self.semantic is None else self.semantic.state
        if self.semantic is not None:
            self.semantic.state.use(self.semantic.settings)
        if before is not None and before is not self.state.semantic:
            before.close()


class Cached:
    """Answers of one configuration."""

    def __init__(self, parts: CacheDeps, prices: Prices, allowances: Allowances) -> None:
        self._parts, self._prices, self._allowances = parts, prices, allowances

    # Given again

    def serve(self, asked: Asked, entry: Entry, level: str, now: float, how: str = "HIT") -> Reply:
        """``entry`` as the answer to what is asked.

        :raises BudgetExhausted: it is charged for, and there is no money left.
        """
        call = asked.call
        saved = self.save(asked, _target(entry.provider, entry.model), entry.usage)
        self.tell(asked, entry, level, how, now, saved)
        body, id, before = renewed(entry, now)
        if call.remember is not None and id:
            note_again(call, id.decode(), before.decode(), f"{entry.provider}/{entry.model}")
        if not entry.events:
            return Answer(body, entry.usage, entry.content_type)
        return WholeStream([Event(EventKind.DONE, body, entry.events)], entry.usage)

    def tell(self, asked: Asked, entry: Entry, level: str, how: str, now: float, saved: str) -> None:
        """Say that ``entry`` is the answer, and what that saved."""
        record, age = asked.call.record, now - entry.stored
        facts = record.facts
        facts[CACHE], facts[CACHE_LEVEL] = how, level
        facts[CACHE_HEADERS] = told.hit(how, level, age, entry.ttl - age, saved, record.stream)

    def missed(self, call: Call, why: str, how: str, headers: Mapping[bool, bytes]) -> None:
        """Say that there was no answer."""
        missed, facts = self._parts.state.missed, call.record.facts
        missed[why] = missed.get(why, 0) + 1
        facts[CACHE], facts[CACHE_HEADERS] = how, headers[call.stream]

    def joined(self, call: Call) -> None:
        """Say that another one's call was joined."""
        facts = call.record.facts
        facts[CACHE], facts[CACHE_LEVEL], facts[CACHE_HEADERS] = "COLLAPSED", "flight", told.COLLAPSED[call.stream]
        self._parts.state.collapsed += 1

    def save(self, asked: Asked, target: Target, usage: Usage | None) -> str:
        """Write down an answer that nobody was asked for; what that saved, in USD, ``""`` where nobody knows.

        :raises BudgetExhausted: it is charged for, and there is no money left.
        """
        call = asked.call
        accounting = call.record.accounting
        accounting.cost, accounting.kept = 0, True
        if asked.policy.charge == "none":
            return self.spare(call, target, usage)
        if (cost := self._prices.price(target, usage)) is not None:
            accounting.spared = usage
            charge(self._allowances, call, cost)
            accounting.cost = cost
        return ""

    def spare(self, call: Call, target: Target, usage: Usage | None) -> str:
        """Write down what did not have to be asked for; the price of all such, in USD."""
        accounting = call.record.accounting
        saved, before = self._prices.price(target, usage), accounting.spared
        if before is not None and usage is not None:  # inputs that were kept, where another one was joined for the rest
            usage = Usage(input=before.input + usage.input)
        accounting.spared = usage or before
        if saved is not None:
            self._parts.state.saved += saved
            accounting.saved = saved + (accounting.saved or 0)
        if accounting.saved is None:
            return ""
        shown = call.record.facts[CACHE_SAVED] = text(accounting.saved)
        return shown

    # Kept

    def keep(self, key: bytes, entry: Entry) -> None:
        """Keep ``entry`` wherever answers are kept."""
        state = self._parts.state
        state.memory.put(key, entry)
        if state.shared is not None:
            state.shared.put(key, entry)

    def entry_of(self, flight: Flight) -> Entry | None:
        """What is to be kept of a call that ended; ``None``: nothing."""
        reply, call, asked = flight.reply, flight.call, flight.asked
        if type(reply) is Answer:
            body, content_type, events = reply.body, reply.content_type, 0
        else:
            body = b"".join([event.frame for event in flight.events])
            content_type, events = STREAM, sum([event.count for event in flight.events])
        how = ending(call.dialect, body, bool(events) and call.choices == 1)
        if how != "good" and not (how == "tool" and asked.policy.tool_calls):
            return None
        return self.entry(asked, call, body, content_type, events, used_by(flight))

    def entry(
        self, asked: Asked, call: Call, body: bytes, content_type: bytes, events: int, usage: Usage | None
    ) -> Entry | None:
        """``body`` as it is kept.

        :param call: as it was asked.
        """
        policy, by = asked.policy, call.record.routing.answered_by
        if by is None or len(body) > policy.max_entry or (FALLBACK in call.record.facts and not policy.fallbacks):
            return None
        if call.guarding is not None and not call.guarding.sure:
            return None  # it went on as it came: once its guardrails can say again, they shall
        ttl = policy.ttl * (1 - JITTER * self._parts.random.random())
        if asked.wish.ttl is not None:
            ttl = min(asked.wish.ttl, policy.ttl)
        now, target, keep = call.deadline.clock.seconds(), by.target, ttl
        if policy.stale_while_revalidate or policy.stale_if_error:
            keep += max(policy.stale_while_revalidate, policy.stale_if_error)
        return Entry(body, content_type, events, target.provider, target.model, usage, now, ttl, keep)


@lru_cache(1024)
def _target(provider: str, model: str) -> Target:
    return Target(provider, model)


def used_by(flight: Flight) -> Usage:
    """What an answer has used, that its vendor does not tell maybe, and nobody waits for."""
    if (usage := flight.usage or flight.estimated) is not None:
        return usage
    by, reply = flight.record.routing.deciding_attempt, flight.reply
    said = said_in_answer(reply.body) if type(reply) is Answer else 0 if by is None else by.said
    flight.estimated = rough(flight.call, said)
    return flight.estimated
