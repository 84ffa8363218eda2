"""When the next call may begin at a deployment that refuses, or comes back: pauses, a ramp behind them, a rate."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from llmedge.model import Clock
from llmedge.state.breaker import is_no_chance
from llmedge.state.learned_rate import LearnedRate
from llmedge.state.ramp import Ramp
from llmedge.state.window import SlidingSum

FIRST, LONGEST = 0.5, 8.0
"""Seconds of the first pause after a refusal that does not say how long to wait, and of the longest: it doubles."""
EMPHATIC = 3
"""Pauses in a row after which it is taken to be down."""
LONGEST_OF_LAST = 2.0
"""Seconds that such a pause holds for who has nobody else to ask."""
JITTER = 0.25
"""Share of such a pause that is left to chance."""
MOST = 3600.0
"""Seconds; bounds what a wrong ``Retry-After`` can do."""
PROBE = 60.0
"""Seconds after which one who has nobody else to ask tries it all the same, and again each time, however long a pause
was asked for: an operator may have raised the limit, and nobody says so."""
SPAN = 10.0
"""Seconds of which it is known how many were refused, and how many were not."""


class Pacer:
    """Lets calls begin one by one where a deployment wants it. Idle, it costs the look at ``slow``.

    - A *pause*: as long as a refusal says (``Retry-After``), else, after more refusals in a row than come by chance,
      half a second, doubled with each further one. Until then nobody who may ask elsewhere asks here; who may not waits
      in the queue, two seconds at most, and once in a minute tries; or when a call ends, where it may be for want of
      places. An answer to who has tried ends the pause, and so does :meth:`clear`.
    - A *ramp* behind a pause, and behind an outage, so that those who waited do not come all at once; see
      :class:`~llmedge.state.ramp.Ramp`.
    - A *rate* where refusals come whatever is under way; see :class:`~llmedge.state.learned_rate.LearnedRate`.

    :ivar slow: calls may have to wait for it.
    :ivar learns: refusals that do not say how long to wait are heeded as well.
    :ivar why: what it is about, for people.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.slow = False
        self.learns = True
        self.why = ""
        self._is_told = self._may_try = False
        self._tried = 0  # the number of the call that found out whether there is a place
        self.wake: Callable[[], None] = lambda: None
        self._row = self._pauses = 0  # refusals in a row, and pauses for them
        self._last_refused = -1
        self._since = self._until = self._until_for_last = self._longest = 0.0
        self._ramp = Ramp()
        self._rate = LearnedRate(clock)
        self._refusals = self._accepted = 0  # ever
        self._refused, self._well = SlidingSum(SPAN), SlidingSum(SPAN)

    # What happens

    def pause(self, seconds: float, why: str, longest_for_last: float = inf, number: int = 0) -> None:
        """Nobody is to ask for ``seconds``; of those who have nobody else to ask, for ``longest_for_last`` at most, and
        for :data:`PROBE`.

        :param number: of the call that was told so beside others; it may be for want of places.
        """
        now, seconds = self._clock.seconds(), min(seconds, MOST)
        self._may_try = number > 0 and number != self._tried and (self._may_try or not self.paused(last=True))
        self._longest = max(seconds, self.paused())
        self._until = max(self._until, now + seconds)
        self._until_for_last = max(self._until_for_last, now + min(seconds, longest_for_last, PROBE))
        self._since = now
        self.why = why
        self._is_told = longest_for_last == inf
        self._rate.paused(self._until_for_last, self._is_told)
        self.ramp(self._until_for_last)

    def told(self, number: int, last: int) -> None:
        """A refusal that says how long to wait, of the ``number``-th call that began; see :meth:`refused`."""
        self._refusals += 1
        self._accepted = last - self._refusals
        if self.learns and not self.paused(last=True) and self._rate.refused(number, last, self._accepted):
            self.slow = True

    def refused(self, number: int, last: int, full: bool = False, seconds: float = 0.0, beside: bool = False) -> None:
        """A refusal that does not say how long to wait, of the ``number``-th call that began, ``last`` being that of
        the last one. After more in a row than come by chance, which means that none of those that began in between was
        accepted, nobody is to ask for a while; but not where it is ``full``, as places come free one by one.

        :param seconds: that the refusal took. ``beside``: others were under way; see :meth:`freed`.
        """
        if not self.learns:
            return
        now = self._clock.seconds()
        self._ramp.longer_than(seconds)
        self._row = self._row + 1 if number <= self._last_refused + 1 else 1
        self._last_refused = max(self._last_refused, number)
        self._refusals += 1
        self._refused.add(now, 1.0)
        before, self._accepted = self._accepted, last - self._refusals
        self._well.add(now, float(max(0, self._accepted - before)))
        if not full and not self._ramp.is_on and self._rate.refused(number, last, self._accepted):
            self.slow = True
        if self._row == 1:
            self._pauses = 0
        elif now >= self._until_for_last and not full and self._is_no_chance(now):
            seconds = min(LONGEST, FIRST * 2.0 ** min(self._pauses, 10)) * (1.0 - JITTER * self._random.random())
            self._pauses += 1
            self.pause(seconds, f"{self._row} refusals in a row", LONGEST_OF_LAST, number if beside else 0)

    def _is_no_chance(self, now: float) -> bool:
        well = self._well.total(now)
        if self._pauses:
            return True
        return self._row >= 5 if well < 1.0 else is_no_chance(self._row, self._refused.total(now), well)

    def is_full(self, began: float, others: bool) -> bool:
        """Whether a refusal, of a call that ``began`` then, says that as many were let in by and by as the deployment
        takes; see :meth:`Ramp.refused`."""
        return self.slow and self._ramp.refused(self._clock.seconds(), began, others)

    def freed(self, number: int) -> None:
        """A call has ended well, and others wait. In a pause for want of places the next one, the ``number``-th to
        begin, tries whether there is one now; but no other does if it is told to wait, too."""
        if self._may_try and self.paused(last=True):
            self._until_for_last, self._tried = self._clock.seconds(), number
            self.ramp()
        else:
            self._ramp.ended()

    def keep_to(self, rate: float) -> None:
        """Its deployment says that no call is left for now, and that so many a second come back."""
        if rate < 1.0:
            self.pause(1.0 / max(rate, 1e-6), "no requests left")
        else:
            self._rate.keep_to(rate)
            self.slow = True

    @property
    def rate(self) -> float:
        """Calls a second that may begin; infinite where no limit of them is known."""
        return self._rate.value

    def ramp(self, begin: float | None = None) -> None:
        """Let calls in by and by, from ``begin`` on."""
        self.slow = True
        self._ramp.begin(self._clock.seconds() if begin is None else begin)

    def answered(self, began: float = inf) -> None:
        """An answer begins, to a call that ``began`` then. To be told while ``slow``."""
        if self._is_told and began > self._since and self.paused():
            self.clear()  # who asked for the pause does not keep to it
        if self._ramp.answered():
            self.wake()

    def clear(self) -> None:
        """No pause holds any longer; those who waited are let in by and by."""
        if self.paused() or self.paused(last=True):
            self._until = self._until_for_last = 0.0
            self.ramp()
            self.wake()

    # What may be done

    def paused(self, last: bool = False) -> float:
        """Seconds until a call may begin, as far as refusals go; 0.0 if none holds.

        :param last: nobody else is left to be asked.
        """
        if not self.slow:
            return 0.0
        left = (self._until_for_last if last else self._until) - self._clock.seconds()
        return left if 0.0 < left <= self._longest + 1.0 else 0.0  # or the clock was set back

    @property
    def is_returning(self) -> bool:
        """There is a pause, or a ramp behind one: how fast calls began lately says nothing of how fast they will."""
        return self.slow and self._ramp.is_on

    @property
    def is_refusing(self) -> bool:
        """It refused whatever it was asked, through several pauses."""
        return self.slow and self._pauses >= EMPHATIC

    def told_to_wait(self, most: float) -> float:
        """Seconds of a pause that the deployment asked for; 0.0 if there is none, or of more than ``most``."""
        return left if self._is_told and (left := self.paused()) <= most else 0.0

    def delay(self) -> float:
        """Seconds until the next of those who have nobody else to ask may begin: 0.0, now."""
        if not self.slow:
            return 0.0
        if (left := self.paused(last=True)) > 1e-9:
            return left
        if self._ramp.is_on and (left := self._ramp.delay(self._clock.seconds())):
            return left
        if left := self._rate.delay():
            return left
        if not self._ramp.is_on and self._rate.value == inf and not self.paused():
            self.slow = False
        return 0.0

    def began(self) -> None:
        """A call begins. To be told while ``slow``."""
        self._ramp.let_in()
        self._rate.began()
