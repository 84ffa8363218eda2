"""How much more than the clients' own traffic vendors are sent: retries and hedges."""

from __future__ import annotations

from random import Random

from llmedge.model import Clock
from llmedge.state.window import SlidingSum


class Budget:
    """Lets extra calls through in proportion to the ordinary ones, so that an outage is not multiplied by retries.

    Finagle's RetryBudget: each ordinary call deposits ``ratio``, each extra one withdraws 1, and both expire after
    ``span`` seconds; ``floor`` a second are there without any traffic. So whenever an extra call is let through::

        extra calls in the last span  <=  ratio x ordinary calls in the last span  +  floor x span

    Those of the extra calls that were worth it do not count: a retry that succeeds gives back what it withdrew. So
    where half of the calls fail all of them are retried. In an outage the breaker sees to it that none is, and this
    only where no breaker counts the failures.

    One for retries, another with a smaller ratio for hedges (Dean & Barroso, "The Tail at Scale", 2013: hedging after
    the 95th percentile costs about 5 % more calls).

    :param ratio: extra calls for each ordinary one. At 0.6, what may be retried twice is, where up to 60 % of
        the calls fail: 0.6² + 0.6³ retries in vain.
    :param floor: extra calls a second that are always there. Finagle has 10; calls of an LLM are fewer and dearer.
    :param span: seconds.
    :param beside: a budget for the same ordinary calls, which only that one is told of; its ``span`` holds.
    """

    __slots__ = ("_clock", "_extra", "_ordinary", "_reserve", "_span", "ratio")

    def __init__(
        self,
        clock: Clock,
        ratio: float = 0.6,
        floor: float = 1.0,
        span: float = 10.0,
        beside: Budget | None = None,
    ) -> None:
        self._clock = clock
        self._span: float = span if beside is None else beside._span
        self._ordinary: SlidingSum = SlidingSum(self._span) if beside is None else beside._ordinary
        self._extra = SlidingSum(self._span)
        self._reserve = floor * self._span
        self.ratio = ratio

    def deposit(self) -> None:
        """An ordinary call was made: once for each client call, never for a retry."""
        self._ordinary.add(self._clock.seconds(), 1.0)

    def withdraw(self) -> bool:
        """Whether one more extra call may be made; it counts as made."""
        now = self._clock.seconds()
        if self._left(now) < 1.0 - 1e-9:
            return False
        self._extra.add(now, 1.0)
        return True

    def give_back(self) -> None:
        """An extra call was worth it: it counts as not made."""
        now = self._clock.seconds()
        if self._extra.total(now) >= 1.0:
            self._extra.add(now, -1.0)

    @property
    def balance(self) -> float:
        """Extra calls that may be made now."""
        return max(0.0, self._left(self._clock.seconds()))

    def _left(self, now: float) -> float:
        return self._reserve + self.ratio * self._ordinary.total(now) - self._extra.total(now)


def backoff(attempt: int, base: float, cap: float, random: Random) -> float:
    """Seconds to wait before retry number ``attempt`` (from 0): anything up to ``base * 2**attempt``, at most ``cap``.

    "Full jitter" (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015): it spreads the retries of
    many calls that failed at the same moment over the whole time, with the fewest calls in total.
    """
    return random.random() * min(cap, base * 2.0 ** min(attempt, 60))
