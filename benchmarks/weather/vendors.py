"""Vendors that behave as a script says: slow, failing, full, limited, down for a while. Their time is a clock's, so the
same ones stand behind sockets here and behind the route in ``tests/pipeline/test_any_weather.py``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred

RESET = 0
"""A status: the connection is closed instead."""

Changing = float | Callable[[float], float]
"""A number, or what it is so many seconds after the beginning."""


def during(begin: float, end: float, inside: float, outside: float = 0.0) -> Callable[[float], float]:
    """``inside`` from ``begin`` to ``end``, else ``outside``."""
    return lambda now: inside if begin <= now < end else outside


def sleep(clock: Any, seconds: float) -> Deferred[None]:
    timer: list[Any] = []
    done: Deferred[None] = Deferred(lambda _: timer[0].cancel())
    timer.append(clock.callLater(seconds, done.callback, None))
    return done


class Refused(Exception):
    """The vendor answers with an error.

    :ivar retry_after: seconds, in its header.
    """

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


@attrs.frozen
class Script:
    """How a vendor behaves.

    :ivar seconds: to an answer or a stream's first word, give or take ``spread`` of it; ``longer`` for a long prompt,
        which gets ``long_status`` instead, if that is not 0.
    :ivar slow: share of calls that take ``slow_seconds`` instead.
    :ivar failing: share of calls that get ``status``, after ``failing_after`` seconds.
    :ivar places: calls it works on at once; who comes beyond waits his turn, or with ``full_status`` is told to go.
    :ivar a_second: calls a second that it allows, ``burst`` of them at once; beyond it is a 429.
    :ivar tells: how many of these are left, in headers.
    :ivar refuses_at: the first call after each of these moments gets a 429.
    :ivar retry_after: seconds that go with its 429 and 503, for others to heed.
    :ivar words: of a stream, ``gap`` seconds apart. ``usage``: it tells its tokens.
    """

    seconds: Changing = 0.1
    spread: float = 0.0
    longer: float = 0.0
    long_status: int = 0
    slow: Changing = 0.0
    slow_seconds: float = 8.0
    failing: Changing = 0.0
    status: Changing = 500
    failing_after: float = 0.01
    places: Changing = inf
    full_status: Changing = 0
    a_second: Changing = inf
    burst: float = 1.0
    tells: bool = False
    refuses_at: tuple[float, ...] = ()
    retry_after: float | None = None
    words: int = 3
    gap: float = 0.0
    usage: bool = True


class Vendor:
    """One vendor at work.

    :ivar asked: when it was; ``under_way``: calls at it now, ``peak`` the most ever.
    """

    def __init__(self, script: Script, clock: Any, random: Random) -> None:
        self.script = script
        self.asked: list[float] = []
        self.under_way = self.peak = 0
        self._clock, self._random = clock, random
        self._began = clock.seconds()
        self._serving = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._tokens, self._then = script.burst, self._began
        self._refuses = list(script.refuses_at)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return cast(float, self._clock.seconds()) - self._began

    def value(self, number: Changing) -> float:
        return number(self.now) if callable(number) else number

    def is_down(self) -> bool:
        """Whether nothing it is asked now can succeed."""
        return self.value(self.script.failing) >= 1.0

    async def work(self, long: bool, begun: Callable[[], Any] = lambda: None, words: int = 0) -> None:
        """Do a call's work: until its answer is there, and for a stream until its last word.

        :param begun: called when the answer is there, ``words`` words before the end.
        :raises Refused: it will not.
        """
        self.asked.append(self.now)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await self._admit(long)
            await self._take_place()
            try:
                await sleep(self._clock, self._takes(long))
                begun()
                if words and self.script.gap:
                    await sleep(self._clock, words * self.script.gap)
            finally:
                self._leave()
        finally:
            self.under_way -= 1

    async def _admit(self, long: bool) -> None:
        script = self.script
        if long and script.long_status:
            await sleep(self._clock, script.failing_after)
            raise Refused(script.long_status)
        if self._refuses and self.now >= self._refuses[0]:
            self._refuses.pop(0)
            raise Refused(429, script.retry_after)
        if not self._allows():
            raise Refused(429, script.retry_after)
        if self._random.random() < self.value(script.failing):
            await sleep(self._clock, script.failing_after)
            raise Refused(int(self.value(script.status)), script.retry_after)
        full = int(self.value(script.full_status))
        if full and self._serving >= self.value(script.places):
            raise Refused(full, script.retry_after)

    def _allows(self) -> bool:
        now, limit = self._clock.seconds(), self.value(self.script.a_second)
        if limit == inf:
            return True
        self._tokens = min(self.script.burst, self._tokens + (now - self._then) * limit)
        self._then = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def left(self) -> tuple[int, float] | None:
        """Calls that it allows now, and seconds until it allows all of ``burst`` again, if it tells."""
        script = self.script
        if not script.tells:
            return None
        limit = self.value(script.a_second)
        tokens = min(script.burst, self._tokens + (self._clock.seconds() - self._then) * limit)
        return int(tokens), (script.burst - tokens) / limit

    def _takes(self, long: bool) -> float:
        script = self.script
        if long and script.longer:
            return script.longer
        if self._random.random() < self.value(script.slow):
            return script.slow_seconds
        return self.value(script.seconds) * self._random.uniform(1.0 - script.spread, 1.0 + script.spread)

    async def _take_place(self) -> None:
        mine: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(mine)
        self._let_in()
        await mine

    def _leave(self) -> None:
        self._serving -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._serving < self.value(self.script.places):
            self._serving += 1
            self._waiting.popleft().callback(None)
