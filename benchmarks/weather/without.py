"""``python -m benchmarks.weather.without [SEEDS]``: what each mechanism is for.

All scenarios on the clock that jumps, with all mechanisms and without one of them; of each the scenario to which it
does most good, and where it does harm. Some ten minutes for three seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import Pool
from statistics import fmean
from typing import Any

import attrs
from twisted.logger import globalLogBeginner

from benchmarks.weather.__main__ import made
from benchmarks.weather.callers import quantile, share
from benchmarks.weather.scenarios import SCENARIOS, Run
from benchmarks.weather.simulated import simulate
from llmedge.pipeline.deployment import Deployment, Lease
from llmedge.pipeline.plan import Option, Plan
from llmedge.state import breaker, learned_rate
from llmedge.state.breaker import CircuitBreaker
from llmedge.state.budget import Budget
from llmedge.state.concurrency import LearnedLimit, Pace
from llmedge.state.fair_queue import FairQueue
from llmedge.state.pacing import Pacer
from llmedge.state.places import Places
from llmedge.state.ramp import Ramp

Figures = Mapping[str, float]
OTHERS = (
    "partial_failure:share=0.5",
    "partial_failure:status=503,answer=1",
    "refusals_by_chance:rate=100,answer=0.1",
    "outage:status=500,rate=20",
    "full:retry_after=5",
    "full:status=503",
    "full_after_outage:status=503",
    "queueing:rate=60",
    "requests_a_second:limit=20,rate=16",
    "outage:status=408,rate=20",
    "impatient_neighbour:rate=20",
    "silent:share=1",
    "silent_to_the_impatient:share=1,strategy=priority",
)
"""Scenarios at other numbers."""
CLEAR = {"whole": 0.01, "p99": 0.1, "calls": 0.1}
"""Differences that are clear: of the share of whole answers; of seconds and of vendor calls, relative."""


@attrs.frozen
class Without:
    """A mechanism, and how it is turned off: by settings of ``[routing]``, or by what is put in something's place."""

    what: str
    settings: Mapping[str, Any] = attrs.Factory(dict)
    instead: tuple[Any, str, Any] | None = None

    def run(self, scenario: str, seed: int) -> Figures:
        """What comes of a scenario then."""
        if self.instead is None:
            ran = simulate(made(scenario)[1], True, seed, **self.settings)
        else:
            owner, name, replacement = self.instead
            before = getattr(owner, name)
            setattr(owner, name, replacement)
            try:
                ran = simulate(made(scenario)[1], True, seed)
            finally:
                setattr(owner, name, before)
        return figures(ran.run)


def figures(run: Run) -> Figures:
    """Of a run, from its beginning: the share of whole answers, seconds, vendor calls for each whole answer."""
    calls = [call for call in run.calls if call.load.judged]
    whole = max(1, sum(call.whole for call in run.calls))
    asked = sum(len(vendor.asked) for vendor in run.vendors.values())
    return {"whole": share(calls), "p99": quantile(calls, 0.99) if share(calls) else 0.0, "calls": asked / whole}


def _before(owner: Any, name: str, change: Callable[..., Any]) -> tuple[Any, str, Any]:
    """A method whose arguments are changed before it is called."""
    original = getattr(owner, name)
    return owner, name, lambda *args: original(*change(*args))


def _counts_again(lease: Lease, *args: Any) -> tuple[Any, ...]:
    lease.again = False
    return lease, *args


def _in_any_case(pace: Pace, latency: float, counts: bool) -> tuple[Any, ...]:
    pace._usual = None  # nothing is slower than what is not known
    return pace, latency, counts


def _again(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda plan, left: original(plan, left) if plan.failures or plan.winner is not None else None


EVERYTHING = Without("")
MECHANISMS = (
    Without("the breaker", {"breaker_rate": 2.0, "breaker_failures": 1_000_000}),
    Without("… its share of failures", {"breaker_rate": 2.0}),
    Without("… its run of failures", {"breaker_failures": 1_000_000}),
    Without("… only a run that is no chance", instead=(breaker, "is_no_chance", lambda *args: True)),
    Without(
        "… the last one asked where some succeed", instead=_before(CircuitBreaker, "blocked_by", lambda it, *_: (it,))
    ),
    Without("… a probe that lives", instead=(CircuitBreaker, "_is_alive", lambda *args: False)),
    Without("… a call's failures count once", instead=_before(Lease, "failed", _counts_again)),
    Without("… nobody asks one again that is down", instead=(Option, "is_down", False)),
    Without("… waiting for the next look", instead=(Plan, "again", _again(Plan.again))),
    Without("the ramp", instead=(Pacer, "ramp", lambda pacer, begin=None: setattr(pacer, "slow", True))),
    Without("… it finds out how many", instead=(Ramp, "refused", lambda *args: False)),
    Without("the retry budget", {"retry_ratio": 10.0}),
    Without("… retries that succeed are free", instead=(Budget, "give_back", lambda budget: None)),
    Without("places by refusals", instead=(Places, "found", lambda places: 0)),
    Without("places by pace", instead=(LearnedLimit, "_judge", lambda limit, pace: pace.recent.clear())),
    Without("… who is slower for all", instead=_before(Pace, "at_low_load", _in_any_case)),
    Without("… a limit that was for nothing", instead=(LearnedLimit, "_is_slower", lambda limit: None)),
    Without("a rate by refusals", instead=(learned_rate.LearnedRate, "refused", lambda *args: False)),
    Without("… its trial", instead=(learned_rate, "VAIN", 1_000_000)),
    Without("a rate that is told", instead=(Pacer, "keep_to", lambda pacer, rate: None)),
    Without("pauses after refusals", instead=(Pacer, "_is_no_chance", lambda pacer, now: False)),
    Without("… and a try when a place is free", instead=(Pacer, "freed", lambda pacer, number: None)),
    Without("turns by caller", instead=_before(FairQueue, "_enqueue", lambda it, _, *rest: (it, "all", *rest))),
    Without(
        "who was refused keeps his place", instead=_before(FairQueue, "_enqueue", lambda *args: (*args[:3], False))
    ),
    Without("who would wait too long is told at once", instead=(FairQueue, "_expected", lambda queue, caller: 0.0)),
    Without("a silence is a failure", instead=(Deployment, "is_silent", lambda *args: False)),
    Without("… if others met it, too", instead=(Deployment, "is_silent", lambda *args: True)),
    Without("waits in vain are the least it takes", instead=(Deployment, "waited_in_vain", lambda *args: None)),
    Without("hedging", {"hedge": "off"}),
)


def gain(having: Figures, lacking: Figures) -> float:
    """By how much the first is better: in clear differences, of the figure that is most so; of those that are clearly
    worse none may be."""
    whole = (having["whole"] - lacking["whole"]) / CLEAR["whole"]
    if abs(whole) >= 1.0:
        return whole  # of how many answers the others are is another matter
    others = [_less(having[what], lacking[what]) / CLEAR[what] for what in ("p99", "calls")]
    return min(others) if min(others) <= -1.0 else max(others)


def _less(one: float, other: float) -> float:
    return (other - one) / max(one, other) if max(one, other) else 0.0


def _job(asked: tuple[int, str, int]) -> Figures:
    number, scenario, seed = asked
    return (EVERYTHING, *MECHANISMS)[number].run(scenario, seed)


def compared(scenarios: list[str], seeds: int) -> Iterator[tuple[str, str, Figures, Figures]]:
    """``(mechanism, scenario, with it, without it)``: where it does most good, and wherever it does clear harm."""
    jobs = [(n, each, seed) for n in range(len(MECHANISMS) + 1) for each in scenarios for seed in range(1, seeds + 1)]
    with Pool() as pool:
        results = dict(zip(jobs, pool.map(_job, jobs, chunksize=8), strict=True))

    def mean(number: int, scenario: str) -> Figures:
        found = [results[number, scenario, seed] for seed in range(1, seeds + 1)]
        return {what: fmean(each[what] for each in found) for what in CLEAR}

    for number, mechanism in enumerate(MECHANISMS, 1):
        both = {each: (mean(0, each), mean(number, each)) for each in scenarios}
        gains = {each: gain(*both[each]) for each in scenarios}
        best = max(scenarios, key=gains.__getitem__)
        for each in [best, *(each for each in scenarios if gains[each] <= -1.0)]:
            yield mechanism.what, each, *both[each]


def table(found: Iterator[tuple[str, str, Figures, Figures]]) -> str:
    """In reStructuredText, a row a comparison."""
    lines = [["Mechanism", "Scenario", "whole", "without", "p99", "without", "calls", "without"]]
    before = ""
    for what, scenario, *both in found:
        line = ["\\" if what == before else what, f"``{scenario}``"]
        before = what
        for name, form in (("whole", "{:.1%}"), ("p99", "{:.2f} s"), ("calls", "{:.2f}")):
            line += [form.format(each[name]).replace("%", " %") for each in both]
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = " ".join("=" * width for width in widths)
    shown = [" ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rule, shown[0], rule, *shown[1:], rule])


def _quiet() -> None:
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False, discardBuffer=True)


def main() -> None:
    seeds = int(sys.argv[1]) if sys.argv[1:] else 3
    _quiet()
    scenarios = [each for each in SCENARIOS if made(each)[1].memory is None]
    print(table(compared([*scenarios, *OTHERS], seeds)))


if __name__ == "__main__":
    main()
