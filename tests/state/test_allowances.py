"""What callers have taken, in bounded memory however many of them come and go."""

from __future__ import annotations

from decimal import Decimal
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.budgets import Budget
from llmedge.config.sections.rate_limit import RateLimit
from llmedge.errors import RateLimited
from llmedge.model import Caller, Limits
from llmedge.record import Record
from llmedge.state import allowances, rates
from llmedge.state.allowances import Allowances, Taken
from llmedge.state.rates import RateLimiter


def caller(name: str) -> Caller:
    id = f"key:{name}"
    return Caller(name, limits=(Limits(id, name, 60, 60, 1000, 5, ((f"{id}/day", Budget(Decimal(1), period="day")),)),))


class Bounded(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(allowances, "MOST", 100)
        self.patch(rates, "MOST", 100)
        self.clock = Clock()
        self.allowances = Allowances(self.clock)
        self.allowances.ledger = Mock(ended=1)

    def take(self, name: str, tokens: int = 10) -> Taken:
        purse = self.allowances.purse(caller(name))
        assert purse is not None
        taken = self.allowances.take(purse, tokens, purse.funds)
        taken.hold(7)
        return taken

    def settle(self, taken: Taken) -> None:
        record = Record("r", "POST", "/", "", self.clock.seconds(), caller=taken.purse.caller.name)
        record.taken, record.accounting.cost = taken, 3
        self.allowances.settle(record)

    @property
    def size(self) -> int:
        return sum(map(len, (self.allowances._purses, self.allowances._buckets, self.allowances.funds)))

    def test_who_has_gone_is_forgotten(self) -> None:
        for number in range(1000):
            self.settle(self.take(f"c{number}"))
            self.clock.advance(1)
        self.assertLess(self.size, 300)
        self.assertLess(len(self.allowances._places), 110)

    def test_who_has_something_under_way_is_not(self) -> None:
        """Nor what it has used of its minute."""
        taken = [self.take("busy"), self.take("busy", 900)]
        for number in range(300):
            self.settle(self.take(f"c{number}", 0))
        self.assertRaises(RateLimited, self.take, "busy", 900)
        fund = self.allowances.funds["key:busy/day"]
        self.assertEqual((fund.held, self.allowances.under_way("key:busy")), (14, 2))
        for each in taken:
            self.settle(each)
        self.assertEqual((fund.held, fund.spent, self.allowances.under_way("key:busy")), (0, 6, 0))

    def test_money_that_nobody_else_remembers_is_not(self) -> None:
        """Without a ledger."""
        self.allowances.ledger = None
        for number in range(300):
            self.settle(self.take(f"c{number}"))
            self.clock.advance(60)
        self.assertEqual(self.allowances.funds["key:c0/day"].spent, 3)

    def test_requests_a_minute(self) -> None:
        limiter = RateLimiter(RateLimit(rpm=10**6, burst=10**6), self.clock)
        for _ in range(60):
            limiter.take(caller("busy"))
        for number in range(900):
            limiter.take(caller(f"c{number}"))
            self.clock.advance(0.001)
        self.assertNotEqual(limiter.take(caller("busy"))[1], None)  # type: ignore[index]
        self.clock.advance(60)
        for number in range(2000):
            limiter.take(caller(f"d{number}"))
            self.clock.advance(1)
        self.assertLess(len(limiter._own), 110)
