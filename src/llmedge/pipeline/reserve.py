"""Hold what a call may take of its caller's limits before anybody is asked: a place, tokens of the minute, money. What
it did not use comes back when its record ends, on every way out (:meth:`Allowances.settle`)."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import BudgetExhausted, BudgetHeld, LedgerUnavailable, TargetBusy, ValidationError
from llmedge.money import text
from llmedge.operations import COUNT_TOKENS
from llmedge.pipeline.bounds import Bound, Bounds, answers, output_asked
from llmedge.pipeline.shape import tokens_of
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.providers.provider import Provider
from llmedge.record import Attempt, Fact, Record
from llmedge.state.allowances import Allowances, Taken
from llmedge.state.funds import Fund
from llmedge.streams import Reply

LEAST = 256
"""Tokens under which no answer is limited where nobody knows how long answers usually are."""
HELD = 2.0
"""Seconds after which money may have come back: nobody knows."""
SOON = 60.0
"""Seconds within which the end of a period is worth telling as ``Retry-After``."""
KNOWING = 2.0
"""Seconds that a call waits for what was spent before this process began."""

OUTPUT_LIMITED = Fact(
    "output_limited",
    "tokens that the answer was limited to, because a budget is nearly spent",
    "llmedge.output_limited",
    "x-llmedge-output-limited",
)
BUDGET_WARNING = Fact(
    "budget_warning",
    "whose budget is nearly spent, and how much of it is",
    "llmedge.budget_warning",
    "x-llmedge-budget-warning",
)


class Gate(Protocol):
    """What is asked of the ledger before a call is begun."""

    strict: bool
    blocked: bool

    def intend(self, record: Record, reserved: int) -> Deferred[None]: ...


class Reserve(Stage):
    """Between those who may answer without asking anybody and the route."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self._allowances, self._gate = deps.allowances, deps.ledger
        self._strict = self._gate is not None and self._gate.strict
        self._bounds = Bounds(deps.models, deps.prices)

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        gate = self._gate
        if gate is not None and gate.blocked:
            raise LedgerUnavailable
        purse = self._allowances.purse(call.caller)
        if purse is not None:
            free = call.operation is COUNT_TOKENS
            tokens = 0 if free or not purse.buckets else tokens_of(call)
            try:
                taken = self._allowances.take(purse, tokens, () if free else purse.paying(call.model))
            finally:
                if purse.buckets:
                    call.record.tokens_level = purse.level()
            call.record.taken = taken
            if taken.funds:
                return self._with_money(call, proceed, taken)
        return self._written(call, proceed, 0) if self._strict else proceed(call)

    def _with_money(self, call: Call, proceed: Handler, taken: Taken) -> Awaitable[Reply]:
        if self.deps.prices.catalogue is None:
            return self._once_known(call, proceed, taken)
        needed, now, calm = self._bounds.of(call), call.record.received, True
        amount = 0 if needed is None else needed.fixed + needed.for_output
        for fund in taken.funds:
            if not fund.known:
                return self._once_known(call, proceed, taken)
            if fund.spent + fund.held + amount >= fund.calm or not fund.start <= now < fund.end:
                calm = False
        if needed is None:
            return self._unpriced(call, proceed, taken)
        if not needed.limited or self._strict or not (calm or all(fund.fits(amount, now) for fund in taken.funds)):
            return self._held(call, proceed, taken, needed)
        taken.hold(amount)
        if not calm:
            self._warn(call, taken.funds)
        return proceed(call)

    async def _once_known(self, call: Call, proceed: Handler, taken: Taken) -> Reply:
        """The process has just begun: what was spent before is being read, and the list prices."""
        with call.record.routing.wait(call.deadline.clock):
            await self.deps.prices.ready()
            await self.deps.known(taken.funds, KNOWING)
        for fund in taken.funds:
            fund.known = True  # as far as can be known now; it is read again and again
        return await self._with_money(call, proceed, taken)

    def _unpriced(self, call: Call, proceed: Handler, taken: Taken) -> Awaitable[Reply]:
        """Of somebody who may be asked the price is not known; what others cost counts all the same."""
        for fund in taken.funds:
            if fund.blocks and fund.spent >= fund.amount:
                raise _exhausted(fund, call.deadline.clock.seconds())
            if fund.blocks and fund.budget.unpriced == "refuse":
                raise ValidationError(
                    f"The price of '{call.model}' is not known, so it cannot be asked for within the budget of "
                    f"{_whose(fund)}. The operator can give it one ([prices]), or allow it (unpriced).",
                    param="model",
                )
        return self._written(call, proceed, 0) if self._strict else proceed(call)

    async def _held(self, call: Call, proceed: Handler, taken: Taken, needed: Bound) -> Reply:
        call = await self._wait(call, taken, needed)
        self._warn(call, taken.funds)
        if self._strict:
            return await self._written(call, proceed, taken.amount)
        return await proceed(call)

    async def _written(self, call: Call, proceed: Handler, reserved: int) -> Reply:
        assert self._gate is not None
        with call.record.routing.wait(call.deadline.clock):
            await self._gate.intend(call.record, reserved)
        return await proceed(call)

    async def _wait(self, call: Call, taken: Taken, needed: Bound) -> Call:
        """Hold the money, waiting for what others hold if need be; near the end the answer is limited to what is left.

        :raises BudgetExhausted: it is spent. :raises BudgetHeld: it is not, and did not come back in time.
        """
        clock, funds, first = call.deadline.clock, taken.funds, True
        until = clock.seconds() + min(self.deps.queue_wait, call.deadline.left())
        while True:
            now = clock.seconds()
            short = [fund for fund in funds if not fund.fits(needed.amount, now)]
            output = needed.output
            if short:
                output = needed.fitting(min(fund.left() for fund in short))
            if not short or output >= _least(call, taken, needed):
                break
            held = [fund for fund in short if fund.held and needed.fixed <= fund.amount - fund.spent]
            if len(held) < len(short):
                raise _exhausted(next(fund for fund in short if fund not in held), now)
            fund = held[0]
            if (left := until - now) <= 0:
                raise BudgetHeld(
                    f"What is left of the budget of {_whose(fund)} is held for calls under way.", retry_after=HELD
                )
            await self._turn(call, fund, left, first)
            first = False
        amount = needed.amount if not short else needed.fixed + needed.for_output * output // max(1, needed.output)
        taken.hold(amount)
        for fund in funds:
            fund.wake()  # who comes next may find enough as well
        return call if needed.limited and not short else self._limited(call, output)

    async def _turn(self, call: Call, fund: Fund, seconds: float, first: bool) -> None:
        """Until something has come back, those who came before have looked, or ``seconds`` are over."""
        turn: Deferred[None] = Deferred()
        (fund.waiting.append if first else fund.waiting.appendleft)(turn)
        clock = call.deadline.clock
        late = clock.callLater(seconds, turn.callback, None)
        try:
            with call.record.routing.wait(clock):
                await turn
        except CancelledError:
            if turn not in fund.waiting:
                fund.wake()
            raise
        finally:
            if turn in fund.waiting:
                fund.waiting.remove(turn)
            if late.active():
                late.cancel()

    def _limited(self, call: Call, output: int) -> Call:
        each = max(1, output // answers(call))
        asked = output_asked(call)
        if asked is not None and asked <= output:
            return call
        call.record.facts[OUTPUT_LIMITED] = each
        return call.changed(fields=DIALECTS[call.dialect].with_output(call.fields, each))

    def _warn(self, call: Call, funds: Sequence[Fund]) -> None:
        for fund in funds:
            if fund.spent >= fund.quiet and fund.amount and fund.spent >= fund.budget.soft[0] * fund.amount:
                share = 100 * fund.spent // fund.amount
                call.record.facts[BUDGET_WARNING] = f"{_whose(fund)} has spent {share} % of {_terms(fund)}"
                return


class Reserving:
    """A provider that is asked once more only where that can be paid for, too."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.name = provider.name

    def complete(self, call: Call, attempt: Attempt) -> Coroutine[Any, Any, Reply]:
        """:raises TargetBusy: a budget of the caller's has no money for another attempt."""
        taken: Taken | None = call.record.taken
        if taken is not None:
            if taken.attempts and not taken.another(call.deadline.clock.seconds()):
                raise TargetBusy("was not asked: the caller's budget has nothing left for another attempt")
            taken.attempts += 1
        return self._provider.complete(call, attempt)

    def close(self) -> None:
        self._provider.close()


def charge(allowances: Allowances, call: Call, cost: int) -> None:
    """Take ``cost`` of what the caller of ``call`` may spend, for what nobody was asked for.

    :raises BudgetExhausted: it is not there.
    """
    purse = allowances.purse(call.caller)
    funds, now = () if purse is None else purse.paying(call.model), call.deadline.clock.seconds()
    for fund in funds:
        if not fund.fits(cost, now):
            raise _exhausted(fund, now)
    if purse is not None and funds and call.record.taken is None:
        call.record.taken = allowances.take(purse, 0, funds)
        call.record.taken.hold(cost)


def _least(call: Call, taken: Taken, needed: Bound) -> int:
    """Tokens under which an answer is not limited: what such answers usually have."""
    usual = taken.purse.usual_output(call.record.model_label)
    return min(needed.output, LEAST if usual is None else max(1, usual))


def _whose(fund: Fund) -> str:
    who = fund.limits.who
    return who[:1].lower() + who[1:]


def _terms(fund: Fund) -> str:
    period = fund.budget.period
    of = {"total": "in all", "day": "a day", "week": "a week", "month": "a month"}.get(period, f"in {period[:-1]} days")
    return f"{text(fund.amount)} USD {of}"


def _exhausted(fund: Fund, now: float) -> BudgetExhausted:
    left = fund.end - now
    when = "" if fund.budget.period == "total" else " It begins anew with the next period."
    return BudgetExhausted(
        f"The budget of {_whose(fund)} is spent: {_terms(fund)}.{when}",
        retry_after=left if left <= SOON else None,
    )
