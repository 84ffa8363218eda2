"""What is known of each deployment (one model at one provider): health, pace, load. Outlives the configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import attrs

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.routing import Routing
from llmedge.errors import TargetBusy
from llmedge.model import Clock, Standing
from llmedge.operations import Operation
from llmedge.pipeline.signals import Signals, limit_words
from llmedge.pipeline.standings import UNLIMITED, Labels, standing_of
from llmedge.pipeline.verdicts import Verdict
from llmedge.state.breaker import BreakerSettings, CircuitBreaker, State, Ticket
from llmedge.state.budget import Budget
from llmedge.state.concurrency import AimdLimit, FairQueue, FixedLimit, Limit, Outcome, Slot
from llmedge.state.interfaces import Store
from llmedge.state.latency import PeakEwma, Quantile
from llmedge.state.memory import MemoryStore
from llmedge.state.rates import Quota, Reservation, quota

HEDGE_LEAST, HEDGE_MOST = 0.1, 10.0
"""Seconds: bounds of how long a target may be silent before the next one is asked too. Of less nobody takes notice."""
SILENT_LEAST = 2.0
"""Seconds of silence, at least, that count as a failure."""

Observer = Callable[[str, State, State], None]
"""Told ``(deployment, before, after)`` of each change of a breaker."""


class Deployment:
    """One deployment.

    :ivar breaker: of its chats; see :meth:`breaker_of`.
    :ivar pace: time to first content, for choosing; ``tail`` and ``tail_whole``: its quantiles, of streams and of
        whole answers, for hedging.
    """

    __slots__ = (
        "_adaptive",
        "_entry",
        "_hedged",
        "_make_breaker",
        "_others",
        "breaker",
        "name",
        "pace",
        "queue",
        "quota",
        "signals",
        "tail",
        "tail_whole",
    )

    def __init__(self, name: str, clock: Clock, random: Random, routing: Routing, observer: Observer | None) -> None:
        self.name = name
        self.signals = Signals(name, clock)
        self._make_breaker = partial(self._breaker, clock, random, observer)
        self.breaker = self._make_breaker(_breaker_settings(routing))
        self._others: dict[Operation, CircuitBreaker] = {}
        self.pace = PeakEwma(clock)
        self.tail = Quantile(clock)
        self.tail_whole = Quantile(clock)
        self.queue = FairQueue(clock, _limit(None, routing), routing.queue, routing.queue_wait)
        self.quota: Quota | None = None
        self._entry: TargetEntry | None = None
        self._adaptive = routing.adaptive
        self._hedged = routing.hedge_ratio

    def _breaker(
        self, clock: Clock, random: Random, observer: Observer | None, settings: BreakerSettings
    ) -> CircuitBreaker:
        def tell(before: State, after: State) -> None:
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

    def apply(self, routing: Routing) -> None:
        """Put other settings in force. What is known of it stays, and the calls under way still count."""
        for breaker in self.breakers:
            breaker.settings = _breaker_settings(routing)
        self.queue.length, self.queue.max_wait = routing.queue, routing.queue_wait
        self._hedged = routing.hedge_ratio
        if self._adaptive != routing.adaptive:
            self._adaptive = routing.adaptive
            self.queue.limit = _limit(self._entry, routing)

    def limit_as(self, entry: TargetEntry, routing: Routing, clock: Clock) -> None:
        """Put the limits of ``entry`` in force, if they are not already."""
        if entry is self._entry:
            return
        before, self._entry = self._entry, entry
        if before is None or before.max_concurrency != entry.max_concurrency:
            self.queue.limit = _limit(entry, routing)
        if before is None or (before.rpm, before.tpm) != (entry.rpm, entry.tpm):
            self.quota = quota(clock, entry.rpm, entry.tpm) if entry.rpm or entry.tpm else None

    def lease_now(self, whole: bool, breaker: CircuitBreaker) -> Lease | None:
        """A place for one call, where it is had without waiting or counting; see :meth:`lease`."""
        if self.quota is not None:
            return None
        slot = self.queue.take()
        if slot is None:
            return None
        ticket = breaker.begin()
        if ticket is None:
            slot.release()
            return None
        return Lease(self, breaker, slot, ticket, None, whole)

    async def lease(self, caller: str, wait: float, tokens: int, whole: bool, breaker: CircuitBreaker) -> Lease:
        """A place for one call.

        :param wait: seconds it may wait for it. ``tokens``: how many it will use, about.
        :param breaker: that of the call's operation.
        :raises TargetBusy: there is none.
        """
        reservation = None if self.quota is None else await self.quota.reserve(tokens)
        try:
            try:
                slot = await self.queue.acquire(caller, wait)
            except TargetBusy as busy:
                busy.message += f" ({limit_words(self.queue)})"
                raise
            ticket = breaker.begin()
            if ticket is None:
                slot.release()
                raise TargetBusy("is being left alone after failures")
        except BaseException:
            if reservation is not None:
                reservation.cancel()
            raise
        return Lease(self, breaker, slot, ticket, reservation, whole)

    def patience(self, whole: bool) -> float | None:
        """Seconds it may be silent before another one is asked too; ``None``: as long as it likes. At the quantile that
        leaves as many calls as may be hedged (Dean & Barroso 2013 have the 95th percentile, for 5 %), where its slowest
        take so much longer that another answer would be there before; else when it is later than all of them."""
        tail = self.tail_whole if whole else self.tail
        late, median, longest = tail.at(1.0 - self._hedged), tail.at(0.5), tail.at(0.99)
        if late is None or median is None or longest is None:
            return None if whole else HEDGE_MOST  # how long a whole answer takes is no sign of trouble until known
        late = max(late, 2.0 * median)
        patience = max(HEDGE_LEAST, late if longest >= late + median else longest + median)
        return patience if whole else min(HEDGE_MOST, patience)

    def overdue(self, whole: bool, waited: float, too_late: bool) -> bool:
        """Whether ``waited`` seconds are longer than it ever takes; ``too_late``: the call's deadline has passed."""
        longest = (self.tail_whole if whole else self.tail).at(0.99)
        if longest is not None:
            return waited >= max(SILENT_LEAST, 2.0 * longest)
        return waited >= HEDGE_MOST and (not whole or too_late)

    def waited_in_vain(self, whole: bool, waited: float) -> None:
        """``waited`` seconds had passed without an answer when nobody wanted it any more: it takes longer than that."""
        self.pace.at_least(waited)
        tail = self.tail_whole if whole else self.tail
        if waited > (tail.at(1.0 - self._hedged) or math.inf):  # or its quantiles would be those of who won
            tail.observe(waited)

    @property
    def rate(self) -> float:
        """Calls a second it is given."""
        rpm = None if self._entry is None else self._entry.rpm
        return rpm / 60.0 if rpm else math.inf

    @property
    def load(self) -> int:
        """Calls under way and waiting."""
        return self.queue.in_flight + self.queue.waiting


def _breaker_settings(routing: Routing) -> BreakerSettings:
    return BreakerSettings(
        failure_rate=routing.breaker_rate,
        consecutive_failures=routing.breaker_failures,
        open_time=routing.breaker_open,
        max_open_time=routing.breaker_max_open,
    )


def _limit(entry: TargetEntry | None, routing: Routing) -> Limit:
    most = UNLIMITED if entry is None or entry.max_concurrency is None else entry.max_concurrency
    if not routing.adaptive:
        return FixedLimit(most)
    most = min(most, UNLIMITED)
    return AimdLimit(initial=most, maximum=most)


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
    _whole: bool
    again: bool = False
    pace: float | None = None
    ended: bool = False

    def answered(self, seconds: float) -> None:
        """Content came, ``seconds`` after the call was put to the deployment."""
        self.pace = seconds
        self._ticket.succeed()
        self.deployment.pace.observe(seconds)
        (self.deployment.tail_whole if self._whole else self.deployment.tail).observe(seconds)

    def failed(self, verdict: Verdict, waited: float) -> None:
        """The call failed after ``waited`` seconds, before or after the first content."""
        if self.ended:
            return
        counts = not (self.again and self.breaker.state is State.CLOSED)
        if self.pace is not None:
            if verdict.unhealthy and counts:
                self.breaker.note_failure()
        elif verdict.unhealthy:
            if counts:
                self._ticket.fail()
            if verdict.load is Outcome.OVERLOADED:
                self.deployment.pace.observe(waited)  # a silence is an answer's time at least
        self._end(verdict.load, 0 if not verdict.billed else None)

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
        self.slot.release(outcome, self.pace)
        self.deployment.signals.limit(self.deployment.queue)
        if self._reservation is not None and tokens is not None:
            self._reservation.commit(tokens)


class Deployments:
    """All of them, and what their calls share: the budgets of retries and of hedges.

    :ivar get: gives a deployment by its name, that of its target.
    """

    def __init__(self, clock: Clock, random: Random, observer: Observer | None = None) -> None:
        self._clock = clock
        self._random = random
        self._observer = observer
        self._routing = Routing()
        self._limits: dict[str, TargetEntry] = {}
        self._labels = Labels()
        self._store: Store[Deployment] = MemoryStore(
            self._make, keep=lambda name, each: name in self._limits or each.load > 0
        )
        self.get = self._store.get
        self.retries = Budget(clock)
        self.hedges = Budget(clock, ratio=0.05, floor=0.1, beside=self.retries)

    def configure(self, routing: Routing, models: Mapping[str, Model] | None = None) -> None:
        """Put a configuration in force. What was learned stays.

        :param models: their targets' limits hold for whoever asks a target, by whatever name.
        """
        self._labels.configured = self._limits = strictest(models or {})
        if routing != self._routing:
            self._routing = routing
            for deployment in self.all():
                deployment.apply(routing)
        for deployment in self.all():
            deployment.limit_as(self._entry(deployment.name), routing, self._clock)
        self.retries.ratio = routing.retry_ratio
        self.hedges.ratio = routing.hedge_ratio

    def all(self) -> list[Deployment]:
        """Those that were asked so far."""
        return [deployment for _, deployment in self._store.items()]

    def _make(self, name: str) -> Deployment:
        deployment = Deployment(name, self._clock, self._random, self._routing, self._observer)
        deployment.limit_as(self._entry(name), self._routing, self._clock)
        return deployment

    def _entry(self, name: str) -> TargetEntry:
        pattern = f"{name.partition('/')[0]}/*"
        return self._limits.get(name) or self._limits.get(pattern) or TargetEntry(name)

    def standings(self) -> list[Standing]:
        """For the metrics: how each of them stands now."""
        now = self._clock.seconds()
        return [standing_of(each.name, each.breakers, each.queue, each.rate, self._labels, now) for each in self.all()]

    def label(self, name: str) -> str:
        """The deployment's name for metrics: its own if it is configured, else ``PROVIDER/*``."""
        return self._labels.of(name)


def strictest(models: Mapping[str, Model]) -> dict[str, TargetEntry]:
    """The limits of each target. Where several models name it, the lowest of each kind holds: it is one deployment."""
    found: dict[str, TargetEntry] = {}
    for model in models.values():
        for entry in model.targets:
            known = found.get(entry.target)
            if known is not None:
                entry = TargetEntry(
                    entry.target,
                    max_concurrency=_least(known.max_concurrency, entry.max_concurrency),
                    rpm=_least(known.rpm, entry.rpm),
                    tpm=_least(known.tpm, entry.tpm),
                )
            found[entry.target] = entry
    return found


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
