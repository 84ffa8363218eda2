"""The cache, by meaning as well: what was not asked in these words may have been asked in others.

It comes in where the exact cache has nothing. What it would serve is served only where its audit lets it; else, and for
a share of all the same, the vendor is asked, its answer is given, and the stored one is compared with it afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred

from llmedge.cache.asked import Asked, scope_of
from llmedge.cache.entry import Entry
from llmedge.cache.flight import Flight
from llmedge.cache.semantic import judge
from llmedge.cache.semantic.answers import said_in
from llmedge.cache.semantic.question import Question, question_of
from llmedge.cache.semantic.state import SemanticState, pair_of
from llmedge.call import Call
from llmedge.config.sections.semantic import Semantic
from llmedge.errors import EdgeError
from llmedge.model import Answer, Caller
from llmedge.pipeline.asides import Asides, operators
from llmedge.pipeline.cache import Cache
from llmedge.pipeline.stage import Handler, StageDeps
from llmedge.record import CACHE_LIKENESS, CACHE_RULE
from llmedge.streams import Reply

AT_ONCE = 32
"""Comparisons and questions to be remembered, under way in the background; beyond them it is left."""
TRIES = 3
"""Questions that are tried for one: answers leave the cache, and nobody tells."""
PATIENCE = 30.0
"""Seconds that a judge has in the background."""


@attrs.frozen
class SemanticDeps:
    """What the cache by meaning is built with besides."""

    settings: Semantic
    state: SemanticState
    asides: Asides


class Looking(Asked):
    """What the cache is asked, and what it finds by meaning.

    :ivar read: the question as the guards see it, with its vector where that was made.
    :ivar found: one that may say the same; ``entry``: its answer.
    """

    question: Question = None  # type: ignore[assignment]  # a struct's fields behind others need a default
    read: Any = None
    found: Any = None
    entry: Entry | None = None
    served: bool = False

    @property
    def pair(self) -> bytes:
        """A digest of both questions."""
        question = self.question
        return pair_of(question.partition, question.before, question.text, self.found.asked.text)


class SemanticCache(Cache):
    """The stage of the cache, where it is on by meaning."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        parts: SemanticDeps = deps.cache.semantic
        self._settings, self._meaning, self._asides = parts.settings, parts.state, parts.asides
        self._random = deps.cache.random.random
        self._under_way = 0

    def _ask(self, asked: Asked, stale: Entry | None, proceed: Handler) -> Awaitable[Reply]:
        question = self._question(asked) if asked.wish.store else None
        if question is None:
            return super()._ask(asked, stale, proceed)
        look = Looking(**{name: getattr(asked, name) for name in Asked.__struct_fields__}, question=question)
        if asked.wish.read:
            proceed = partial(self._by_meaning, look, proceed)
        return super()._ask(look, stale, proceed)

    def _question(self, asked: Asked) -> Question | None:
        settings, call = self._settings, asked.call
        if (call.record.message_count or 0) > settings.max_messages or asked.policy.scope == "shared":
            return None
        if settings.models != ("*",) and not any(fnmatchcase(call.model, each) for each in settings.models):
            return None
        return question_of(call, asked.prefix, settings.max_messages, settings.max_chars)

    async def _by_meaning(self, look: Looking, proceed: Handler, call: Call) -> Reply:
        """What was answered to another question, or what is answered now.

        :raises EdgeError: nothing is.
        """
        try:
            rule = await self._search(look, call)
        except CancelledError:
            raise  # nobody waits for it any more
        except Exception:
            look.found = None
            self._meaning.failed("a question could not be looked up")
            rule = ""
        if not rule or look.entry is None:
            return await proceed(call)
        look.served = True
        self._meaning.served += 1
        facts = call.record.facts
        facts[CACHE_LIKENESS], facts[CACHE_RULE] = round(look.found.likeness, 4), rule
        now = call.deadline.clock.seconds()
        return self._cached.serve(replace(look, call=call), look.entry, "semantic", now, "SEMANTIC")

    async def _search(self, look: Looking, call: Call) -> str:
        """By which rule an answer is served; ``""``: none is."""
        entry = None
        for _ in range(TRIES):
            await self._find(look, call)
            if look.found is None or (entry := await self._entry(look)) is not None:
                break
            self._meaning.work(self._meaning.forget, look.question.partition, look.found.asked.key)
            look.found = None
        if look.found is None or entry is None:
            return ""
        if not look.takes(entry, call.deadline.clock.seconds()) or self._meaning.verdict(look.pair) is False:
            look.found = None
            return ""
        look.entry = entry
        rule = await self._rule(look, call)
        return rule if rule and self._random() >= self._settings.audit else ""

    async def _find(self, look: Looking, call: Call) -> None:
        """Something that was asked before and may say the same."""
        state, question = self._meaning, look.question
        place = question.partition, question.before
        if not state.knows(question.partition):
            return  # there is nothing to compare it with
        if look.read is None:
            looking = state.work(state.look, *place, question.text)
        else:
            looking = state.work(state.find, *place, look.read, None)
        if looking is None:
            return
        look.read, look.found = await looking
        if self._settings.embeddings and look.read is not None and look.read.vector is None:
            with call.record.routing.wait(call.deadline.clock):
                values = await self._vector(question.text, call.caller)
            finding = None if values is None else state.work(state.find, *place, look.read, values)
            if finding is not None:
                look.read, look.found = await finding
        if look.found is not None and self._settings.mode == "strict" and not look.found.strict:
            look.found = None

    async def _entry(self, look: Looking) -> Entry | None:
        """The answer of what was found, where it is there yet."""
        key, state = look.found.asked.key, self._state
        entry = state.memory.get(key)
        if entry is None and state.shared is not None and (coming := state.shared.get(key)) is not None:
            entry = await coming
        return entry

    async def _rule(self, look: Looking, call: Call) -> str:
        mode = self._settings.mode
        if mode == "shadow":
            return ""
        if look.found.strict and self._audit(look, "strict").serving:
            return "strict"
        if mode == "verified" and self._audit(look, "verified").serving:
            with call.record.routing.wait(call.deadline.clock):
                seconds = min(self._settings.judge_timeout, call.deadline.left())
                same = await self._is_same(look, call.caller, seconds)
            if same is False:
                look.found = None
            return "verified" if same else ""
        return ""

    def _audit(self, look: Looking, rule: str) -> Any:
        call = look.call
        scope = scope_of(call, look.policy.scope).partition("\n")[0]
        return self._meaning.audit(look.question.partition, rule, scope, call.record.model_label)

    # Asking others

    async def _vector(self, text: str, caller: Caller) -> list[float] | None:
        """Of a configured embeddings model; ``None``: it has none for us."""
        settings = self._settings
        try:
            return await self._asides.embed(settings.embeddings, text, caller, settings.judge_timeout, "cache_embed")
        except (EdgeError, CancelledError):
            return None  # it is on record

    async def _is_same(self, look: Looking, caller: Caller, seconds: float) -> bool | None:
        """Whether one answer does for both questions, as far as the judge says; asked once for a pair."""
        state, pair, question = self._meaning, look.pair, look.question
        same = state.verdict(pair)
        if same is None:
            asking = judge.same_question(look.found.asked.text, question.text, question.context)
            same = await self._judged(asking, caller, seconds)
            if same is not None:
                state.learn(pair, same)
        return same

    async def _judged(self, messages: judge.Messages, caller: Caller, seconds: float) -> bool | None:
        try:
            said = await self._asides.chat(self._settings.judge, messages, caller, seconds, "cache_judge")
        except (EdgeError, CancelledError):
            return None  # it is on record
        return judge.verdict(said)

    # Afterwards

    def _landed(self, flight: Flight) -> None:
        super()._landed(flight)
        asked = flight.asked
        if not isinstance(asked, Looking) or asked.served or not flight.whole or not flight.complete:
            return
        if self._under_way >= AT_ONCE or asked.key not in self._state.memory:
            return  # it was not kept: it did not end well
        reply = flight.reply
        body = reply.body if isinstance(reply, Answer) else b"".join([event.frame for event in flight.events])
        self._in_background(self._learn(asked, body))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        self._under_way += 1
        Deferred.fromCoroutine(work).addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._under_way -= 1
        if result is not None:
            self._meaning.failed("an answer could not be compared, or a question not remembered", result)

    async def _learn(self, look: Looking, body: bytes) -> None:
        """Compare the fresh answer with the stored one, and remember the question."""
        if look.found is not None and look.entry is not None:
            await self._compare(look, look.entry, body)
        state, question = self._meaning, look.question
        if look.read is None:
            looking = state.work(state.look, question.partition, question.before, question.text)
            look.read = None if looking is None else (await looking)[0]
        if look.read is None:
            return
        values = None
        if self._settings.embeddings and look.read.vector is None:
            values = await self._vector(question.text, look.call.caller)
            if values is None:
                return
        adding = state.work(state.add, question.partition, question.before, look.key, look.read, values)
        if adding is not None:
            await adding

    async def _compare(self, look: Looking, stored: Entry, body: bytes) -> None:
        """Whether the stored answer would have done, by each rule that would have served it."""
        rules = ["strict"] if look.found.strict else []
        caller = operators(look.call.caller)
        if self._settings.judge and self._settings.mode != "strict":
            same = await self._is_same(look, caller, PATIENCE)
            if same is None:
                self._note(look, ["verified"], None)
            elif same:
                rules.append("verified")
        if rules:
            self._note(look, rules, await self._does(look, caller, stored, body))

    def _note(self, look: Looking, rules: list[str], right: bool | None) -> None:
        for rule in rules:
            self._audit(look, rule)
            self._meaning.note(look.question.partition, rule, right)
        if right is False:
            self._meaning.learn(look.pair, False)

    async def _does(self, look: Looking, caller: Caller, stored: Entry, body: bytes) -> bool | None:
        """Whether ``stored`` would have done in the place of ``body``; ``None``: nobody says."""
        call = look.call
        reading = self._meaning.work(_texts, call, stored, body)
        if reading is None:
            return None
        old, new, agrees = await reading
        if agrees or not self._settings.judge:
            return bool(agrees)
        if max(len(old), len(new)) > judge.LONGEST:
            return None
        return await self._judged(judge.answer_does(look.question.text, old, new), caller, PATIENCE)


def _texts(call: Call, stored: Entry, body: bytes) -> tuple[str, str, bool]:
    """What both answers say, and whether that is plainly the same. In a thread."""
    from llmedge.cache.semantic.agreement import agree

    old = said_in(call.dialect, stored.body, bool(stored.events), call.choices)
    new = said_in(call.dialect, body, call.stream, call.choices)
    return old, new, agree(old, new)
