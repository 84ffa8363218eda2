"""What was used and what it costs: of each attempt that may be billed, in its record, and of all of them together."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects import billing
from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import Target, Usage
from llmedge.money import USD
from llmedge.operations import Operation
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.tokens import rough
from llmedge.record import (
    AUDIO_SECONDS,
    CHARACTERS,
    COST_UNKNOWN,
    IMAGES,
    PROMPT_CACHE_SAVED,
    TIER,
    Attempt,
    Fact,
)

LONGEST = 256
"""Characters of a model's name."""

_decode_text = msgspec.json.Decoder(str).decode
_AT_WORK = frozenset({"silent", "stall", "cut", "malformed", "too_large", "unusable", "media_type"})
"""Causes of failure whose vendor had the request and worked on it."""


class Books:
    """Keeps the accounts of calls. A row's sum is that of its attempts, whatever became of them."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices

    def enter_answer(self, call: Call, usage: Usage | None, answer: bytes = b"") -> None:
        """Write down a call that was answered, and what others were put to work for.

        :param usage: of the answer; ``None``: nobody can tell.
        :param answer: or its beginning, which says what model wrote it.
        """
        routing, accounting = call.record.routing, call.record.accounting
        by = routing.answered_by
        if by is None:
            if accounting.kept:
                self._enter_kept(call)
                return
            by = routing.deciding_attempt
            if by is None:
                return
        prices = self.prices
        if by.tier and usage is not None:
            usage = msgspec.structs.replace(usage, tier=by.tier)
        cost = prices.price(by.target, usage)
        if prices.seeks and answer and prices.seeks_model(by.target) and (model := model_in(answer)):
            prices.learn(by.target, model)  # a deployment may have any name
            cost = prices.price(by.target, usage)
        accounting.usage = by.usage = usage
        accounting.cost = by.cost = cost
        if cost is None:
            accounting.unpriced = by.unpriced = True
        if usage is not None and (
            usage.tier or usage.characters or usage.audio_ms or usage.images or usage.cached or usage.cache_write
        ):
            _tell(usage, self._saved(by.target, usage), call.record.facts)
        if len(routing.attempts) > 1:
            self._sum(call, by)

    def _enter_kept(self, call: Call) -> None:
        """An answer of the cache's; others may have been asked in vain before."""
        accounting = call.record.accounting
        if call.record.routing.attempts:
            charged = accounting.cost or 0
            self._sum(call, None)
            accounting.cost = charged + (accounting.cost or 0)

    def enter_vain(self, call: Call) -> None:
        """Write down a call that nobody got a whole answer to: what vendors had told, or had said, and the prompt of
        those that were left at work. Nobody takes money for counting tokens."""
        if call.operation is not Operation.COUNT_TOKENS:
            self._sum(call, None)

    def _saved(self, target: Target, usage: Usage) -> int | None:
        """What the vendor's cache saved of the prompt's price, less what writing to it cost, in picos; ``None`` where
        that is not known. The vendor's own sum, where it tells one, does not say what it would have been."""
        if not (usage.cached or usage.cache_write):
            return None
        told = msgspec.structs.replace(usage, cost=None)
        cost = self.prices.price(target, told)
        without = self.prices.price(target, msgspec.structs.replace(told, cached=0, cache_write=0, cache_write_1h=0))
        return None if cost is None or without is None else without - cost

    def _sum(self, call: Call, by: Attempt | None) -> None:
        accounting = call.record.accounting
        total = None
        for attempt in call.record.routing.attempts:
            if attempt is not by:
                self._enter(call, attempt)
                if by is None and attempt.usage is not None:
                    accounting.usage = attempt.usage
            if attempt.cost is not None:
                total = attempt.cost + (total or 0)
            if attempt.unpriced:
                accounting.unpriced = True
        accounting.cost = total
        if accounting.unpriced and total is not None:
            call.record.facts[COST_UNKNOWN] = True

    def _enter(self, call: Call, attempt: Attempt) -> None:
        """An attempt that gave nobody a whole answer."""
        used, said = attempt.usage, attempt.said
        at_work = _is_at_work(attempt)
        if used is None and not said and not at_work:
            return
        if call.operation.passes_through:
            attempt.usage = used or asked_units(call, estimated=True)
        elif used is None:
            attempt.usage = rough(call, said)
        elif said and used.output < (least := rough(call, said).output):  # some tell a first count at the beginning
            attempt.usage = msgspec.structs.replace(used, output=least, estimated=True)
        if attempt.usage is not None:
            tier = attempt.tier or (billing.asked_tier(call.fields) if attempt.usage.estimated else "")
            attempt.usage = msgspec.structs.replace(attempt.usage, tier=tier) if tier else attempt.usage
        attempt.cost = self.prices.price(attempt.target, attempt.usage)
        attempt.unpriced = attempt.cost is None


def _tell(usage: Usage, saved: int | None, facts: dict[Fact, Any]) -> None:
    """Say what was used besides tokens, or otherwise than usual."""
    seconds = usage.audio_ms / 1000
    for fact, value in (
        (PROMPT_CACHE_SAVED, saved and saved / USD),
        (TIER, usage.tier),
        (AUDIO_SECONDS, seconds),
        (CHARACTERS, usage.characters),
        (IMAGES, usage.images),
    ):
        if value:
            facts[fact] = value


def asked_units(call: Call, estimated: bool = False) -> Usage | None:
    """What a request is paid by, where that is not what its answer is: the characters of a text to be spoken."""
    if call.operation is not Operation.AUDIO_SPEECH or "input" not in call.fields:
        return None
    try:
        return Usage(characters=len(_decode_text(call.fields["input"])), estimated=estimated)
    except msgspec.DecodeError:
        return None


class _Named(msgspec.Struct):
    model: str = ""


class _Signed(_Named):
    """What says who wrote it: an answer, or an event, in any dialect."""

    version: str = msgspec.field(default="", name="modelVersion")
    message: _Named | None = None
    response: _Named | None = None


_decode_signed = msgspec.json.Decoder(_Signed).decode


def model_in(answer: bytes) -> str:
    """The model that an answer names, or the beginning of a stream; ``""`` for none. Nothing that a model wrote, such
    as a tool's arguments, is taken for it."""
    for each in [answer] if answer[:1] == b"{" else answer.split(b"\n"):
        try:
            said = _decode_signed(each.removeprefix(b"data:"))
        except UNREADABLE:
            continue
        within = said.message or said.response
        if found := said.model or said.version or (within.model if within is not None else ""):
            return found[:LONGEST]
    return ""


def _is_at_work(attempt: Attempt) -> bool:
    """Whether its vendor had the request, and nobody took back what was asked: a client left, a limit of time passed,
    another one won a race, its answer broke off."""
    if attempt.connected is None:
        return False
    return attempt.outcome in ("ok", "aborted") or attempt.cause in _AT_WORK
