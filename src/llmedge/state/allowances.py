"""What callers may have under way, use in a minute and spend: of each of their limits, in this process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Protocol

import msgspec

from llmedge.config.sections.budgets import Budget
from llmedge.errors import RateLimited
from llmedge.model import Caller, Clock, Limits
from llmedge.record import Record
from llmedge.state.funds import Fund
from llmedge.state.interfaces import Level
from llmedge.state.memory import TokenBucket

Tell = Callable[[Fund, float], None]
_USUAL = 64
"""Answers of a caller and model whose lengths are remembered."""
MOST = 30_000
"""Purses, buckets and funds together, beyond which those that nobody uses are forgotten."""
_SLOT_FREE = 1.0
"""Seconds after which a place may be free: nobody knows."""


class Places:
    """Calls that one of those with limits may have under way, and has. ``limits`` are its own."""

    __slots__ = ("calls", "limits", "most")

    def __init__(self) -> None:
        self.calls = self.most = 0
        self.limits: Limits


class Purse:
    """One caller's: those of its limits that a call takes something from.

    :ivar places: of calls under way. ``tokens``: limits of tokens a minute, each with its bucket in ``buckets``.
    :ivar funds: of money.
    :ivar empty: there is none of these. ``for_all``: all funds pay for all models.
    :ivar lengths: of the last answers that were paid, by the model's label.
    """

    __slots__ = ("buckets", "caller", "empty", "for_all", "funds", "lengths", "places", "tokens")

    def __init__(
        self,
        caller: Caller,
        places: Sequence[Places],
        tokens: Sequence[Limits],
        buckets: Sequence[TokenBucket],
        funds: Sequence[Fund],
    ) -> None:
        self.caller, self.places, self.tokens, self.buckets, self.funds = caller, places, tokens, buckets, funds
        self.empty = not (places or buckets or funds)
        self.for_all = all(fund.for_all for fund in funds)
        self.lengths: dict[str, deque[int]] = defaultdict(partial(deque, maxlen=_USUAL))

    def paying(self, model: str) -> Sequence[Fund]:
        """The funds that a call of ``model`` is paid from."""
        return self.funds if self.for_all else [each for each in self.funds if each.is_for(model)]

    def level(self) -> Level:
        """Of the bucket of tokens that is nearest to its end, at the moment that something was to be taken."""
        buckets = self.buckets
        nearest = buckets[0] if len(buckets) == 1 else min(buckets, key=attrgetter("left"))
        return nearest.level(True)

    def usual_output(self, model: str) -> int | None:
        """Tokens that 95 of 100 answers of ``model`` stay under; ``None``: too few are known."""
        lengths = sorted(self.lengths.get(model, ()))
        return lengths[int(len(lengths) * 0.95)] if len(lengths) >= 8 else None


class Taken(msgspec.Struct):
    """What one call has taken. Its record brings it back: :meth:`Allowances.settle`.

    :ivar tokens: reserved of each bucket.
    :ivar funds: it is paid from; ``amount``: that one of its ``attempts`` may cost, held of each of them for each.
    """

    purse: Purse
    tokens: int
    funds: Sequence[Fund]
    amount: int = 0
    attempts: int = 0

    def hold(self, amount: int) -> None:
        """``amount`` of each fund, for one attempt; it is there."""
        self.amount = amount
        for fund in self.funds:
            fund.held += amount

    def another(self, now: float) -> bool:
        """What one more attempt may cost; whether it is there."""
        fits = all(fund.fits(self.amount, now) for fund in self.funds)
        if fits:
            self.hold(self.amount)
        return fits


class Ended(Protocol):
    """The ledger, as far as this needs it."""

    ended: int


class Allowances:
    """Outlives the configuration. Callers come and go: what nobody uses is forgotten where there is too much of it.

    :ivar tell: is told of a fund that reached a soft share of its amount.
    :ivar ledger: tells how many of its calls it got; ``None``: nobody else remembers what was spent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tell: Tell = lambda fund, share: None
        self.ledger: Ended | None = None
        self._most = MOST
        self.funds: dict[str, Fund] = {}
        self._places: dict[str, Places] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._purses: dict[str, Purse] = {}

    def purse(self, caller: Caller) -> Purse | None:
        """Of ``caller``; ``None``: it has no such limits."""
        purse = self._purses.get(caller.id)
        if purse is None or purse.caller is not caller:
            if not caller.limits:
                return None
            if len(self._purses) + len(self._buckets) + len(self.funds) >= self._most:
                self._forget()
            before, purse = purse, self._make(caller)
            if before is not None:
                purse.lengths = before.lengths
            self._purses[caller.id] = purse
        return None if purse.empty else purse

    def _make(self, caller: Caller) -> Purse:
        limits = caller.limits
        return Purse(
            caller,
            [self._place(each, each.max_concurrency) for each in limits if each.max_concurrency is not None],
            [each for each in limits if each.tpm is not None],
            [self._bucket(each.id, each.tpm) for each in limits if each.tpm is not None],
            [fund for each in limits for fund in self.funds_of(each)],
        )

    def _forget(self) -> None:
        """Purses are made anew from their callers' limits, full buckets from nothing, funds from the ledger."""
        self._purses.clear()
        self._places = {id: each for id, each in self._places.items() if each.calls}
        self._buckets = {id: each for id, each in self._buckets.items() if each.level().reset > 0}
        if self.ledger is not None:
            for id in [id for id, fund in self.funds.items() if not fund.held and not fund.waiting]:
                del self.funds[id]
        self._most = max(MOST, 2 * (len(self._buckets) + len(self.funds)))

    def funds_of(self, limits: Limits) -> list[Fund]:
        """Its budgets, each made where there is none yet."""
        return [self._fund(id, limits, budget) for id, budget in limits.budgets]

    def _place(self, limits: Limits, most: int) -> Places:
        places = self._places.get(limits.id)
        if places is None:
            places = self._places[limits.id] = Places()
        places.limits, places.most = limits, most
        return places

    def _bucket(self, id: str, tpm: int) -> TokenBucket:
        bucket = self._buckets.get(id)
        if bucket is None or bucket.rpm != tpm:
            bucket = self._buckets[id] = TokenBucket(self._clock, tpm, tpm)
        return bucket

    def _fund(self, id: str, limits: Limits, budget: Budget) -> Fund:
        fund = self.funds.get(id)
        if fund is None:
            fund = self.funds[id] = Fund(id, limits, budget, self._clock)
        elif fund.budget != budget:
            fund.change(budget)  # the same one: money of it may be held
        fund.limits = limits
        return fund

    def take(self, purse: Purse, tokens: int, funds: Sequence[Fund] = ()) -> Taken:
        """A place among those under way, and ``tokens`` of the minute, of each limit or of none; what it takes of
        ``funds`` is seen later.

        :raises RateLimited: one of them has too little; it names whose.
        """
        for places in purse.places:
            if places.calls >= places.most:
                raise RateLimited(
                    f"{places.limits.who} has {places.most} calls under way, as many as it may.",
                    scope=places.limits.kind,
                    retry_after=_SLOT_FREE,
                )
        for bucket in purse.buckets:
            if wait := bucket.take(tokens):
                raise self._over(purse, bucket, tokens, wait)
        for places in purse.places:
            places.calls += 1
        return Taken(purse, tokens, funds)

    def _over(self, purse: Purse, bucket: TokenBucket, tokens: int, wait: float) -> RateLimited:
        """The refusal of ``bucket``; what was taken of those before it is given back."""
        place = purse.buckets.index(bucket)
        for each in purse.buckets[:place]:
            each.refund(tokens)
        limits = purse.tokens[place]
        return RateLimited(
            f"{limits.who} is over its {limits.tpm} tokens a minute.", scope=limits.kind, retry_after=wait
        )

    def settle(self, record: Record) -> None:
        """An observer: the call of ``record`` is over, and what it took comes back but for what it used."""
        taken = record.taken
        if taken is None:
            return
        record.taken = None
        purse, accounting = taken.purse, record.accounting
        for places in purse.places:
            places.calls -= 1
        used = accounting.usage
        if purse.buckets:
            unused = taken.tokens if used is None else taken.tokens - used.input - used.output
            for bucket in purse.buckets:
                bucket.refund(unused)
        if taken.amount or (taken.funds and accounting.cost):
            held, cost, received = taken.amount * (taken.attempts or 1), accounting.cost or 0, record.received
            number = 0 if self.ledger is None else self.ledger.ended
            for fund in taken.funds:
                if reached := fund.settle(held, cost, received, number):
                    for share in reached:
                        self.tell(fund, share)
            if used is not None and record.outcome == "ok":
                purse.lengths[record.model_label].append(used.output)

    def under_way(self, id: str) -> int:
        """Calls of the limits ``id``."""
        places = self._places.get(id)
        return 0 if places is None else places.calls
