"""What is known of one deployment (one model at one provider), and its calls' places there."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random

import attrs

from llmedge.config.sections.models import TargetEntry
from llmedge.config.sections.routing import Routing
from llmedge.errors import TargetBusy
from llmedge.model import Clock
from llmedge.operations import Operation
from llmedge.pipeline.limits import limit_of, most_at_once
from llmedge.pipeline.shape import Shape, is_whole
from llmedge.pipeline.signals import Signals, blocked_words, limit_words, pause_words
from llmedge.pipeline.verdicts import Verdict
from llmedge.state.breaker import BreakerSettings, CircuitBreaker, State, Ticket
from llmedge.state.concurrency import LearnedLimit, Outcome
from llmedge.state.fair_queue import FairQueue, Slot
from llmedge.state.latency import PeakEwma, Quantile
from llmedge.state.pacing import Pacer
from llmedge.state.rates import Quota, Reservation, quota
from llmedge.state.usual import UsualTimes

HEDGE_LEAST, HEDGE_MOST = 0.1, 10.0
"""Seconds: bounds of how long a target may be silent before the next one is asked too. Of less nobody takes notice."""
SILENT_LEAST = 2.0
"""Seconds of silence, at least, that count as a failure."""

UNSERVED = 300.0
"""Seconds that a target which has not got what it was asked for is not asked for it, where somebody else is left."""

ANONYMOUS = "anonymous"

ANSWERS = 256
"""Answers that are kept to learn from, until somebody asks what is known."""
PREFILL = 50
"""Tokens that are written in about the time until the first one."""

Observer = Callable[[str, State, State], None]
"""Told ``(deployment, before, after)`` of each change of a breaker."""


class Deployment:
    """One deployment.

    :ivar breaker: of its chats; see :meth:`breaker_of`.
    :ivar unserved: until when it is believed not to have what an operation asks for in a dialect.
    """

    __slots__ = (
        "_adaptive",
        "_answers",
        "_clock",
        "_entry",
        "_hedged",
        "_make_breaker",
        "_others",
        "_pace",
        "_silences",
        "_tail",
        "_usual",
        "answered_at",
        "breaker",
        "name",
        "pacer",
        "queue",
        "quota",
        "signals",
        "unserved",
    )

    def __init__(self, name: str, clock: Clock, random: Random, routing: Routing, observer: Observer | None) -> None:
        self.name = name
        self.signals = Signals(name, clock)
        self._clock = clock
        self.pacer = Pacer(clock, random)
        self.pacer.learns = routing.adaptive
        self._make_breaker = partial(self._breaker, clock, random, observer)
        self.breaker = self._make_breaker(_breaker_settings(routing))
        self._others: dict[Operation, CircuitBreaker] = {}
        self._pace = PeakEwma(clock)
        self._tail = Quantile(clock)
        self._usual = UsualTimes()
        self._answers: deque[tuple[Shape, float, float]] = deque(maxlen=ANSWERS)
        self.queue = FairQueue(clock, limit_of(None, routing, clock), routing.queue, routing.queue_wait, self.pacer)
        self.quota: Quota | None = None
        self._entry: TargetEntry | None = None
        self._adaptive = routing.adaptive
        self.answered_at = -math.inf
        self._silences: deque[Silence] = deque(maxlen=8)
        self._hedged = routing.hedge_ratio
        self.unserved: dict[tuple[Operation, str], float] = {}

    @property
    def usual(self) -> UsualTimes:
        """How long calls take until their first content, by their shape."""
        self._learn()
        return self._usual

    @property
    def pace(self) -> PeakEwma:
        """Shares of that, lately: for choosing."""
        self._learn()
        return self._pace

    @property
    def tail(self) -> Quantile:
        """Quantiles of those shares: for hedging."""
        self._learn()
        return self._tail

    def _learn(self) -> None:
        """From the answers since somebody asked: on most days nobody does."""
        answers = self._answers
        while answers:
            shape, seconds, now = answers.popleft()
            share = self._usual.learn(shape, seconds, now)
            self._pace.observe(share, now)
            self._tail.observe(share, now)

    def _breaker(
        self, clock: Clock, random: Random, observer: Observer | None, settings: BreakerSettings
    ) -> CircuitBreaker:
        def tell(before: State, after: State) -> None:
            if after is State.CLOSED and made.is_down:  # else some of its calls have been going on
                self.pacer.ramp()
            self.signals.breaker(made, before, after)
            if observer is not None:
                observer(self.name, before, after)

        made = CircuitBreaker(clock, random, settings, tell)
        return made

    def breaker_of(self, operation: Operation) -> CircuitBreaker:
        """Its health where it is asked for that: a server that cannot embed may chat well."""
        if operation is Operation.CHAT or operation is Operation.TEXT:
            return self.breaker
        if (breaker := self._others.get(operation)) is None:
            breaker = self._others[operation] = self._make_breaker(self.breaker.settings)
        return breaker

    @property
    def breakers(self) -> list[CircuitBreaker]:
        """Of all that it was asked for."""
        return [self.breaker, *self._others.values()]

    def lacks(self, operation: Operation, dialect: str) -> bool:
        """Whether it said lately that it has not got what that asks for. It may have it for another operation or
        dialect: some of OpenAI's models only answer Responses."""
        return self.unserved.get((operation, dialect), 0.0) > self._clock.seconds()

    def note_unserved(self, operation: Operation, dialect: str) -> None:
        """It said so just now."""
        self.unserved[operation, dialect] = self._clock.seconds() + UNSERVED

    def apply(self, routing: Routing) -> None:
        """Put other settings in force. What is known of it stays, and the calls under way still count."""
        for breaker in self.breakers:
            breaker.settings = _breaker_settings(routing)
        self.queue.length, self.queue.max_wait = routing.queue, routing.queue_wait
        self._hedged = routing.hedge_ratio
        if self._adaptive != routing.adaptive:
            self._adaptive = self.pacer.learns = routing.adaptive
            self.queue.limit = limit_of(self._entry, routing, self._clock)

    def limit_as(self, entry: TargetEntry, routing: Routing) -> None:
        """Put the limits of ``entry`` in force, if they are not already."""
        if entry is self._entry:
            return
        before, self._entry = self._entry, entry
        if before is None or before.max_concurrency != entry.max_concurrency:
            limit = self.queue.limit
            if isinstance(limit, LearnedLimit):
                limit.allow(most_at_once(entry))
            else:
                limit = limit_of(entry, routing, self._clock)
            self.queue.limit = limit
        if before is None or (before.rpm, before.tpm) != (entry.rpm, entry.tpm):
            self.quota = quota(self._clock, entry.rpm, entry.tpm) if entry.rpm or entry.tpm else None

    def lease_now(self, shape: Shape, breaker: CircuitBreaker, last: bool = False) -> Lease | None:
        """A place for one call, where it is had without waiting or counting; see :meth:`lease`."""
        if self.quota is not None:
            return None
        slot = self.queue.take()
        if slot is None:
            return None
        ticket = breaker.begin(last)
        if ticket is None:
            slot.release()
            return None
        return Lease(self, breaker, slot, ticket, None, shape)

    async def lease(
        self,
        caller: str,
        wait: float,
        tokens: int,
        shape: Shape,
        breaker: CircuitBreaker,
        last: bool = False,
        again: bool = False,
    ) -> Lease:
        """A place for one call.

        :param wait: seconds it may wait for it. ``tokens``: how many it will use, about.
        :param breaker: that of the call's operation. ``last``: nobody else is left to be asked.
        :param again: it was asked before, and takes its place in the queue again.
        :raises TargetBusy: there is none.
        """
        reservation = None if self.quota is None else await self.quota.reserve(tokens)
        try:
            try:
                slot = await self.queue.acquire(caller, wait, again)
            except TargetBusy as busy:
                busy.message += f" ({limit_words(self.queue)})"
                raise
            ticket = breaker.begin(last)
            if ticket is None:
                slot.release()
                raise TargetBusy("is being left alone after failures")
        except BaseException:
            if reservation is not None:
                reservation.cancel()
            raise
        return Lease(self, breaker, slot, ticket, reservation, shape)

    def patience(self, shape: Shape) -> float | None:
        """Seconds it may be silent before another one is asked too; ``None``: as long as it likes. At the quantile that
        leaves as many calls as may be hedged (Dean & Barroso 2013 have the 95th percentile, for 5 %), where its slowest
        take so much longer that another answer would be there before; else when it is later than all of them."""
        tail, whole, usual = self.tail, is_whole(shape), self.usual.of(shape)
        late, median, longest = tail.at(1.0 - self._hedged), tail.at(0.5), tail.at(0.99)
        if late is None or median is None or longest is None or usual is None:
            return None if whole else HEDGE_MOST  # how long a whole answer takes is no sign of trouble until known
        late = max(late, 2.0 * median)
        patience = max(HEDGE_LEAST, usual * (late if longest >= late + median else longest + median))
        return patience if whole else min(HEDGE_MOST, patience)

    def is_silent(self, caller: str, size: int, waited: float, beaten: bool) -> bool:
        """Whether it is silent for all, as it was to a call of ``size`` bytes that was given up after ``waited``
        seconds; ``beaten``: because another target answered it.

        Whoever is impatient must not shut out the others. So that is only where no answer began since the call did, and
        where another caller's, of about the same size, came to nothing as well.
        """
        mine = Silence(self._clock.seconds(), caller, size)
        if self.answered_at >= mine.at - waited:
            return False
        others = any(each.at > self.answered_at and each.is_like(mine) for each in self._silences)
        self._silences.append(mine)
        return beaten or others

    def overdue(self, shape: Shape, waited: float, too_late: bool) -> bool:
        """Whether ``waited`` seconds are longer than it ever takes; ``too_late``: the call's deadline has passed."""
        longest, usual = self.tail.at(0.99), self.usual.of(shape)
        if longest is not None and usual is not None:
            return waited >= max(SILENT_LEAST, 2.0 * longest * usual)
        return waited >= HEDGE_MOST and (not is_whole(shape) or too_late)

    def waited_in_vain(self, shape: Shape, waited: float) -> None:
        """``waited`` seconds had passed without an answer when nobody wanted it any more: it takes longer than that."""
        share = waited / (self.usual.of(shape) or 1.0)
        self.pace.at_least(share)
        if share > (self.tail.at(1.0 - self._hedged) or math.inf):  # or its quantiles would be those of who won
            self.tail.observe(share)

    def expected(self, shape: Shape) -> float:
        """Seconds that one more call would take, about; see :meth:`PeakEwma.score`."""
        return self.pace.score(self.load) * (self.usual.of(shape) or 1.0)

    @property
    def rate(self) -> float:
        """Calls a second it is given."""
        rpm = None if self._entry is None else self._entry.rpm
        return min(self.pacer.rate, rpm / 60.0 if rpm else math.inf)

    def blocked_by(self, breaker: CircuitBreaker, last: bool = False) -> str:
        """Why no call may begin now, in words, ``""`` if one may; see :meth:`CircuitBreaker.blocked_by`."""
        if self.pacer.slow and not last and self.pacer.paused():
            return pause_words(self.pacer)
        blocked = breaker.blocked_by(last)
        return blocked_words(breaker, blocked) if blocked else ""

    def available_at(self, breaker: CircuitBreaker, last: bool = False) -> float:
        """The clock's seconds at which a call may begin, now or earlier if it may already."""
        return max(breaker.available_at(last), self._clock.seconds() + self.pacer.paused(last))

    @property
    def load(self) -> int:
        """Calls under way and waiting."""
        return self.queue.in_flight + self.queue.waiting


@attrs.frozen
class Silence:
    """A call that somebody gave up, at ``at``, of so many bytes."""

    at: float
    caller: str
    size: int

    def is_like(self, other: Silence) -> bool:
        """Of another caller, as far as callers are known, with a prompt of about that size."""
        least, most = sorted((self.size, other.size))
        return most <= 4 * least and (self.caller != other.caller or self.caller == ANONYMOUS)


def _breaker_settings(routing: Routing) -> BreakerSettings:
    return BreakerSettings(
        failure_rate=routing.breaker_rate,
        consecutive_failures=routing.breaker_failures,
        open_time=routing.breaker_open,
        max_open_time=routing.breaker_max_open,
    )


@attrs.define(eq=False)
class Lease:
    """One call's place at a deployment: its ticket, slot and reservation, given back on every way out, once.

    :ivar again: the same call has failed there before, which counts once: it may be the call.
    """

    deployment: Deployment
    breaker: CircuitBreaker
    slot: Slot
    _ticket: Ticket
    _reservation: Reservation | None
    shape: Shape
    again: bool = False
    pace: float | None = None
    ended: bool = False

    def answered(self, now: float, seconds: float, tokens: int = 0) -> None:
        """Content came, ``seconds`` after the call was put to the deployment.

        :param tokens: of a whole answer.
        """
        self.pace = seconds
        self._ticket.succeed(now)
        deployment = self.deployment
        deployment.answered_at = now
        if deployment.pacer.slow:
            deployment.pacer.answered(now - seconds)
        # Pace is for the answer's length, and for what was asked for: an embedding is no chat.
        kind = self.shape & 1 if self.breaker is deployment.breaker else self.breaker
        self.slot.answered(seconds / (PREFILL + tokens), kind)
        deployment._answers.append((self.shape, seconds, now))

    def failed(self, verdict: Verdict, waited: float, retry_after: float | None = None) -> bool:
        """The call failed after ``waited`` seconds, before or after the first content.

        :param retry_after: seconds its target wants to be left alone.
        :returns: whether it was refused for want of places, as far as is known: one is enough for it to come back.
        """
        if self.ended:
            return False
        full = verdict.load is Outcome.OVERLOADED and self._refused(verdict, waited, retry_after)
        # Who takes no more than it has at work is well; and a call that fails again may be at fault itself.
        counts = not full and not (self.again and self.breaker.state is State.CLOSED)
        if self.pace is not None:
            if verdict.unhealthy and counts:
                self.breaker.note_failure()
        elif verdict.unhealthy:
            if counts:
                self.breaker.lasting = verdict.lasting
                self._ticket.fail(waited)
            if verdict.load is Outcome.OVERLOADED:
                self.deployment.waited_in_vain(self.shape, waited)  # a silence is an answer's time at least
        self._end(verdict.load, 0 if not verdict.billed else None)
        return full

    def _refused(self, verdict: Verdict, waited: float, retry_after: float | None) -> bool:
        """Whether that may be for want of places."""
        pacer, queue = self.deployment.pacer, self.deployment.queue
        full, beside = self.slot.refused(), self.slot.load > 1
        if retry_after and not full:
            pacer.told(self.slot.number, queue.begun)
            pacer.pause(retry_after, "Retry-After", number=self.slot.number if beside else 0)
            self.deployment.signals.pause(pacer.paused())
            return False
        if pacer.slow:
            others = beside and not queue.limit.is_by_chance
            full = pacer.is_full(self.deployment._clock.seconds() - waited, others) or full
        if not verdict.unhealthy:  # the breaker looks after the others
            pacer.refused(self.slot.number, queue.begun, full, waited, beside)
        return full

    def end(self, tokens: int | None) -> None:
        """The answer is complete; ``tokens`` used, if known."""
        if not self.ended:
            if self.breaker.breaks:
                self.breaker.note_whole()
            self._end(Outcome.OK, tokens)

    def abandon(self) -> None:
        """Nothing was learned: the client left, or another target was faster."""
        if not self.ended:
            self._end(Outcome.IGNORED, None)

    def _end(self, outcome: Outcome, tokens: int | None) -> None:
        self.ended = True
        if self.pace is None:
            self._ticket.abandon()
        if (queue := self.deployment.queue).limit.why:
            self.deployment.signals.limit(queue)
        self.slot.release(outcome)
        if self._reservation is not None and tokens is not None:
            self._reservation.commit(tokens)
