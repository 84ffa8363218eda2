"""Circuit breaker: a deployment that fails is left alone, and asked again soon, by one call at a time."""

from __future__ import annotations

import enum
from collections.abc import Callable
from math import log
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
    :ivar consecutive_failures: opens at so many in a row (Envoy's ``consecutive_5xx``), which sees what a rate is slow
        to; at more of them where the window's share makes a run of so many nothing unusual.
    :ivar open_time: seconds of an opening. Envoy's 30 to 300 s and resilience4j's 60 s keep a vendor that is back out
        for minutes; one call a second is nothing, so the time grows no further than ``max_open_time``, by doubling.
    :ivar jitter: share of the open time left to chance, so that processes do not probe in step. It is taken off.
    :ivar reset_after: seconds closed after which an opening counts as the first again.
    :ivar probe_timeout: seconds after which a probe that has not answered lets the next one go, or one silent call
        would keep a vendor that is back out for as long as it hangs (resilience4j's issue 903).
    :ivar alive_after: a probe under way for so many seconds, and for four times as long as any failure took, shows that
        the vendor is back: whole answers take long.
    """

    window: float = 10.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    consecutive_failures: int = 5
    open_time: float = 1.0
    max_open_time: float = 1.0
    jitter: float = 0.2
    reset_after: float = 30.0
    probe_timeout: float = 2.0
    alive_after: float = 1.0


_CHANCE = log(1e-6) + 1e-9
"""How improbable, at the window's share of failures, a run of them is that opens the breaker."""
_LEAST_SHARE = 0.05
"""As if so many failed where none did: five in a row are no chance then."""
_TIMES_LONGER = 4.0
"""A probe that lives so much longer than failures took is none."""


class CircuitBreaker:
    """The breaker of one deployment (Nygard, "Release It!", 2007).

    It opens where the window's *share* of failures is high, or at a *run* of failures that this share does not explain:
    of a hundred calls a second of which 30 % fail, five in a row do every few seconds, and twelve never. After a share
    some calls still succeed, so who has nobody else to ask may ask on (``begin(last=True)``, as Envoy's panic threshold
    and proxies that never leave out their last server); after a run nobody may.

    Nothing is scheduled. OPEN lasts until a probe begins, HALF_OPEN until one is answered; both need a call. What was
    begun before a change of state is ignored when it ends after it: old news about another time.

    :ivar breaks: of answers that had begun, in a row.
    :ivar is_down: it opened at a run, or where nothing succeeded.
    :ivar lasting: what failed last will until somebody changes something: once open, it is not waited for.
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
        self._begun = self._pending = 0  # tickets given, and those of them that are not settled
        self._older_before = 0  # calls under way that had begun before the run of failures
        self.breaks = 0
        self._epoch = 0  # counts when it went down, and came back
        self._openings = 0  # in a row
        self._closed_at = clock.seconds()
        self._until = 0.0
        self._probe: Ticket | None = None
        self._probe_since = 0.0
        self._longest = 0.0  # seconds a failure took, since it last closed
        self.is_down = self.lasting = False
        self.why = ""

    def blocked_by(self, last: bool = False) -> str:
        """Why no call may begin now: ``"open"``, ``"probe"`` (one is under way); ``""`` if one may.

        :param last: nobody else is left who could be asked.
        """
        if self.state is State.CLOSED or (last and not self.is_down):  # nearly always
            return ""
        now = self._clock.seconds()
        settings = self.settings
        if self.state is State.OPEN and _ahead(self._until, now, settings.max_open_time):
            return "open"
        if self._probe is not None and _ahead(self._probe_since + settings.probe_timeout, now, settings.probe_timeout):
            return "" if self._is_alive(now) else "probe"
        return ""

    def allow(self) -> bool:
        """Whether a call may begin now. For choosing; only ``begin`` decides."""
        return not self.blocked_by()

    def available_at(self, last: bool = False) -> float:
        """The clock's seconds at which a call may begin, now or earlier if it may already."""
        if last and not self.is_down:
            return 0.0
        if self.state is State.OPEN:
            return self._until
        if self.state is State.HALF_OPEN and self._probe is not None:
            settings = self.settings
            alive = max(settings.alive_after, _TIMES_LONGER * self._longest)
            return self._probe_since + min(settings.probe_timeout, alive)
        return 0.0

    def begin(self, last: bool = False) -> Ticket | None:
        """A ticket for one call, ``None`` if none may begin. Whoever has a ticket settles it, on every way out.

        :param last: nobody else is left who could be asked.
        """
        if self.state is not State.CLOSED and self.blocked_by(last):
            return None
        self._begun += 1
        self._pending += 1
        if self.state is State.CLOSED:
            return Ticket(self, self._epoch, self._begun)
        now = self._clock.seconds()
        if self._probe is not None and self._is_alive(now):
            self._close()
            return Ticket(self, self._epoch, self._begun)
        if self.blocked_by():
            return Ticket(self, self._epoch, self._begun)  # beside the probes
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN)
        self._probe = Ticket(self, self._epoch, self._begun)
        self._probe_since = now
        return self._probe

    def _is_alive(self, now: float) -> bool:
        """Whether the probe shows that by how long it is under way."""
        return now - self._probe_since >= max(self.settings.alive_after, _TIMES_LONGER * self._longest) - 1e-9

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
            self._failed(self._begun - self._pending)

    def seen(self) -> None:
        """It was found to be there by somebody who is no call. So calls may begin, but for where one has just failed,
        or is under way and will tell more."""
        if self.state is not State.CLOSED and not self.blocked_by():
            self._close()

    def note_whole(self) -> None:
        """An answer is complete."""
        self.breaks = 0

    def _older(self, number: int) -> int:
        """About how many calls are under way that began before the one of that number."""
        return self._pending - (self._begun - number)

    def _failed(self, number: int, seconds: float = 0.0) -> None:
        now = self._clock.seconds()
        settings = self.settings
        self._failures.add(now, 1.0)
        if not self._consecutive:
            self._older_before = self._older(number)
        self._consecutive += 1
        self._longest = max(self._longest, seconds)
        failures = self._failures.total(now)
        successes = max(0.0, self._successes.total(now))
        calls = failures + successes
        run = max(self._consecutive, self.breaks)
        # Failures are told sooner than successes: they are no run if many that began among them are still under way.
        between = self._older(number) - self._older_before
        down = run >= max(settings.consecutive_failures, 4 * between)
        down = down and is_no_chance(run, failures, successes)
        if down or (calls >= settings.minimum_calls and failures >= settings.failure_rate * calls):
            if self.state is State.CLOSED:
                if now - self._closed_at >= settings.reset_after:
                    self._openings = 0
            elif not down:
                return
            if down:
                self.is_down = True
                self._epoch += 1
            self.why = f"{run} in a row failed" if down else f"{failures:.0f} of {calls:.0f} failed"
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
        self._longest = 0.0
        self._successes.clear()  # how it was before says nothing of now; the probe is the first call of now
        self._failures.clear()
        self._successes.add(self._closed_at, 1.0)
        if self.is_down:
            self._epoch += 1
        self._change(State.CLOSED)
        self.is_down = False

    def _change(self, state: State) -> None:
        before, self.state = self.state, state
        self._probe = None
        if self._observer is not None:
            self._observer(before, state)

    def _settle(self, ticket: Ticket, ok: bool | None, seconds: float, at: float | None = None) -> None:
        self._pending -= 1
        if ticket._epoch != self._epoch:
            return
        probe = ticket is self._probe
        if self.is_down:
            if ok:  # of any probe: also one so slow that the next had begun
                self._close()
            elif probe and ok is False:
                self._longest = max(self._longest, seconds)
                self._open(self._clock.seconds())
        elif ok:
            self._consecutive = 0
            self._successes.add(self._clock.seconds() if at is None else at, 1.0)
            if probe:
                self._close()
        elif ok is False:
            self._failed(ticket._number, seconds)
            if probe and self._probe is ticket:  # that alone has not opened it again
                self._open(self._clock.seconds())
        if probe and ok is None:
            self._probe = None


def is_no_chance(run: int, failures: float, successes: float, least: float = _LEAST_SHARE) -> bool:
    """Whether a run of ``run`` failures is more than chance where, before it, calls failed as the window has it.

    :param least: as if such a share failed where fewer did.
    """
    if not successes:
        return True
    before = max(0.0, failures - run)
    share = max(least, (before + 1.0) / (before + successes + 2.0))  # Laplace's: of few calls little is known
    return run * log(share) <= _CHANCE


@attrs.define(eq=False)
class Ticket:
    """One call's place in a breaker. The first of ``succeed``, ``fail``, ``abandon`` counts, the others do nothing."""

    _breaker: CircuitBreaker
    _epoch: int
    _number: int
    _settled: bool = False

    def succeed(self, at: float | None = None) -> None:
        """The deployment works. Say so at the first token: a probe that waits for a long answer holds up recovery.

        :param at: the clock's seconds, where they are known.
        """
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, True, 0.0, at)

    def fail(self, seconds: float = 0.0) -> None:
        """The deployment failed, in a way that counts against its health, after ``seconds``."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, False, seconds)

    def abandon(self) -> None:
        """Nothing was learned: the client left, another target was faster, the request was at fault."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(self, None, 0.0)


def _ahead(until: float, now: float, longest: float) -> bool:
    """Whether ``until`` is still to come; not if it is further than it can be, because the clock was set back."""
    return 1e-9 < until - now <= longest + 1.0
