"""Why a target is left alone, cut or queued for, in words: for the decision record, the log and the client."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.logger import Logger

from llmedge.model import Clock
from llmedge.state.breaker import CircuitBreaker, State
from llmedge.state.fair_queue import FairQueue
from llmedge.state.pacing import Pacer

log = Logger()

QUIET = 10.0
"""Seconds between two lines about the limit of one target, which may move with each call, or about its pauses."""


def blocked_words(breaker: CircuitBreaker, blocked: str) -> str:
    """Why a breaker lets no call begin, such as ``breaker: 31 of 60 failed``.

    :param blocked: what it says itself, see :meth:`CircuitBreaker.blocked_by`.
    """
    if not breaker.why or blocked not in ("open", "probe"):
        return f"breaker: {blocked}"
    return f"breaker: {breaker.why}" + (", one call tries" if blocked == "probe" else "")


def limit_words(queue: FairQueue) -> str:
    """How many calls at once are given: ``limit 4`` as configured, ``limit 12: pace 5.1x`` where that was learned."""
    return f"limit {queue.limit.value}" + (f": {queue.limit.why}" if queue.limit.why else "")


def pause_words(pacer: Pacer) -> str:
    """For how long no call begins, and why: ``paused: Retry-After, 3541 s left``."""
    left = pacer.paused()
    return f"paused: {pacer.why}, {left:.{0 if left >= 10.0 else 1}f} s left"


class Signals:
    """Tells the log what changed for one deployment, and why."""

    __slots__ = ("_clock", "_name", "_paused_at", "_told_at", "_why")

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._why = ""
        self._told_at = self._paused_at = clock.seconds() - QUIET

    def breaker(self, breaker: CircuitBreaker, before: State, after: State) -> None:
        """A breaker changed. Of the tries between an opening and a closing nothing is said."""
        if before is State.CLOSED:
            log.warn("{target} is left alone: {why}", target=self._name, why=breaker.why)
        elif after is State.CLOSED:
            log.info("{target} is asked again", target=self._name)

    def pause(self, seconds: float) -> None:
        """It asked to be left alone for so long."""
        now = self._clock.seconds()
        if seconds >= QUIET and now - self._paused_at >= QUIET:
            self._paused_at = now
            until = datetime.fromtimestamp(now + seconds, UTC).isoformat(timespec="seconds")
            log.warn("{target} asks to be left alone until {until}", target=self._name, until=until)

    def limit(self, queue: FairQueue) -> None:
        """A call ended, and the limit may have been cut."""
        why = queue.limit.why
        if why is self._why:  # nearly always
            return
        self._why = why
        if why and self._clock.seconds() - self._told_at >= QUIET:
            self._told_at = self._clock.seconds()
            log.info("{target} is given fewer calls at once: {why}", target=self._name, why=limit_words(queue))
