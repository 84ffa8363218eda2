"""Money that may be spent: what a budget has, what of it is held for calls under way, and what is gone.

Held is an upper bound of each call, so that what is spent never goes beyond what there is, whatever is under way. When
a call ends, what it did not use comes back, and those who wait for it are served in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from math import inf
from typing import Any

from twisted.internet.defer import Deferred

from llmedge.config.sections.budgets import Budget, are_for
from llmedge.model import Clock, Limits
from llmedge.money import picos, text
from llmedge.state.periods import NEVER, period

_ALL = ("*",)
RECENT = 1000
"""Costs kept one by one until the database has them; beyond it they are added up, and counted a little longer."""


class Fund:
    """One budget, as one process knows it. Amounts are picos.

    :ivar blocks: it refuses what would go beyond it. ``for_all``: calls of every model are paid from it.
    :ivar quiet: nothing is to be told while less than that is spent; ``calm``: nor is anything refused.
    :ivar known: what others spent of it, and this process before its start, is counted in.
    :ivar spent: in the period; ``held``: for calls under way.
    :ivar more: added to the amount until ``more_until`` (seconds since 1970).
    :ivar recent: what this process has spent of it in the period and the ledger's database may not have yet, each with
        the number of the last call that is in it.
    """

    def __init__(self, id: str, limits: Limits, budget: Budget, clock: Clock) -> None:
        self.id, self.limits = id, limits
        self._clock = clock
        self._agree(budget)
        self.known = False
        self.spent = self.held = self.more = 0
        self.more_until = 0.0
        self.told: set[float] = set()
        self.recent: deque[tuple[int, int]] = deque()
        self.waiting: deque[Deferred[None]] = deque()
        self._wakes = 0
        self.start, self.end = period(budget, clock.seconds())

    def _agree(self, budget: Budget) -> None:
        self.budget = budget
        self._amount = picos(budget.amount)
        self.blocks, self.for_all = budget.on_breach == "block", budget.models == _ALL
        self.quiet = int(budget.soft[0] * self._amount) if budget.soft else inf
        self.calm = min(self.quiet, self._amount)

    def change(self, budget: Budget) -> None:
        """Its terms are others from now on."""
        before = self.budget
        self._agree(budget)
        start, self.end = period(budget, self._clock.seconds())
        if start != self.start or before.models != budget.models:
            self._begin(start)
            self.known = False
        self.told.clear()
        self.wake()

    def _begin(self, start: float) -> None:
        self.start, self.spent = start, 0
        self.recent.clear()
        self.told.clear()

    @property
    def amount(self) -> int:
        """What there is in this period."""
        if not self.more:
            return self._amount
        return self._amount + (self.more if self._clock.seconds() < self.more_until else 0)

    def is_for(self, model: str) -> bool:
        """Whether a call of ``model`` is paid from it."""
        return self.for_all or are_for(self.budget.models, model)

    def roll(self) -> None:
        """Another period may have begun."""
        now = self._clock.seconds()
        if not self.start <= now < self.end:
            start, self.end = period(self.budget, now)
            self._begin(start)
            self.wake()

    def left(self) -> int:
        """What may be held now."""
        self.roll()
        return self.amount - self.spent - self.held

    def fits(self, amount: int, now: float) -> bool:
        """Whether ``amount`` may be held."""
        if not self.start <= now < self.end:
            self.roll()
        needed = self.spent + self.held + amount
        return needed <= self._amount or not amount or needed <= self.amount or not self.blocks

    def settle(self, held: int, cost: int, received: float, number: int = 0) -> list[float]:
        """A call that ``held`` was for has cost ``cost``; the soft shares of the amount that this reached first.

        :param number: of the call among those that the ledger got; 0: it keeps none.
        """
        self.held -= held
        if received >= self.end:
            self.roll()
        if received >= self.start and cost:  # else it is the last period's
            self.spent += cost
            if number:
                recent = self.recent
                if len(recent) >= RECENT:
                    cost += recent.pop()[1]
                recent.append((number, cost))
        if self.waiting:
            self.wake()
        return [] if self.spent < self.quiet else self.reached()

    def learn(self, spent: int, kept: int) -> list[float]:
        """The database says that ``spent`` is gone, by all; the first ``kept`` calls of this process are in that."""
        recent = self.recent
        while recent and recent[0][0] <= kept:
            recent.popleft()
        self.spent = spent + sum(cost for _, cost in recent)
        self.known = True
        self.wake()
        return self.reached()

    def reached(self) -> list[float]:
        """The soft shares of the amount that are spent now, and were not before."""
        amount = self.amount
        reached = [each for each in self.budget.soft if self.spent >= each * amount and each not in self.told]
        self.told.update(reached)
        return reached

    def event(self, share: float) -> dict[str, Any]:
        """What is told of a soft share that is reached."""
        kind, _, id = self.limits.id.partition(":")
        began, resets = (datetime.fromtimestamp(each, UTC).isoformat() for each in (self.start, self.end))
        return {
            "budget": self.id,
            "scope": kind,
            "scope_id": id,
            "who": self.limits.who,
            "share": share,
            "amount_usd": text(self.amount),
            "spent_usd": text(self.spent),
            "on_breach": self.budget.on_breach,
            "period": self.budget.period,
            "began_at": began.replace("+00:00", "Z"),
            "resets_at": None if self.end >= NEVER else resets.replace("+00:00", "Z"),
        }

    def wake(self) -> None:
        """Something may have come back: the first who waits looks again; whom that wakes in turn comes after it."""
        self._wakes += 1
        if self._wakes == 1:
            while self._wakes and self.waiting:
                self.waiting.popleft().callback(None)
                self._wakes -= 1
            self._wakes = 0
