"""What is known of a deployment's time to first content: a load score for choosing, a quantile for hedging. In seconds,
or in shares of what is usual."""

from __future__ import annotations

from math import exp, log, sqrt

from llmedge.model import Clock

_UNKNOWN = 1e9
"""Score of a deployment that was asked but has never answered: behind any that has."""


class PeakEwma:
    """Peak-EWMA of latencies, after Finagle's ``PeakEwma``: a spike is believed at once and forgotten slowly.

    The weight of the past depends on the time since the last sample, not on the number of samples (Eckner,
    "Algorithms for Unevenly Spaced Time Series", 2019). While nobody asks it the value decays towards zero, so a
    deployment that was slow is tried again after a while, by one call.

    Give it the time to first token of answers, and the time waited in vain of timeouts. Never the latency of a
    failure: a deployment that fails fast would look fast.

    :param decay: seconds after which the past weighs 1/e.
    """

    __slots__ = ("_clock", "_decay", "_then", "_value")

    def __init__(self, clock: Clock, decay: float = 10.0) -> None:
        self._clock = clock
        self._decay = decay
        self._then = clock.seconds()
        self._value = 0.0

    def observe(self, latency: float, at: float | None = None) -> None:
        """:param latency: seconds. :param at: the clock's seconds at which it was known; ``None``: now."""
        now = self._clock.seconds() if at is None else at
        if latency >= self._value:
            self._value = latency
        else:
            kept = exp(min(0.0, self._then - now) / self._decay)
            self._value = self._value * kept + latency * (1.0 - kept)
        self._then = now

    def at_least(self, latency: float) -> None:
        """An answer that was not waited for would have taken longer than ``latency`` seconds: believed where it is more
        than what is known. A target that loses each race would look faster and faster otherwise."""
        past = exp(min(0.0, self._then - self._clock.seconds()) / self._decay)
        if latency > self._value * past:
            self._value = latency
            self._then = self._clock.seconds()

    def score(self, pending: int) -> float:
        """What one more call would meet where ``pending`` wait or run: lower is better.

        Of vendors' many places a few more calls take little: the square root of ``pending``. A deployment never heard
        of gets one call at once (score 0) and no second one until it has answered; likewise one that is tried again.
        """
        if self._value == 0.0:
            return _UNKNOWN + pending if pending else 0.0
        if pending:
            return self._value * sqrt(pending + 1)
        return self._value * exp(min(0.0, self._then - self._clock.seconds()) / self._decay)


_SMALLEST = 0.001  # seconds; below is one cell
_GROWTH = 1.1
_CELLS = 146  # 1 ms x 1.1**145 is about 1,000 s
_PER_LOG = 1.0 / log(_GROWTH)
_MIDDLE = 2.0 / (1.0 + 1.0 / _GROWTH) / _GROWTH  # of a cell, over its upper edge: both edges are equally wrong


class Quantile:
    """Running quantiles of latencies that forget: a histogram with logarithmic cells and exponential decay.

    Cells that grow by 10 % bound the relative error to 5 % wherever the quantile lies (Masson, Rim & Lee, "DDSketch",
    VLDB 2019), in 146 numbers. P² (Jain & Chlamtac 1985) would be smaller but weighs a sample of last week like one of
    now, and its markers need long to move after a step. Old samples lose weight by giving new ones more ("forward
    decay", Cormode et al., ICDE 2009): adding one touches one cell.

    :param decay: seconds after which a sample weighs 1/e.
    :param minimum: samples, weighed, before there is an answer. It lapses again where traffic stops.
    """

    __slots__ = ("_cells", "_clock", "_decay", "_epoch", "_found", "_minimum", "_total", "_until")

    def __init__(self, clock: Clock, decay: float = 600.0, minimum: int = 50) -> None:
        self._clock = clock
        self._decay = decay
        self._minimum = minimum
        self._cells = [0.0] * _CELLS
        self._total = 0.0
        self._epoch = clock.seconds()
        self._found: dict[float, float] = {}
        self._until = 0.0  # when they are worked out again

    def observe(self, latency: float, at: float | None = None) -> None:
        """:param latency: seconds. :param at: the clock's seconds at which it was known; ``None``: now."""
        weight = self._weight(at)
        if weight > 1e9:
            self._rescale(weight)
            weight = 1.0
        cell = int(log(latency / _SMALLEST) * _PER_LOG) + 1 if latency > _SMALLEST else 0
        self._cells[cell if cell < _CELLS else _CELLS - 1] += weight
        self._total += weight

    def at(self, quantile: float) -> float | None:
        """Seconds within which this share of the answers was there, or ``None`` while too little is known."""
        now = self._clock.seconds()
        if not 0.0 < self._until - now <= 1.0:
            self._found.clear()
        elif (found := self._found.get(quantile)) is not None:
            return found
        if self._total < self._minimum * self._weight():
            return None
        if not self._found:
            self._until = now + 1.0  # they do not move faster than that, and every call asks
        above = self._total * (1.0 - quantile)
        for cell in range(_CELLS - 1, -1, -1):
            above -= self._cells[cell]
            if above < 0.0:
                break
        found = self._found[quantile] = _SMALLEST * _GROWTH**cell * _MIDDLE
        return found

    def _weight(self, at: float | None = None) -> float:
        age = ((self._clock.seconds() if at is None else at) - self._epoch) / self._decay
        return exp(age if age < 700.0 else 700.0) if age > 0.0 else 1.0

    def _rescale(self, weight: float) -> None:
        self._cells = [value / weight for value in self._cells]
        self._total /= weight
        self._epoch = self._clock.seconds()
