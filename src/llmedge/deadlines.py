"""Timers; many deadlines on one: what ends in time, as nearly all does, costs no ``callLater``."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.logger import Logger

log = Logger()


def stop(timer: Any) -> None:
    """Cancel what ``callLater`` gave, where it gave something, and that is still to come."""
    if timer is not None and timer.active():
        timer.cancel()


class Deadlines:
    """:param clock: gives the time, and the one timer.
    :param expire: called with whatever is due.
    :param min_interval: seconds between two looks at least, for what comes due again and again.
    """

    def __init__(self, clock: Any, expire: Callable[[Any], None], min_interval: float = 0.0) -> None:
        self._clock = clock
        self._expire = expire
        self._min_interval = min_interval
        self._due: dict[Any, float] = {}
        self._timer: Any = None
        self._armed = 0.0

    def set(self, what: Any, due: float) -> None:
        """``what`` is due at ``due``, in clock seconds, whatever it was before."""
        self._due[what] = due
        if self._timer is None:
            self._arm(due)
        elif due < self._armed:
            self._timer.cancel()
            self._arm(due)

    def drop(self, what: Any) -> None:
        """``what`` is over. The timer is left to find out."""
        self._due.pop(what, None)

    def move(self, what: Any, due: float) -> None:
        """The same for what has a deadline already; nothing where it has none, or none any more."""
        if what in self._due:
            self.set(what, due)

    def close(self) -> None:
        """Forget all of them."""
        self._due.clear()
        stop(self._timer)
        self._timer = None

    def _arm(self, due: float) -> None:
        self._armed = due
        self._timer = self._clock.callLater(max(0.001, due - self._clock.seconds()), self._expire_due)

    def _expire_due(self) -> None:
        self._armed = -inf  # what is set meanwhile arms nothing: the earliest of all does, at the end
        now = self._clock.seconds() + 0.0005
        for what in [what for what, due in self._due.items() if due <= now]:
            if self._due.get(what, inf) <= now:  # not dropped or moved by what another did
                del self._due[what]
                try:
                    self._expire(what)
                except Exception:
                    log.failure("what was to be done at a deadline failed")  # the others have theirs all the same
        self._timer = None
        if self._due:
            self._arm(max(min(self._due.values()), now + self._min_interval))
