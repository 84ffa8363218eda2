"""Whether a deployment refuses for want of places: by how many calls were under way where it refused, and where not."""

from __future__ import annotations

from collections import deque

PAIRS = 16
"""Of a call that was refused and one that began next to it and was not: both met the same weather."""
ENOUGH = 6
"""Pairs of which something can be told."""
NEXT = 2
"""Calls that begin next to one that is refused."""
WAITED_FOR = 256
"""Such calls that may be under way."""
APART, MIXED = 0.9, 0.5
"""Share of the pairs, at least, in which who was refused was one too many and who was not was none, where places are
wanting; at most, where they are not. It is one where nothing else matters, but for calls on the wire."""
SPAN = 30.0
"""Seconds without a refusal after which it is counted anew."""


class Places:
    """Pairs of calls next to each other, one refused and one not, by how many were under way when they began.

    :ivar asked: numbers of the calls of which it is to be told if they are answered, with those of who was refused.
    """

    def __init__(self) -> None:
        self.asked: dict[int, int] = {}
        self._beside: dict[int, int] = {}  # of those that began lately: how many under way then were being refused
        self._refused_at = 0.0
        self._pairs: deque[tuple[int, int]] = deque(maxlen=PAIRS)

    def accepted(self, number: int, load: int) -> None:
        """A call of ``asked`` is answered, which began with so many under way, itself among them."""
        self._pairs.append((self.asked.pop(number), load - self._beside.get(number, 0)))

    def refused(self, number: int, load: int, last: int, now: float) -> int:
        """The ``number``-th call was, which began with so many under way; ``last`` is the number of the one that began
        last.

        :returns: how many were under way that were not being refused, itself among them.
        """
        load -= self._beside.pop(number, 0)
        for each in range(number + 1, min(last, number + WAITED_FOR) + 1):
            self._beside[each] = self._beside.get(each, 0) + 1
        while len(self._beside) > WAITED_FOR:
            del self._beside[next(iter(self._beside))]
        if now - self._refused_at > SPAN:
            self.asked.clear()
            self._pairs.clear()
        self._refused_at = now
        self.asked.pop(number, None)
        if load < 2:
            return load  # alone: that is for another reason
        for each in range(number + 1, number + 1 + NEXT):
            self.asked[each] = load
        while len(self.asked) > WAITED_FOR:
            del self.asked[next(iter(self.asked))]
        return load

    @property
    def is_mixed(self) -> bool:
        """It is not for want of them."""
        return len(self._pairs) >= ENOUGH and self._apart(self._least()) <= MIXED

    def found(self) -> int:
        """How many places there seem to be; 0: that is not known."""
        if len(self._pairs) < ENOUGH:
            return 0
        least = self._least()
        return least if self._apart(least) >= APART else 0

    def _least(self) -> int:
        return min((more for more, fewer in self._pairs if more > fewer), default=1) - 1

    def _apart(self, places: int) -> float:
        return sum(fewer <= places < more for more, fewer in self._pairs) / len(self._pairs)
