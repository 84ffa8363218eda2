"""How many calls a second a deployment accepts, learned from refusals that come whatever is under way."""

from __future__ import annotations

from math import inf

from llmedge.model import Clock

ENOUGH = 4
"""Accepted calls of which a rate can be told."""
FEW = 0.05
"""Share of the calls that may be refused without a limit: those are asked again."""
SOON, LATE = 0.5, 5.0
"""Seconds for which they are counted, at least; after which a refusal is the first again."""
LESS = 0.9
"""Share of what was accepted that calls are let begin at: a limit of a rate refuses none of those."""
TESTED = 8
"""Calls over which that is tried before the rate grows, for 1 s at least and 2 s at most."""
EARLY = 0.12
"""Share of those calls that may be refused."""
GROWTH = 0.2
"""Share by which it grows in a second then."""
FALSE = 2
"""Rates under which calls were refused as before, after which no more are tried for a while."""
CHANCE = 30.0
"""Seconds of that."""
KNOWN = 30.0
"""Seconds for which it is known that a rate went well."""
IDLE = 1.0
"""Seconds that a call might have begun earlier than it came, after which a rate no longer binds."""


class LearnedRate:
    """Paces calls, evenly, where refusals come one after the other: at nine tenths of what was accepted since the first.

    That is tried: a limit of a rate refuses nobody then. Who refuses all the same does so by chance, or for another
    reason, and no rate is learned. Then it grows, back to where it began at each refusal, until it no longer binds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate: float | None = None  # as it was set
        self._passed, self._passed_at = 0.0, -inf  # a rate at which nobody was refused, and when that was known
        self._known = 0.0  # about where it is refused
        self._failed = 0
        self._since = self._next = 0.0
        self._accepted = self._first = 0  # of all calls, when it was set; and the number of the last that had begun
        self._refused_at = -inf
        self._refused = self._early = 0  # of those that began since, and before the rate grew
        self._none_until = -inf

    @property
    def value(self) -> float:
        """Calls a second that may begin; infinite where no limit of them is known."""
        if self._rate is None:
            return inf
        return float(self._rate * (1.0 + GROWTH) ** min(100.0, self._grown()))

    def _grown(self) -> float:
        """Seconds for which the rate has been growing."""
        tried = min(2.0, max(1.0, TESTED / (self._rate or 1.0)))
        return max(0.0, self._clock.seconds() - self._since - tried)

    def keep_to(self, rate: float) -> None:
        """The deployment says so itself."""
        now = self._clock.seconds()
        self._rate = rate
        self._since, self._next = now, max(self._next, now + 1.0 / rate)

    def refused(self, number: int, last: int, accepted: int) -> bool:
        """The ``number``-th call was; ``last`` began last, ``accepted`` so far. Whether calls are paced now."""
        now = self._clock.seconds()
        is_first, self._refused_at = now - self._refused_at > LATE, now
        if now < self._none_until:
            return False
        if self._rate is None and is_first:
            self._begin(self._known if now - self._passed_at < KNOWN else None, last, accepted)
        elif self._rate is None or number > self._first:
            self._refused += 1
            self._early += self._rate is not None and not self._grown()
            count = accepted - self._accepted
            if self._refused >= 2 and self._refused >= FEW * (self._refused + count):
                self._refused_often(now, count, last, accepted)
        return self._rate is not None

    def _refused_often(self, now: float, count: int, last: int, accepted: int) -> None:
        age = now - self._since
        if self._rate is None:
            if age >= SOON and count >= ENOUGH * 2**self._failed:
                rate = LESS * count / age
                self._begin(max(rate, self._passed) if now - self._passed_at < KNOWN else rate, last, accepted)
        elif self._grown() > 0.0 and self._early <= EARLY * max(TESTED, self._rate):
            self._passed, self._passed_at, self._failed = self._rate, now, 0
            self._known = max(self._rate, min(LESS * self.value, 1.05 * count / age))
            self._begin(self._known, last, accepted)
        else:
            self._fail(now, last, accepted)

    def _fail(self, now: float, last: int, accepted: int) -> None:
        """Calls were refused though fewer began."""
        assert self._rate is not None
        if self._rate > self._passed and now - self._passed_at < KNOWN:
            self._begin(max(self._passed, LESS * self._rate), last, accepted)
            return
        self._passed_at = -inf
        self._failed += 1
        if self._failed > FALSE:
            self._failed, self._none_until = 0, now + CHANCE
        self._begin(None, last, accepted)

    def _begin(self, rate: float | None, last: int, accepted: int) -> None:
        self._rate, self._since = rate, self._clock.seconds()
        self._next = max(self._next, self._since)
        self._accepted, self._first, self._refused, self._early = accepted, last, 0, 0

    def paused(self) -> None:
        """How many are accepted while few may begin is no rate."""
        if self._rate is None:
            self._refused_at = -inf

    def delay(self) -> float:
        """Seconds until the next one may begin."""
        if self._rate is None:
            return 0.0
        left = self._next - self._clock.seconds()
        if 1e-9 < left <= 1.0 + 1.0 / self._rate:
            return left
        if left < -IDLE or (left < -2.0 / self.value and self.value > 2.0 * self._rate):
            self._rate = None  # it no longer binds
        return 0.0

    def began(self) -> None:
        """A call begins."""
        if self._rate is not None:
            self._next = max(self._next, self._clock.seconds()) + 1.0 / self.value
