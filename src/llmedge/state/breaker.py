"""Circuit breaker: a deployment that fails is left alone, and asked again soon, by one call at a time."""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import Random

import attrs

from llmedge.model import Clock
from llmedge.state.window import SlidingSum


class State(enum.Enum):
    """The value is the label in logs and metrics."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Observer = Callable[[State, State], None]
"""Told ``(before, after)`` of each change."""


@attrs.frozen
class BreakerSettings:
    """When to open, and for how long. Names as in resilience4j and Envoy's outlier detection, which differ in little.

    :ivar window: seconds over which the failure rate is taken.
    :ivar minimum_calls: calls in the window before its failure rate means anything.
    :ivar failure_rate: opens at this share of failures, 0 to 1.
    :ivar consecutive_failures: opens at so many in a row (Envoy's ``consecutive_5xx``); sees what a rate is slow to.
    :ivar open_time: seconds of the first opening; doubled each time, up to ``max_open_time``. Envoy's 30 to 300 s
        and resilience4j's 60 s keep a vendor that is back out for minutes; a cap of 8 s is one call each 8 seconds.
    :ivar jitter: share of the open time left to chance, so that processes do not probe in step. It is taken off.
    :ivar reset_after: seconds closed after which an opening counts as the first again.
    :ivar probe_timeout: seconds after which a probe that has not answered lets the next one go, or one silent call
        would keep a vendor that is back out for as long as it hangs (resilience4j's issue 903).
    :ivar max_cooldown: seconds; bounds what a wrong ``Retry-After`` can do.
    """

    window: float = 10.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    consecutive_failures: int = 5
    open_time: float = 1.0
    max_open_time: float = 8.0
    jitter: float = 0.2
    reset_after: float = 30.0
    probe_timeout: float = 2.0
    max_cooldown: float = 3600.0


class CircuitBreaker:
    """The breaker of one deployment (Nygard, "Release It!", 2007).

    Nothing is scheduled. OPEN lasts until a probe begins, HALF_OPEN until one is answered; both need a call. What was
    begun before a change of state is ignored when it ends after it: old news about another time.

    :ivar breaks: of answers that had begun, in a row.
    :ivar why: what opened it last, for people: ``"31 of 60 failed"``.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        settings: BreakerSettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._clock = clock
        self._random = random
        self.settings = settings = settings or BreakerSettings()
        self._observer = observer
        self.state = State.CLOSED
        self._successes = SlidingSum(settings.window)
        self._failures = SlidingSum(settings.window)
        self._consecutive = 0
        self.breaks = 0
        self._epoch = 0  # counts changes of state
        self._openings = 0  # in a row
        self._closed_at = clock.seconds()
        self._until = 0.0
        self._cool_until = 0.0
        self._probe: Ticket | None = None
        self._probe_until = 0.0
        self.why = ""

    def blocked_by(self) -> str:
        """Why no call may begin now: ``"cooldown"``, ``"open"``, ``"probe"`` (one is under way); ``""`` if one may."""
        if self.state is State.CLOSED and not self._cool_until:  # nearly always
            return ""
        now = self._clock.seconds()
        settings = self.settings
        if self._cool_until and _ahead(self._cool_until, now, settings.max_cooldown):
            return "cooldown"
        if self.state is State.OPEN and _ahead(self._until, now, settings.max_open_time):
            return "open"
        if self._probe is not None and _ahead(self._probe_until, now, settings.probe_timeout):
            return "probe"
        return ""

    def allow(self) -> bool:
        """Whether a call may begin now. For choosing; only ``begin`` decides."""
        return not self.blocked_by()

    def available_at(self) -> float:
        """The clock's seconds at which a call may begin, now or earlier if it may already."""
        at = self._cool_until
        if self.state is State.OPEN:
            at = max(at, self._until)
        elif self.state is State.HALF_OPEN and self._probe is not None:
            at = max(at, self._probe_until)
        return at

    def begin(self) -> Ticket | None:
        """A ticket for one call, ``None`` if none may begin. Whoever has a ticket settles it, on every way out."""
        if self.state is State.CLOSED and not self._cool_until:
            return Ticket(self, self._epoch)
        if self.blocked_by():
            return None
        self._cool_until = 0.0
        if self.state is State.CLOSED:
            return Ticket(self, self._epoch)
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN)
        self._probe = Ticket(self, self._epoch)
        self._probe_until = self._clock.seconds() + self.settings.probe_timeout
        return self._probe

    def cool_down(self, until: float) -> None:
        """Begin no call before ``until`` (the clock's seconds): ``Retry-After``. Never shortens a longer cooldown."""
        until = min(until, self._clock.seconds() + self.settings.max_cooldown)
        self._cool_until = max(self._cool_until, until)

    def pause(self, now: float) -> float:
        """Seconds that are left of a cooldown."""
        return max(0.0, self._cool_until - now)

    def failing(self, now: float) -> float:
        """The share of failures in the window; in any thread."""
        failures = self._failures.peek(now)
        calls = failures + max(0.0, self._successes.peek(now))
        return failures / calls if calls > 0.0 else 0.0

    def note_failure(self) -> None:
        """A failure of a call that had already succeeded: a stream cut after its first token. It counts once."""
        if self.state is State.CLOSED:
            now = self._clock.seconds()
            if self._successes.total(now) >= 1.0:
                self._successes.add(now, -1.0)
            self.breaks += 1
            self._failed()

    def note_whole(self) -> None:
        """An answer is complete."""
        self.breaks = 0

    def _failed(self) -> None:
        now = self._clock.seconds()
        settings = self.settings
        self._failures.add(now, 1.0)
        self._consecutive += 1
        failures = self._failures.total(now)
        calls = failures + max(0.0, self._successes.total(now))
        run = max(self._consecutive, self.breaks)
        share = calls >= settings.minimum_calls and failures >= settings.failure_rate * calls
        if share or run >= settings.consecutive_failures:
            self.why = f"{failures:.0f} of {calls:.0f} failed" if share else f"{run} in a row failed"
            if now - self._closed_at >= settings.reset_after:
                self._openings = 0
            self._open(now)

    def _open(self, now: float) -> None:
        settings = self.settings
        seconds = min(settings.max_open_time, settings.open_time * 2.0 ** min(self._openings, 60))
        self._until = now + seconds * (1.0 - settings.jitter * self._random.random())
        self._openings += 1
        self._change(State.OPEN)

    def _close(self) -> None:
        self._closed_at = self._clock.seconds()
        self._consecutive = self.breaks = 0
        self._successes.clear()
        self._failures.clear()
        self._change(State.CLOSED)

    def _change(self, state: State) -> None:
        before, self.state = self.state, state
        self._epoch += 1
        self._probe = None
        if self._observer is not None:
            self._observer(before, state)

    def _settle(self, ticket: Ticket, ok: bool | None) -> None:
        if ticket._epoch != self._epoch:
            return
        if self.state is State.CLOSED:
            if ok:
                self._consecutive = 0
                self._successes.add(self._clock.seconds(), 1.0)
            elif ok is False:
                self._failed()
        elif ok:  # of any probe: also one so slow that the next had begun
            self._close()
        elif ticket is self._probe:
            if ok is None:
                self._probe = None
            else:
                self._open(self._clock.seconds())


@attrs.define(eq=False)
class Ticket:
    """One call's place in a breaker. The first of ``succeed``, ``fail``, ``abandon`` counts, the others do nothing."""

    _breaker: CircuitBreaker
    _epoch: int
    _settled: bool = False

    def succeed(self) -> None:
        """The deployment works. Say so at the first token: a probe that waits for a long answer holds up recovery."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, True)

    def fail(self) -> None:
        """The deployment failed, in a way that counts against its health."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, False)

    def abandon(self) -> None:
        """Nothing was learned: the client left, another target was faster, the request was at fault."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, None)


def _ahead(until: float, now: float, longest: float) -> bool:
    """Whether ``until`` is still to come; not if it is further than it can be, because the clock was set back."""
    return 1e-9 < until - now <= longest + 1.0
