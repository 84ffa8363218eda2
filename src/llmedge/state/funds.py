"""Money that may be spent: what a budget has, what of it is held for calls under way, and what is gone.

Held is an upper bound of each call, so that what is spent never goes beyond what there is, whatever is under way. When
a call ends, what it did not use comes back, and those who wait for it are served in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from twisted.internet.defer import Deferred

from llmedge.config.sections.budgets import Budget
from llmedge.model import Clock, Limits
from llmedge.money import picos, text
from llmedge.state.periods import NEVER, period

_ALL = ("*",)
RECENT = 1000
"""Costs kept one by one until the database has them; beyond it they are added up, and counted a little longer."""


class Fund:
    """One budget, as one process knows it. Amounts are picos.

    :ivar known: what others spent of it, and this process before its start, is counted in.
    :ivar spent: in the period; ``held``: for calls under way, of which there are ``calls``.
    :ivar more: added to the amount until ``more_until`` (seconds since 1970).
    :ivar recent: what this process has spent of it in the period and the ledger's database may not have yet, each with
        the number of the last call that is in it.
    """

    def __init__(self, id: str, limits: Limits, budget: Budget, clock: Clock) -> None:
        self.id, self.limits, self.budget = id, limits, budget
        self._clock = clock
        self._amount = picos(budget.amount)
        self.known = False
        self.spent = self.held = self.calls = self.more = 0
        self.more_until = 0.0
        self.told: set[float] = set()
        self.recent: deque[tuple[int, int]] = deque()
        self.waiting: deque[Deferred[None]] = deque()
        self.start, self.end = period(budget, clock.seconds())

    def change(self, budget: Budget) -> None:
        """Its terms are others from now on."""
        before, self.budget = self.budget, budget
        self._amount = picos(budget.amount)
        start, self.end = period(budget, self._clock.seconds())
        if start != self.start or before.models != budget.models:
            self._begin(start)
            self.known = False
        self.told.clear()
        self.wake()

    def _begin(self, start: int) -> None:
        self.start, self.spent = start, 0
        self.recent.clear()
        self.told.clear()

    @property
    def blocks(self) -> bool:
        """Whether it refuses anything."""
        return self.budget.on_breach == "block"

    @property
    def amount(self) -> int:
        """What there is in this period."""
        if not self.more:
            return self._amount
        return self._amount + (self.more if self._clock.seconds() < self.more_until else 0)

    def is_for(self, model: str) -> bool:
        """Whether a call of ``model`` is paid from it."""
        models = self.budget.models
        return models == _ALL or any(fnmatchcase(model, pattern) for pattern in models)

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

    def fits(self, amount: int) -> bool:
        """Whether ``amount`` may be held."""
        if not self.start <= self._clock.seconds() < self.end:
            self.roll()
        return not amount or self.spent + self.held + amount <= self.amount or not self.blocks

    def settle(self, held: int, cost: int, received: float, number: int = 0) -> list[float]:
        """A call that ``held`` was for has cost ``cost``; the soft shares of the amount that this reached first.

        :param number: of the call among those that the ledger got; 0: it keeps none.
        """
        self.held -= held
        if not self.start <= self._clock.seconds() < self.end:
            self.roll()
        if received >= self.start:  # else it is the last period's
            self.spent += cost
            if cost and number:
                if len(self.recent) >= RECENT:
                    cost += self.recent.pop()[1]
                self.recent.append((number, cost))
        if self.waiting:
            self.wake()
        return self.reached()

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
        soft = self.budget.soft
        if not soft or self.spent < soft[0] * self.amount:
            return []
        reached = [each for each in soft if self.spent >= each * self.amount and each not in self.told]
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
        """Something may have come back: the first who waits looks again."""
        if self.waiting:
            self.waiting.popleft().callback(None)


class Holds:
    """What is held for one call: the same amount of each of its funds, once for each attempt.

    :ivar amount: of one attempt.
    """

    __slots__ = ("amount", "attempts", "funds", "held")

    def __init__(self, funds: Sequence[Fund], amount: int) -> None:
        self.funds, self.amount = funds, amount
        self.attempts = self.held = 0
        self._hold()

    def _hold(self) -> None:
        self.held += self.amount
        for fund in self.funds:
            fund.held += self.amount

    def another(self) -> bool:
        """One more attempt is about to be made; whether what it may cost is there. The first one's is."""
        self.attempts += 1
        if self.attempts == 1:
            return True
        if not all(fund.fits(self.amount) for fund in self.funds):
            self.attempts -= 1
            return False
        self._hold()
        return True

    def settle(self, cost: int, received: float, number: int, tell: Callable[[Fund, float], None]) -> None:
        """The call is over and has cost ``cost``; ``number`` as for :meth:`Fund.settle`."""
        for fund in self.funds:
            for share in fund.settle(self.held, cost, received, number):
                tell(fund, share)
        self.held = 0
