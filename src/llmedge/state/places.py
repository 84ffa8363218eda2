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
APART = 0.9
"""Share of the pairs, at least, in which the one that was refused began with more under way. It is about one half where
that does not matter, and one where it is all that matters, but for calls that are on the wire."""
SPAN = 30.0
"""Seconds after which it is counted anew."""


class Places:
    """Pairs of calls next to each other, one refused and one not, by how many were under way when they began.

    :ivar asked: numbers of the calls of which it is to be told if they are answered, with those of who was refused.
    """

    def __init__(self) -> None:
        self.asked: dict[int, int] = {}
        self._since = 0.0
        self._pairs: deque[tuple[int, int]] = deque(maxlen=PAIRS)

    def accepted(self, number: int, load: int) -> None:
        """A call of ``asked`` is answered, which began with so many under way, itself among them."""
        self._pairs.append((self.asked.pop(number), load))

    def refused(self, number: int, load: int, now: float) -> None:
        """The ``number``-th call was, which began with so many under way."""
        if now - self._since > SPAN:
            self._since = now
            self.asked.clear()
            self._pairs.clear()
        self.asked.pop(number, None)
        for each in range(number + 1, number + 1 + NEXT):
            self.asked[each] = load
        while len(self.asked) > WAITED_FOR:
            del self.asked[next(iter(self.asked))]

    @property
    def is_known(self) -> bool:
        """Whether anything can be told."""
        return len(self._pairs) >= ENOUGH

    def found(self) -> int:
        """How many places there seem to be; 0: it is not for want of them, or that is not known."""
        if not self.is_known or sum(more > fewer for more, fewer in self._pairs) < APART * len(self._pairs):
            return 0
        return sorted(more for more, _ in self._pairs)[1] - 1
