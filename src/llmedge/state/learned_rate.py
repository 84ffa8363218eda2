"""How many calls a second a deployment accepts, learned from refusals that come whatever is under way."""

from __future__ import annotations

from math import inf

from llmedge.model import Clock

ENOUGH = 4
"""Accepted calls of which a rate can be told."""
FEW = 0.08
"""Share of the calls that may be refused without a limit: those are asked again."""
SOON, LATE = 0.5, 5.0
"""Seconds for which they are counted, at least; after which a refusal is the first again."""
LESS = 0.85
"""Share of what was accepted that calls are let begin at: a limit of a rate refuses none of those."""
TRIED = 8
"""Calls over which that is tried before the rate grows, for 1 s at least and 2 s at most."""
GROWTH = 0.2
"""Share by which it grows in a second then."""
VAIN, VAIN_SHARE = 4, 0.05
"""Refusals in trials, and their share of the calls in them, that show that it does not matter how fast calls begin."""
CHANCE = 30.0
"""Seconds for which no rate is learned where it does not."""
KNOWN = 30.0
"""Seconds for which it is known where a rate was refused."""
IDLE = 1.0
"""Seconds that a call might have begun earlier than it came, after which a rate no longer binds."""


class LearnedRate:
    """Paces calls, evenly, where refusals come one after the other: a little slower than they were accepted.

    That is tried: a limit of a rate refuses hardly anybody then. Where as large a share is refused as before, it is by
    chance, or for another reason, and no rate is learned. Else the rate grows until calls are refused again, or until
    it no longer binds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate: float | None = None  # as it was set
        self._since = self._next = self._paused_until = 0.0
        self._accepted = self._first = 0  # of all calls, when it was set; and the number of the last that had begun
        self._refused = self._early = 0  # of those that began since, and before the rate grew
        self._refused_at = self._known_at = self._none_until = -inf
        self._known = 0.0  # about where it is refused
        self._tried = [0.0, 0.0]  # calls that began in trials, and those of them that were refused

    @property
    def value(self) -> float:
        """Calls a second that may begin; infinite where no limit of them is known."""
        if self._rate is None:
            return inf
        return float(self._rate * (1.0 + GROWTH) ** min(100.0, self._grown()))

    def _trial(self) -> float:
        """Seconds of one."""
        return min(2.0, max(1.0, TRIED / (self._rate or 1.0)))

    def _grown(self) -> float:
        """Seconds for which the rate has been growing."""
        return max(0.0, self._clock.seconds() - self._since - self._trial())

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
            self._tried = [0.0, 0.0]
            self._begin(self._known if now - self._known_at < KNOWN else None, last, accepted)
        elif self._rate is None or number > self._first:
            self._refused += 1
            self._early += self._rate is not None and not self._grown()
            count = accepted - self._accepted
            if self._refused >= 2 and self._refused >= FEW * (self._refused + count):
                self._refused_often(now, count, last, accepted)
        return self._rate is not None

    def _refused_often(self, now: float, count: int, last: int, accepted: int) -> None:
        age, rate, began = now - self._since, self._rate, float(count + self._refused)
        if rate is None:
            if age >= SOON and count >= ENOUGH:
                found = LESS * count / age
                self._begin(max(found, self._known) if now - self._known_at < KNOWN else found, last, accepted)
            return
        self._tried[0] += min(began, rate * self._trial())
        self._tried[1] += self._early
        if self._tried[1] >= VAIN and self._tried[1] >= VAIN_SHARE * self._tried[0]:
            self._rate, self._none_until = None, now + CHANCE
        elif self._grown() > 0.0:
            self._known, self._known_at = max(rate, min(LESS * self.value, 1.05 * count / age)), now
            self._begin(self._known, last, accepted)
        else:
            self._known_at = -inf
            self._begin(LESS * rate, last, accepted)

    def _begin(self, rate: float | None, last: int, accepted: int) -> None:
        self._rate, self._since = rate, self._clock.seconds()
        self._next = max(self._next, self._since)
        self._accepted, self._first, self._refused, self._early = accepted, last, 0, 0

    def paused(self, until: float, told: bool) -> None:
        """Few may begin until then; how many are accepted then is no rate, but where calls are ``told`` to wait."""
        self._paused_until = until
        if self._rate is None and not told:
            self._refused_at = -inf

    def delay(self) -> float:
        """Seconds until the next one may begin."""
        if self._rate is None:
            return 0.0
        left = self._next - self._clock.seconds()
        if 1e-9 < left <= 1.0 + 1.0 / self._rate:
            return left
        idle = min(-left, self._clock.seconds() - self._paused_until)
        if idle > IDLE or (idle > 2.0 / self.value and self.value > 2.0 * self._rate):
            self._known, self._known_at, self._rate = self._rate, self._clock.seconds(), None  # it no longer binds
        return 0.0

    def began(self) -> None:
        """A call begins."""
        if self._rate is not None:
            self._next = max(self._next, self._clock.seconds()) + 1.0 / self.value
