"""State of one process: token buckets, and one of something for each deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from llmedge.model import Clock
from llmedge.state.interfaces import Level

K = TypeVar("K")
T = TypeVar("T")


class TokenBucket:
    """A token bucket: ``burst`` tokens at most, refilled at ``rpm`` a minute, continuously.

    A token is a request, or a token of a model where tokens a minute are limited. Nothing is scheduled: the level is
    worked out when asked. N requests at once never take more than is there, since taking is one step on one thread.
    """

    __slots__ = ("_clock", "_rate", "_then", "burst", "left", "rpm")

    def __init__(self, clock: Clock, rpm: int, burst: int) -> None:
        self._clock = clock
        self.rpm = rpm
        self.burst = burst
        self._rate = rpm / 60.0
        self.left = float(burst)
        self._then = clock.seconds()

    def take(self, amount: float = 1.0) -> float:
        """Take ``amount`` tokens: 0.0, or the seconds until they will be there (nothing is taken then).

        More than ``burst`` is given to whoever comes to a full bucket, and owed: a request larger than the limit of a
        minute would otherwise wait for ever.
        """
        now = self._clock.seconds()
        level = self.left
        if now > self._then:
            level += (now - self._then) * self._rate
            if level > self.burst:
                level = float(self.burst)
        self._then = now  # also when the clock was set back: never wait for a time that was skipped
        enough = amount if amount < self.burst else float(self.burst)
        if level >= enough - 1e-9:
            self.left = level - amount
            return 0.0
        self.left = level
        return (enough - level) / self._rate

    def refund(self, amount: float = 1.0) -> None:
        """Give ``amount`` back: the work it stood for was not done. A negative one is owed: more was done."""
        left = self.left + amount
        self.left = left if left < self.burst else float(self.burst)

    def level(self, taken: bool = False) -> Level:
        level = self.left
        if not taken and (now := self._clock.seconds()) > self._then:
            level = min(float(self.burst), level + (now - self._then) * self._rate)
        remaining = int(level + 1e-9) if level > 0.0 else 0
        return Level(self.rpm, remaining, (self.burst - level) / self._rate)


class MemoryStore(Generic[K, T]):
    """State by key, made when first asked for; the least recently used is forgotten beyond ``maximum`` keys.

    :param keep: what is not forgotten, as long as something else can be.

    Names of models come from clients where a route has a pattern (``"claude-*"``): without a bound they would fill the
    memory.
    """

    def __init__(
        self, make: Callable[[K], T], maximum: int = 1000, keep: Callable[[K, T], bool] = lambda key, value: False
    ) -> None:
        self._make = make
        self._keep = keep
        self._maximum = maximum
        self._values: dict[K, T] = {}

    def get(self, key: K) -> T:
        values = self._values
        value = values.pop(key, None)
        if value is None:
            value = self._make(key)
            if len(values) >= self._maximum:
                spare = (known for known, each in values.items() if not self._keep(known, each))
                del values[next(spare, next(iter(values)))]
        values[key] = value  # last in order: the most recently used
        return value

    def items(self) -> Iterator[tuple[K, T]]:
        """What is there, for the metrics; a copy."""
        return iter(list(self._values.items()))
