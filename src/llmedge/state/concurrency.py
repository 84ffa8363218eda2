"""How many calls a deployment is given at once: a fixed number, or one learned from what happens."""

from __future__ import annotations

import enum
from collections import deque
from statistics import median
from typing import Protocol

import attrs

from llmedge.model import Clock
from llmedge.state.places import Places


class Outcome(enum.Enum):
    """What an ended call says about how much its deployment can take."""

    OK = enum.auto()
    OVERLOADED = enum.auto()
    """429, 503, 529, or no first token in time."""
    IGNORED = enum.auto()
    """Nothing: the client left, the request was at fault, the connection was refused."""


Load = tuple[int, int]
"""Calls under way when one began, itself among them, and when its answer did."""


class Limit(Protocol):
    """A number of calls at once.

    :ivar why: what lowered it last, for people: ``"pace 5.1x"``; ``""`` if nothing has.
    :ivar is_by_chance: calls are refused whatever is under way, as far as is known.
    """

    why: str

    @property
    def is_by_chance(self) -> bool: ...

    @property
    def value(self) -> int: ...

    def answered(self, number: int, load: Load, latency: float, kind: object) -> None:
        """An answer begins, ``latency`` seconds after its call, the ``number``-th.

        :param latency: for the answer's size, if that is known; only those of one ``kind`` are compared.
        """

    def refused(self, number: int, load: int, last: int) -> bool:
        """An overload, with ``load`` calls under way, itself among them; ``last`` is the number of the call that began
        last. Whether it is for want of places, as far as is known."""

    def end(self, in_flight: int, well: bool) -> None:
        """A call ended; ``in_flight`` counts it too."""


@attrs.define(eq=False)
class FixedLimit:
    """As many as the configuration says."""

    value: int
    why: str = ""
    is_by_chance: bool = False

    def answered(self, number: int, load: Load, latency: float, kind: object) -> None:
        """What happens changes nothing."""

    def refused(self, number: int, load: int, last: int) -> bool:
        return False

    def end(self, in_flight: int, well: bool) -> None:
        """What happens changes nothing."""


_BLOCK = 8
"""Answers that are judged together, by their median."""
_WELL = 1.5
"""Times its pace at low load, up to which calls went well; beyond it has too much to do."""
_SLOWER = 2.0
"""The same at low load, from which on it may be slower, for all."""
_GROWTH = 0.1
"""Share by which the limit grows in a second."""
_LONGEST_HOLD = 16.0
"""Seconds after which it grows: one, doubled each time it is lowered for refusals, halved where it is not."""
_MEMORY = 30.0
"""Seconds of each of the two spans over which it is remembered how many calls at once went well."""


class LearnedLimit:
    """Learns how many calls at once a deployment takes, from two kinds of signs, and only once there are some.

    *Refusals* (429, 503, 529) where calls that began next to them, with fewer under way, are answered; see
    :class:`~llmedge.state.places.Places`. One refusal teaches nothing, nor do those that come whatever is under way.

    *Pace*, for servers that queue instead of refusing (vLLM, llama.cpp): seconds to the first content, of whole answers
    to the end, the median of eight. Where it is half as much again as that of calls that began at low load, and more
    was under way than went well lately, the limit is half as much again as the server worked on (BBR's estimate,
    Cardwell et al. 2016: what it delivers a second, times its time at low load). Where calls that begin at low load are
    as slow, the server is merely slower, for all, and that is its pace from now on. Neither Netflix's Gradient2 nor
    Envoy's adaptive concurrency can tell the two apart: they compare with an average that follows the load, or with a
    minimum that is measured on purpose.

    By its pace never less than *went well* at once in the last minute. It grows with time, not with answers: a tenth a
    second, or one, while nine tenths of it are used; more slowly each time that is refused.

    :param most: calls at once, at which it begins.
    :ivar why: what lowered it last, for people: ``"pace 5.1x"``.
    """

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._limit = float(most)
        self._last = self._lowered_at = 0  # numbers of the call that began last, and before it was lowered
        self._grew, self._hold, self._is_cut = 0.0, 1.0, False  # seconds until it grows; refused since it did
        self._places = Places()
        self._well = [0, 0]  # most calls at once that went well, in this span and in the one before
        self._well_since = clock.seconds()
        self._paces: dict[object, Pace] = {}
        self._is_well = True
        self._by_pace = False
        self.why = ""

    @property
    def value(self) -> int:
        return int(self._limit)

    @property
    def is_by_chance(self) -> bool:
        return self._places.is_mixed

    def allow(self, most: int) -> None:
        """Another bound; what was learned below it stays."""
        self._limit = float(most) if self._limit >= self._most else min(self._limit, float(most))
        self._most = most

    @property
    def good(self) -> int:
        """Most calls at once that went well in the last minute."""
        return max(self._well)

    def answered(self, number: int, load: Load, latency: float, kind: object) -> None:
        if (pace := self._paces.get(kind)) is None:
            pace = self._paces[kind] = Pace()
        begun = load[0]
        if (places := self._places).asked and number in places.asked:
            places.accepted(number, begun)
        if begun <= _FEW and self._limit >= self._most:  # nearly always
            pace.at_low_load(latency, True)
            return
        self._last = max(self._last, number)
        good = max(self._well)
        unknown = not good and self._limit >= self._most
        low = unknown or begun <= max(good, _FEW)
        if low and pace.at_low_load(latency, unknown or begun <= max(good // 2, _FEW)):
            self._is_slower()
        if number > self._lowered_at:
            pace.recent.append((latency, load))
            if len(pace.recent) >= _BLOCK:
                self._judge(pace)

    def _is_slower(self) -> None:
        """For all: where its pace has lowered the limit, it was for nothing."""
        if self._by_pace:
            self._by_pace = False
            self._limit = float(self._most)

    def _judge(self, pace: Pace) -> None:
        latency = sorted(latency for latency, _ in pace.recent)[_BLOCK // 2]
        load = sorted(load[0] for _, load in pace.recent)[_BLOCK // 2]
        # Either load may count calls that were just being refused; both do so seldom, and the highest is left out.
        well = sorted(min(load) for _, load in pace.recent)[-2]
        del pace.recent[: _BLOCK // 2]  # it is looked at again with half as many new ones
        self._forget()
        if not pace.is_known:
            self._is_well = True  # as far as refusals go
            return
        usual = pace.usual()
        self._is_well = latency <= _WELL * usual
        if self._is_well:
            self._well[0] = max(self._well[0], well)
        elif latency > _WELL * usual and load > self.good and (self.good or self._limit < self._most):
            self._lower(max(float(self.good), load / latency * usual * _WELL), f"pace {latency / usual:.1f}x")
            self._by_pace = True

    def _forget(self) -> None:
        """What went well longer than a minute ago."""
        now = self._clock.seconds()
        if now - self._well_since >= _MEMORY:
            self._well = [0, self._well[0] if now - self._well_since < 2 * _MEMORY else 0]
            self._well_since = now

    def refused(self, number: int, load: int, last: int) -> bool:
        """See :class:`Limit`."""
        load = self._places.refused(number, load, last, self._clock.seconds())
        places = self._places.found()
        if self._places.is_mixed and self._limit < self._most and not self._by_pace:
            self._limit = float(self._most)  # it is something else
        if not places or load <= places:
            return number <= self._lowered_at  # of a hundred refused together the first ones tell
        if places < self._limit:
            self._last = last
            self._hold, self._is_cut = min(_LONGEST_HOLD, 2.0 * self._hold), True
            self._lower(places, f"{load} at once refused")
            self._by_pace = False
        return True

    def _lower(self, limit: float, why: str) -> None:
        self._limit = min(self._limit, max(1.0, limit))
        self._lowered_at = self._last
        self._grew = self._clock.seconds()
        self.why = why
        for pace in self._paces.values():
            pace.recent.clear()

    def end(self, in_flight: int, well: bool) -> None:
        """A call ended; ``in_flight`` counts it too."""
        if self._limit < self._most and well and self._is_well and in_flight >= 0.9 * self.value:
            now = self._clock.seconds()
            if now - self._grew >= self._hold:
                self._grew = now
                self._hold = self._hold if self._is_cut else max(1.0, self._hold / 2.0)
                self._is_cut = False
                self._is_well = False  # as far as is known of so many
                self._limit = min(float(self._most), self._limit + max(1.0, _GROWTH * self._limit))


_FEW = 2
"""Calls at once that are low load whatever went well."""
_KEPT = 24
"""Latencies at low load that are kept."""
_STEPS = 3
"""Slow answers in a row at low load that make slow the usual pace."""


class Pace:
    """What is known of a deployment's latency at low load, and its last few.

    :ivar recent: ``(latency, calls under way when it began)``, not judged yet.
    """

    def __init__(self) -> None:
        self.recent: list[tuple[float, Load]] = []
        self._low: deque[float] = deque(maxlen=_KEPT)
        self._usual: float | None = None
        self._steps: list[float] = []

    def at_low_load(self, latency: float, counts: bool) -> bool:
        """The latency of a call that began at low load. Whether it is the third in a row that is slow: it is slower
        now, for all.

        :param counts: the load was so low that its latency is the usual one.
        """
        usual = self._usual
        if usual is not None and latency > _SLOWER * usual:
            self._steps.append(latency)
            if len(self._steps) < _STEPS:
                return False
            self._low.clear()
            self._low.extend(_BLOCK * [median(self._steps)])
            self._usual = None
            self._steps.clear()
            return True
        if counts:
            self._low.append(latency)
        if self._steps:
            self._steps.clear()
        return False

    @property
    def is_known(self) -> bool:
        """Whether enough calls have been answered; the first ones met little load."""
        return len(self._low) >= _BLOCK

    def usual(self) -> float:
        """Seconds at low load, the median; some must be known."""
        self._usual = sorted(self._low)[len(self._low) // 2]
        return self._usual
