"""How long calls of each kind take at one deployment, so that what one of them took says something of the others."""

from __future__ import annotations

from collections.abc import Hashable
from math import exp, log

_DECAY = 600.0
"""Seconds after which what calls took weighs 1/e."""
_KINDS = 64
"""Kinds that are kept; the first one goes for one more."""


class UsualTimes:
    """The usual time of each kind of call: the geometric mean of the last ten minutes.

    A long prompt takes longer, and a long answer: after ten of them in a row a deployment is no slower than it was. So
    what is known of its pace is counted in *shares* of the usual time, 1.0 being as usual, and a share, times the usual
    time of the kind at hand, is what that one may expect.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Hashable, _Known] = {}

    def of(self, kind: Hashable) -> float | None:
        """Seconds; of a kind that is not known the mean of those that are, ``None`` if there are none."""
        known = self._known
        if (mine := known.get(kind)) is not None:
            return exp(mine.mean)
        return exp(sum(each.mean for each in known.values()) / len(known)) if known else None

    def learn(self, kind: Hashable, seconds: float, now: float) -> float:
        """A call that was answered ``now`` took ``seconds``; what share that is of the usual time."""
        taken = log(seconds if seconds > 0.0001 else 0.0001)
        mine = self._known.get(kind)
        if mine is None:
            if len(self._known) >= _KINDS:
                del self._known[next(iter(self._known))]
            self._known[kind] = _Known(taken, now)
            return 1.0
        mine.count += 1
        weight, faded = 1.0 / mine.count, (now - mine.then) / _DECAY
        if faded > weight:
            weight = faded if faded < 1.0 else 1.0
        mine.then = now
        mine.mean += (taken - mine.mean) * weight
        return exp(taken - mine.mean)


class _Known:
    """Of one kind: the mean of the logarithms, when that was, and of how many calls."""

    __slots__ = ("count", "mean", "then")

    def __init__(self, mean: float, then: float) -> None:
        self.mean, self.then = mean, then
        self.count = 1
