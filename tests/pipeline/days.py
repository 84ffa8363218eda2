"""A day of weather over three targets, and an oracle that knows it: how many whole answers there were to be had.

``python -m tests.pipeline.days [HOURS]`` has the figures of three seeds.
"""

from __future__ import annotations

import heapq
import sys
from bisect import bisect_right
from collections.abc import Sequence
from math import inf, pi, sin
from random import Random

import attrs
from benchmarks.weather.vendors import Script

from tests.pipeline.climate import Asked, Climate

DEADLINE = 30.0
RATE = 4.0
"""Calls a second, between night and day."""
FAIR = 300.0
"""Seconds of fair weather between two episodes of another kind, on average."""


@attrs.frozen
class Episode:
    """How a vendor is for a while. Fields as of :class:`~benchmarks.weather.vendors.Script`."""

    begin: float
    kind: str = "well"
    failing: float = 0.0
    status: int = 500
    slower: float = 1.0
    places: float = inf
    full_status: int = 0
    a_second: float = inf


def episodes(random: Random, seconds: float) -> list[Episode]:
    """Fair weather for some minutes, and between that some of another kind."""
    found = [Episode(0.0)]
    at = random.expovariate(1 / FAIR)
    while at < seconds:
        kind = random.choice(["outage", "brown-out", "rate limit", "queueing", "full", "slow", "blink"])
        if kind in ("outage", "blink"):
            bad = Episode(at, kind, failing=1.0, status=random.choice([500, 502, 503, 429]))
        elif kind == "brown-out":
            bad = Episode(at, kind, failing=random.uniform(0.1, 0.5), status=random.choice([500, 503]))
        elif kind == "rate limit":
            bad = Episode(at, kind, a_second=random.uniform(0.3, 3.0))
        elif kind == "slow":
            bad = Episode(at, kind, slower=random.uniform(3.0, 12.0))
        else:
            full = 0 if kind == "queueing" else random.choice([429, 503])
            bad = Episode(at, kind, places=random.randint(2, 8), full_status=full, slower=2.0)
        found.append(bad)
        at += random.uniform(2.0, 15.0) if kind == "blink" else random.uniform(30.0, 600.0)
        found.append(Episode(at))
        at += random.expovariate(1 / FAIR)
    return found


class Forecast:
    """The episodes of one vendor, as a script and for the oracle."""

    def __init__(self, seconds: float, found: list[Episode]) -> None:
        self.seconds, self.episodes = seconds, found
        self._begins = [each.begin for each in found]

    def at(self, now: float) -> Episode:
        return self.episodes[bisect_right(self._begins, now) - 1]

    def after(self, now: float) -> float:
        """When the next episode begins."""
        following = bisect_right(self._begins, now)
        return self._begins[following] if following < len(self._begins) else inf

    def script(self) -> Script:
        at = self.at
        return Script(
            seconds=lambda now: self.seconds * at(now).slower,
            spread=0.3,
            failing=lambda now: at(now).failing,
            status=lambda now: at(now).status,
            places=lambda now: at(now).places,
            full_status=lambda now: at(now).full_status,
            a_second=lambda now: at(now).a_second,
            burst=4.0,
            longer=6.0 * self.seconds,
            words=10,
            gap=0.2,
        )


class Oracle:
    """Puts each call, as it comes, to who will have its answer first: it knows who is down and for how long, and gives
    nobody more than he takes. What it cannot have answered nobody could, or nearly."""

    def __init__(self, forecasts: Sequence[Forecast]) -> None:
        self._vendors = [_Known(each) for each in forecasts]

    def answers(self, calls: Sequence[Asked], long: set[int], streams: set[int]) -> int:
        """How many of ``calls`` get a whole answer, in the order in which they came."""
        whole = 0
        for call in calls:
            most = call.began + min(call.patience, call.deadline)
            rest = 10 * 0.2 if id(call) in streams else 0.0
            plans = [(*vendor.plan(call.began, most, id(call) in long), vendor) for vendor in self._vendors]
            done, start, vendor = min(plans, key=lambda plan: plan[0])
            if done <= most and done + rest <= call.began + call.patience:
                vendor.take(start, done + rest)
                whole += 1
        return whole


class _Known:
    """What one vendor has promised, and when it can do more."""

    def __init__(self, forecast: Forecast) -> None:
        self._forecast = forecast
        self._busy: list[float] = []  # when the calls under way end
        self._tokens, self._then = 4.0, 0.0

    def plan(self, now: float, most: float, long: bool) -> tuple[float, float]:
        """When a call that comes now would be answered, and when it would begin."""
        while self._busy and self._busy[0] <= now:
            heapq.heappop(self._busy)
        at = now
        while at <= most:
            episode = self._forecast.at(at)
            if episode.failing >= 1.0:
                at = self._forecast.after(at)
                continue
            ends = sorted(end for end in self._busy if end > at)
            if len(ends) >= episode.places:
                at = min(ends[len(ends) - int(episode.places)], self._forecast.after(at))
                continue
            if episode.a_second < inf:
                tokens = min(4.0, self._tokens + (at - self._then) * episode.a_second)
                if tokens < 1.0:
                    at += (1.0 - tokens) / episode.a_second + 1e-6
                    continue
            seconds = self._forecast.seconds
            return at + (6.0 * seconds if long else episode.slower * seconds), at
        return inf, inf

    def take(self, start: float, done: float) -> None:
        heapq.heappush(self._busy, done)
        limit = self._forecast.at(start).a_second
        if limit < inf:
            self._tokens = min(4.0, self._tokens + max(0.0, start - self._then) * limit) - 1.0
            self._then = max(start, self._then)


@attrs.frozen
class Day:
    """What came of one: whole answers, those that the oracle has, and vendor calls, of ``calls`` calls."""

    climate: Climate
    calls: int
    whole: int
    oracle: int
    asked: int

    @property
    def behind(self) -> float:
        """By what share of the calls it is behind the oracle."""
        return (self.oracle - self.whole) / self.calls


def live(seed: int, seconds: float, rate: float = RATE, **settings: object) -> Day:
    """``seconds`` of weather: more calls by day than by night, a third of them streams, some of them long, some of
    callers who leave early."""
    random = Random(seed)
    forecasts = [Forecast(each, episodes(random, seconds)) for each in (0.6, 0.8, 1.5)]
    scripts = {f"v{number}": each.script() for number, each in enumerate(forecasts)}
    climate = Climate(scripts, seed, settings, strategy="latency")
    long, streams = set(), set()

    def arrive() -> None:
        now = climate.clock.seconds()
        stream, prompt = random.random() < 0.33, random.random() < 0.1
        patience = random.uniform(1.0, 4.0) if random.random() < 0.05 else 60.0
        caller = f"c{random.randrange(5)}"
        call = climate.ask(stream, DEADLINE, patience, caller, prompt)
        if prompt:
            long.add(id(call))
        if stream:
            streams.add(id(call))
        if now < seconds:
            busy = rate * (1.0 + 0.7 * sin(2 * pi * now / 86400.0))
            climate.clock.callLater(random.expovariate(busy), arrive)

    arrive()
    climate.run()
    whole = sum(call.whole for call in climate.calls)
    asked = sum(len(vendor.asked) for vendor in climate.vendors.values())
    return Day(climate, len(climate.calls), whole, Oracle(forecasts).answers(climate.calls, long, streams), asked)


def main() -> None:
    hours = float(sys.argv[1]) if sys.argv[1:] else 24.0
    for seed in (1, 2, 3):
        day = live(seed, 3600.0 * hours, RATE)
        print(
            f"seed {seed}: {day.calls} calls, {day.whole / day.calls:.2%} whole, {day.behind:.2%} behind the oracle, "
            f"{day.asked / day.calls:.3f} vendor calls a call",
            flush=True,
        )


if __name__ == "__main__":
    main()
