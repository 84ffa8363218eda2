"""Whether a partition may serve: how many of the answers that it would have given were compared with the vendor's, and
how many of those were wrong. Pure."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from math import exp, lgamma, log, log1p

WINDOW = 700
"""Comparisons that count, the latest: three wrong ones among so many stop what two among them let serve. A longer
memory would let many wrong answers pass before it notices that something has changed."""
CONFIDENCE = 0.95
UNHEARD = 20
"""Comparisons in a row that nobody made, after which nothing is served until somebody does again."""


class Audit:
    """Of one partition and one rule.

    :ivar serving: it is proven, so far, and goes on being looked at.
    :ivar pauses: how often it had to stop again.
    """

    __slots__ = ("_found", "_most", "_unheard", "pauses", "serving")

    def __init__(self, most: float) -> None:
        """:param most: the share of wrong answers that is borne, such as 0.01."""
        self._most = most
        self._found: deque[bool] = deque(maxlen=WINDOW)
        self._unheard = 0
        self.serving = False
        self.pauses = 0

    @property
    def right(self) -> int:
        return sum(self._found)

    @property
    def wrong(self) -> int:
        return len(self._found) - self.right

    def note(self, right: bool) -> None:
        """A stored answer was compared with a fresh one."""
        self._found.append(right)
        self._unheard = 0
        self._decide()

    def miss(self) -> None:
        """A comparison was due, and nobody could make it."""
        self._unheard += 1
        self._decide()

    def bear(self, most: float) -> None:
        """Another share of wrong answers is borne from now on."""
        self._most = most
        self._decide()

    def _decide(self) -> None:
        heard = self._unheard < UNHEARD
        proven = heard and is_proven(len(self._found), self.wrong, self._most)
        if self.serving and not proven:
            self.pauses += 1
        self.serving = proven

    def bound(self) -> float:
        """The share of wrong answers that there are at most, with 95 % confidence."""
        return upper_bound(len(self._found), self.wrong)


def is_proven(audited: int, wrong: int, most: float) -> bool:
    """Whether, with 95 % confidence, at most a share of ``most`` is wrong, where ``wrong`` of ``audited`` were: 299
    with none, 473 with 1, for 1 %."""
    return audited > wrong and _at_most(wrong, audited, most) <= 1 - CONFIDENCE


@lru_cache(maxsize=1024)
def upper_bound(audited: int, wrong: int) -> float:
    """The one-sided upper bound of Clopper and Pearson (Biometrika 26, 1934), at 95 %."""
    if wrong >= audited:
        return 1.0
    low, high = wrong / audited, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(wrong, audited, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def _at_most(wrong: int, audited: int, share: float) -> float:
    """How likely it is that no more than ``wrong`` of ``audited`` are, where a ``share`` of all is."""
    if share <= 0.0 or share >= 1.0:
        return 1.0 if share <= 0.0 else 0.0
    total = 0.0
    for count in range(wrong + 1):
        ways = lgamma(audited + 1) - lgamma(count + 1) - lgamma(audited - count + 1)
        total += exp(ways + count * log(share) + (audited - count) * log1p(-share))
    return min(1.0, total)
