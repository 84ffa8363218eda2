"""A sum over the last seconds, in constant memory."""

from __future__ import annotations

SLICES = 10


class SlidingSum:
    """What was added during the last ``span`` seconds.

    Time is cut into ten slices that expire one by one (Finagle's ``WindowedAdder``, Hystrix's rolling counter), so
    something counts for between 0.9 and 1.0 of ``span``. The time is given with each call: no clock is asked twice.
    """

    __slots__ = ("_newest", "_slices", "_total", "_width")

    def __init__(self, span: float) -> None:
        self._width = span / SLICES
        self._slices = [0.0] * SLICES
        self._newest = 0
        self._total = 0.0

    def add(self, now: float, amount: float) -> None:
        index = int(now / self._width)
        if index != self._newest:
            self._expire(index)
        self._slices[index % SLICES] += amount
        self._total += amount

    def total(self, now: float) -> float:
        index = int(now / self._width)
        if index != self._newest:
            self._expire(index)
        return self._total

    def peek(self, now: float) -> float:
        """As :meth:`total`, and nothing is changed: for other threads."""
        oldest = int(now / self._width) - SLICES + 1
        newest = self._newest
        return sum(self._slices[index % SLICES] for index in range(max(oldest, newest - SLICES + 1), newest + 1))

    def clear(self) -> None:
        self._slices = [0.0] * SLICES
        self._total = 0.0

    def _expire(self, index: int) -> None:
        if 0 < index - self._newest < SLICES:
            for expired in range(self._newest + 1, index + 1):
                self._slices[expired % SLICES] = 0.0
            self._total = sum(self._slices)  # summed anew: rounding errors do not pile up
        else:  # all of it is old, or the clock was set back and nobody knows how old it is
            self.clear()
        self._newest = index
