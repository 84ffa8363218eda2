"""Whether a deployment refuses for want of places: by how many calls were under way where it refused, and where not."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from math import inf

MOST = 32
"""Calls of each kind that are remembered."""
ENOUGH = 6
"""Calls of each kind of which something can be told."""
APART = 0.9
"""The chance, at least, that of one that was refused and one that was not the former began with more under way: the area
under a classifier's curve (Hanley & McNeil 1982), Mann and Whitney's U. Where it does not matter how many are under way
it is one half; where that is all that matters it is one, but for calls that are on the wire."""
WANTED = 2
"""Calls that were not refused that are looked at for each that was: both are of the same time."""
SPAN = 30.0
"""Seconds after which it is counted anew."""


class Places:
    """Calls under way when calls began, themselves among them, that were refused, and that were not.

    :ivar first: the number of the first call that counts, which was refused: whether those before it were not says
        nothing, as they may have met another load.
    """

    def __init__(self) -> None:
        self.first: float = inf
        self._since = -inf
        self._wanted = 0
        self._accepted: deque[int] = deque(maxlen=MOST)
        self._refused: deque[int] = deque(maxlen=MOST)

    def accepted(self, load: int) -> None:
        if self._wanted:
            self._wanted -= 1
            self._accepted.append(load)

    def refused(self, number: int, load: int, now: float) -> None:
        if now - self._since > SPAN:
            self.first, self._since = number, now
            self.forget()
        self._refused.append(load)
        self._wanted = WANTED

    def forget(self) -> None:
        self._accepted.clear()
        self._refused.clear()

    @property
    def is_known(self) -> bool:
        return min(len(self._refused), len(self._accepted)) >= ENOUGH

    def found(self) -> int:
        """How many there seem to be; 0: it is not for want of them, or that is not known."""
        if not self.is_known:
            return 0
        accepted, refused = sorted(self._accepted), sorted(self._refused)
        apart = sum(bisect_left(accepted, load) for load in refused) / (len(accepted) * len(refused))
        return refused[1] - 1 if apart >= APART else 0
