"""One scenario on a clock that jumps: the same vendors and callers as on the real service, before the real route but
without sockets, parsing and this machine's other work; a minute in a second or two, and each time the same."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.pipeline.climate import Asked, Climate

from benchmarks.weather.callers import Call, Load
from benchmarks.weather.scenarios import Run, Scenario
from benchmarks.weather.service import EVERY, NOT_LEARNING, Ran, Sample
from llmedge.pipeline.standings import UNLIMITED

AWAY = 0.001
"""Seconds to a vendor."""
AGAIN = 0.05
"""Seconds after which a caller who was refused asks again, if he does."""


def simulate(scenario: Scenario, learning: bool = True, seed: int = 1, **routing: Any) -> Ran:
    """Run ``scenario``. What memory it would take is not known.

    :param routing: settings, beside those of the scenario.
    """
    document = tomllib.loads(scenario.settings)
    model = document["models"]["m"]
    settings = document.get("routing", {}) | ({} if learning else tomllib.loads(NOT_LEARNING)) | routing
    targets = [each if isinstance(each, dict) else {"target": each} for each in model.pop("targets")]
    limits = {each["target"].partition("/")[0]: each.get("max_concurrency") for each in targets}
    climate = Climate(scenario.vendors, seed, settings, limits, AWAY, **model)
    crowd = _Crowd(climate, float(document.get("server", {}).get("timeout", 30.0)))
    for load in scenario.loads:
        crowd.come(load)
    samples: list[Sample] = []
    for number in range(int(max(load.begin + load.seconds for load in scenario.loads) / EVERY) + 1):
        climate.clock.callLater(number * EVERY, lambda: samples.append(_look(climate)))
    climate.run()
    return Ran(Run([_told(load, asked) for load, asked in crowd.calls], climate.vendors), samples)


class _Crowd:
    def __init__(self, climate: Climate, timeout: float) -> None:
        self.calls: list[tuple[Load, Asked]] = []
        self._climate, self._timeout = climate, timeout

    def come(self, load: Load) -> None:
        clock, random = self._climate.clock, self._climate.random
        for _ in range(load.count):
            clock.callLater(load.begin, self._ask, load)
        for _ in range(load.workers):
            clock.callLater(load.begin, self._work, load)
        at = load.begin + (random.expovariate(load.rate) if load.rate else load.seconds)
        while at < load.begin + load.seconds:
            clock.callLater(at, self._ask, load)
            at += random.expovariate(load.rate)

    def _ask(self, load: Load, ended: Any = lambda asked: None) -> None:
        caller = load.caller or "anonymous"
        asked = self._climate.ask(load.stream, self._timeout, load.patience, caller, load.long, ended)
        self.calls.append((load, asked))

    def _work(self, load: Load) -> None:
        clock = self._climate.clock

        def again(asked: Asked) -> None:
            if clock.seconds() < load.begin + load.seconds:
                clock.callLater(0.0 if asked.whole else AGAIN, self._work, load)

        if clock.seconds() < load.begin + load.seconds:
            self._ask(load, again)


def _told(load: Load, asked: Asked) -> Call:
    first = None if asked.first is None else asked.first - asked.began
    assert asked.ended is not None
    return Call(load, asked.began, asked.status, first, asked.ended - asked.began, asked.whole)


def _look(climate: Climate) -> Sample:
    now = climate.clock.seconds()
    for each in climate.deployments.standings():
        if each.label == "a/x":
            limit = each.limit if each.limit < UNLIMITED else None
            return Sample(now, each.in_flight, each.waiting, limit, each.state)
    return Sample(now, 0.0, 0.0, None, 0.0)
