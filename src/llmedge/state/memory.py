"""Token buckets of one process."""

from __future__ import annotations

from llmedge.model import Clock


class TokenBucket:
    """A token bucket: ``burst`` tokens at most, refilled at ``rpm`` a minute, continuously.

    Nothing is scheduled: the level is worked out when asked. N requests at once never take more than is there,
    since taking is one step on one thread.
    """

    __slots__ = ("_clock", "_level", "_rate", "_then", "burst", "rpm")

    def __init__(self, clock: Clock, rpm: int, burst: int) -> None:
        self._clock = clock
        self.rpm = rpm
        self.burst = burst
        self._rate = rpm / 60.0
        self._level = float(burst)
        self._then = clock.seconds()

    def _refill(self) -> None:
        now = self._clock.seconds()
        if now > self._then:
            self._level = min(float(self.burst), self._level + (now - self._then) * self._rate)
        self._then = now  # also when the clock was set back: never wait for a time that was skipped

    def take(self) -> float:
        """Take one token: 0.0, or the seconds until there will be one (nothing is taken then)."""
        self._refill()
        if self._level >= 1.0 - 1e-9:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._rate

    def refund(self) -> None:
        """Give one token back: the work it stood for was not done."""
        self._level = min(float(self.burst), self._level + 1.0)

    @property
    def remaining(self) -> int:
        """Whole tokens left now."""
        self._refill()
        return max(0, int(self._level + 1e-9))

    @property
    def reset(self) -> float:
        """Seconds until the bucket is full again."""
        self._refill()
        return (self.burst - self._level) / self._rate
