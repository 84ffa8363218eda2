"""Whether a deployment refuses for want of places: by how many calls were under way where it refused, and where not."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

MOST = 32
"""Calls of each kind that are remembered."""
ENOUGH = 6
"""Calls of each kind of which something can be told."""
NEXT = 2
"""Calls that begin next to one that is refused that are looked at, if they are not: all meet about the same weather."""
WAITED_FOR = 256
"""Such calls that may be under way."""
APART = 0.9
"""The chance, at least, that of one that was refused and one that was not the former began with more under way: the area
under a classifier's curve (Hanley & McNeil 1982), Mann and Whitney's U. Where it does not matter how many are under way
it is one half; where that is all that matters it is one, but for calls that are on the wire."""
SPAN = 30.0
"""Seconds after which it is counted anew."""


class Places:
    """Calls under way when calls began, themselves among them, that were refused, and that were not.

    :ivar asked: numbers of the calls of which it is to be told if they are answered.
    """

    def __init__(self) -> None:
        self.asked: dict[int, None] = {}
        self._since = 0.0
        self._accepted: deque[int] = deque(maxlen=MOST)
        self._refused: deque[int] = deque(maxlen=MOST)

    def accepted(self, number: int, load: int) -> None:
        """A call of ``asked`` is answered."""
        del self.asked[number]
        self._accepted.append(load)

    def refused(self, number: int, load: int, now: float) -> None:
        """The ``number``-th call was."""
        if now - self._since > SPAN:
            self._since = now
            self.forget()
        self._refused.append(load)
        self.asked.pop(number, None)
        self.asked.update(dict.fromkeys(range(number + 1, number + 1 + NEXT)))
        while len(self.asked) > WAITED_FOR:
            del self.asked[next(iter(self.asked))]

    def forget(self) -> None:
        self.asked.clear()
        self._accepted.clear()
        self._refused.clear()

    def found(self) -> int:
        """How many there seem to be; 0: it is not for want of them, or that is not known."""
        if min(len(self._refused), len(self._accepted)) < ENOUGH:
            return 0
        accepted, refused = sorted(self._accepted), sorted(self._refused)
        apart = sum(bisect_left(accepted, load) for load in refused) / (len(accepted) * len(refused))
        return refused[1] - 1 if apart >= APART else 0
