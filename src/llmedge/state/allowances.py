"""What callers may have under way, use in a minute and spend: of each of their limits, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from llmedge.config.sections.budgets import Budget
from llmedge.errors import RateLimited
from llmedge.model import Caller, Clock, Limits
from llmedge.record import Record
from llmedge.state.funds import Fund, Holds
from llmedge.state.interfaces import Bucket, Level
from llmedge.state.memory import MemoryStore, TokenBucket
from llmedge.state.rates import Shortage, give_back, take_all

Tell = Callable[[Fund, float], None]
_USUAL = 64
"""Answers of a caller and model whose lengths are remembered."""
MOST = 30_000
"""Purses, buckets and funds together, beyond which those that nobody uses are forgotten."""
_SLOT_FREE = 1.0
"""Seconds after which a place may be free: nobody knows."""


class Purse:
    """One caller's: those of its limits that a call takes something from.

    :ivar slots: limits of calls under way. ``tokens``: of tokens a minute. ``funds``: of money.
    """

    __slots__ = ("caller", "funds", "slots", "tokens")

    def __init__(
        self,
        caller: Caller,
        slots: Sequence[tuple[Limits, int]],
        tokens: Sequence[tuple[Limits, Bucket]],
        funds: Sequence[Fund],
    ) -> None:
        self.caller, self.slots, self.tokens, self.funds = caller, slots, tokens, funds


class Taken:
    """What one call has taken. Its record brings it back: :meth:`Allowances.settle`.

    :ivar tokens: reserved of each bucket.
    """

    __slots__ = ("holds", "purse", "tokens")

    def __init__(self, purse: Purse, tokens: int) -> None:
        self.purse, self.tokens = purse, tokens
        self.holds: Holds | None = None


class Allowances:
    """Outlives the configuration. Callers come and go: what nobody uses is forgotten where there is too much of it.

    :ivar tell: is told of a fund that reached a soft share of its amount.
    :ivar number: tells which of its calls the ledger got last; ``None``: nobody else remembers what was spent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tell: Tell = lambda fund, share: None
        self.number: Callable[[], int] | None = None
        self._most = MOST
        self.funds: dict[str, Fund] = {}
        self._under_way: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}
        self._purses: dict[str, Purse] = {}
        self._lengths: MemoryStore[deque[int]] = MemoryStore(lambda key: deque(maxlen=_USUAL), 10_000)

    def purse(self, caller: Caller) -> Purse | None:
        """Of ``caller``; ``None``: it has no such limits."""
        if not caller.limits:
            return None
        key = caller.id
        purse = self._purses.get(key)
        if purse is None or purse.caller is not caller:
            if len(self._purses) + len(self._buckets) + len(self.funds) >= self._most:
                self._forget()
            purse = self._purses[key] = self._make(caller)
        return purse if purse.slots or purse.tokens or purse.funds else None

    def _make(self, caller: Caller) -> Purse:
        limits = caller.limits
        return Purse(
            caller,
            [(each, each.max_concurrency) for each in limits if each.max_concurrency is not None],
            [(each, self._bucket(each.id, each.tpm)) for each in limits if each.tpm is not None],
            [fund for each in limits for fund in self.funds_of(each)],
        )

    def _forget(self) -> None:
        """Purses are made anew from their callers' limits, full buckets from nothing, funds from the ledger."""
        self._purses.clear()
        self._buckets = {id: each for id, each in self._buckets.items() if each.level().reset > 0}
        if self.number is not None:
            for id in [id for id, fund in self.funds.items() if not fund.calls]:
                del self.funds[id]
        self._most = max(MOST, 2 * (len(self._buckets) + len(self.funds)))

    def funds_of(self, limits: Limits) -> list[Fund]:
        """Its budgets, each made where there is none yet."""
        return [self._fund(id, limits, budget) for id, budget in limits.budgets]

    def _bucket(self, id: str, tpm: int) -> Bucket:
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

    def take(self, purse: Purse, tokens: int) -> Taken:
        """A place among those under way, and ``tokens`` of the minute, of each limit or of none.

        :raises RateLimited: one of them has too little; it names whose.
        """
        for limits, most in purse.slots:
            if self._under_way.get(limits.id, 0) >= most:
                raise RateLimited(
                    f"{limits.who} has {most} calls under way, as many as it may.",
                    scope=limits.kind,
                    retry_after=_SLOT_FREE,
                )
        if purse.tokens:
            shortage = take_all([(bucket, float(tokens)) for _, bucket in purse.tokens])
            if isinstance(shortage, Shortage):
                limits = next(limits for limits, bucket in purse.tokens if bucket is shortage.bucket)
                raise RateLimited(
                    f"{limits.who} is over its {limits.tpm} tokens a minute.",
                    scope=limits.kind,
                    retry_after=shortage.wait,
                )
        for limits, _ in purse.slots:
            self._under_way[limits.id] = self._under_way.get(limits.id, 0) + 1
        for fund in purse.funds:
            fund.calls += 1
        return Taken(purse, tokens)

    def settle(self, record: Record) -> None:
        """An observer: the call of ``record`` is over, and what it took comes back but for what it used."""
        taken = record.taken
        if taken is None:
            return
        record.taken = None
        purse, accounting = taken.purse, record.accounting
        for limits, _ in purse.slots:
            left = self._under_way[limits.id] = self._under_way[limits.id] - 1
            if not left:
                del self._under_way[limits.id]
        for fund in purse.funds:
            fund.calls -= 1
        used = accounting.usage
        if purse.tokens:
            total = 0 if used is None else used.input + used.output
            give_back([(bucket, float(taken.tokens - total)) for _, bucket in purse.tokens])
        if taken.holds is not None:
            number = 0 if self.number is None else self.number()
            taken.holds.settle(accounting.cost or 0, record.received, number, self.tell)
            if used is not None and record.outcome == "ok":
                self._lengths.get(f"{purse.caller.id}\0{record.model_label}").append(used.output)

    def usual_output(self, caller: str, model: str) -> int | None:
        """Tokens that 95 of 100 answers of ``model`` to ``caller`` stay under; ``None``: too few are known."""
        lengths = sorted(self._lengths.get(f"{caller}\0{model}"))
        return lengths[int(len(lengths) * 0.95)] if len(lengths) >= 8 else None

    def level(self, purse: Purse) -> Level | None:
        """Of the bucket of tokens that is nearest to its end."""
        nearest: Level | None = None
        for _, bucket in purse.tokens:
            level = bucket.level()
            if nearest is None or level.remaining < nearest.remaining:
                nearest = level
        return nearest

    def under_way(self, id: str) -> int:
        """Calls of the limits ``id``."""
        return self._under_way.get(id, 0)
