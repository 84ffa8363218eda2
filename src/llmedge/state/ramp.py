"""The ramp: those who waited for a deployment that comes back are let in by and by."""

from __future__ import annotations

ROUND, LONGEST_ROUND = 0.1, 1.0
"""Seconds of one round, at least and at most: longer than failures took, so that a call that was let in so long ago,
and did not fail, may be taken to be well."""
LONGEST_HOLD = 2.0
"""Seconds, at most, after which one more than it takes is let in again."""


class Ramp:
    """One call, then two, four … each round, and two for each answer that begins, until nobody is held up any more.

    Where more than half of a round is refused while others are under way, their deployment has *as many as it takes*.
    From then on one is let in for each that ends; and one more after two rounds, four … to find out whether it takes
    more now. Where that one is not refused, rounds grow again.

    :ivar is_on: somebody may have to wait for it.
    """

    def __init__(self) -> None:
        self.is_on = self._is_full = False
        self._round = self._length = ROUND  # seconds: of any round, of this one
        self._size = 0  # calls of this round; 0: it has as many as it takes, and one more is still to be tried
        self._allowed = self._refused = 0  # of this round: calls still to come, and refused ones
        self._began = self._ends = 0.0

    def begin(self, at: float) -> None:
        """It begins with one call, ``at`` the clock's seconds."""
        self.is_on, self._is_full = True, False
        self._size = self._allowed = 1
        self._refused, self._length = 0, self._round
        self._began, self._ends = at, at + self._length

    def longer_than(self, seconds: float) -> None:
        """What a failure took: rounds are longer from now on."""
        self._round = min(LONGEST_ROUND, max(ROUND, 1.5 * seconds))

    def answered(self) -> bool:
        """An answer begins. Whether that lets others in."""
        if not self.is_on or self._is_full:
            return False
        self._allowed += 2
        return True

    def ended(self) -> None:
        """A call has ended well."""
        if self._is_full:
            self._allowed += 1

    def refused(self, now: float, began: float, others: bool) -> bool:
        """A call that ``began`` then was refused. Whether that is for want of places, as far as is known.

        :param others: are under way, and calls are not known to be refused by chance.
        """
        if not self.is_on or began < self._began:
            return False
        if not others:  # then it is for another reason
            if self._is_full:
                self._is_full, self._size = False, 1
                self._length, self._ends = self._round, now + self._round
            return False
        self._refused += 1
        if 2 * self._refused > self._size:
            self._is_full = True
            self._size, self._refused, self._allowed = 0, 0, min(self._allowed, 0)
            self._length = min(LONGEST_HOLD, 2.0 * self._length)
            self._ends = now + self._length
        return True

    def delay(self, now: float) -> float:
        """Seconds until the next one may begin."""
        if self._allowed <= 0:
            if 1e-9 < (left := self._ends - now) <= self._length + 1.0:  # or the clock was set back
                return left
            self._next_round(now)
        elif now >= self._ends + self._length:  # nobody was held up for a whole round
            self.is_on = False
        return 0.0

    def _next_round(self, now: float) -> None:
        if self._size:
            self._is_full, self._length = False, self._round
        self._size = max(1, 2 * self._size)
        self._allowed, self._refused = self._size, 0
        self._ends = now + self._length

    def let_in(self) -> None:
        """One begins."""
        self._allowed -= 1
