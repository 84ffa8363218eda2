"""``python -m benchmarks.weather [SCENARIO[:NAME=VALUE,…] …]``: all scenarios or these, and a table at the end; with
``--simulated`` on a clock that jumps, before the real route but without sockets: minutes for half an hour."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import globalLogBeginner

from benchmarks.gateway import raise_descriptors
from benchmarks.weather.callers import ends, quantile, share
from benchmarks.weather.scenarios import SCENARIOS, Run, Scenario
from benchmarks.weather.service import Ran, play, rows
from benchmarks.weather.simulated import simulate

KINDS = {"learned": True, "not learning": False}


def made(asked: str) -> tuple[str, Scenario]:
    """The scenario of a word of the command line, with its numbers changed.

    :raises SystemExit: there is none, or it has no such number.
    """
    name, _, changes = asked.partition(":")
    if name not in SCENARIOS:
        raise SystemExit(f"there is no scenario {name!r}; there are: {', '.join(SCENARIOS)}")
    parameters = inspect.signature(SCENARIOS[name]).parameters
    given: dict[str, Any] = {}
    for each in filter(None, changes.split(",")):
        key, _, value = each.partition("=")
        if key not in parameters:
            raise SystemExit(f"{name} has no {key!r}; it has: {', '.join(parameters)}")
        given[key] = type(parameters[key].default)(value)
    return asked, SCENARIOS[name](**given)


def figures(run: Run) -> dict[str, float]:
    """Of one run: the share of whole answers, seconds, vendor calls for each call."""
    asked = sum(len(vendor.asked) for vendor in run.vendors.values())
    return {
        "whole": share(run.judged),
        "p50": quantile(run.judged, 0.5),
        "p99": quantile(run.judged, 0.99),
        "calls": asked / max(1, len(run.calls)),
    }


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """In reStructuredText, a row a scenario."""
    head = ["Scenario", *(f"{what}, {kind}" for what in ("whole", "p99", "calls") for kind in KINDS)]
    lines = [head]
    for name, kinds in results.items():
        line = [f"``{name}``"]
        for what, form in (("whole", "{:.1%}"), ("p99", "{:.2f} s"), ("calls", "{:.2f}")):
            line += [form.format(kinds[kind][what]).replace("%", " %") if kind in kinds else "" for kind in KINDS]
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = " ".join("=" * width for width in widths)
    shown = [" ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rule, shown[0], rule, *shown[1:], rule])


def tell(name: str, kind: str, ran: Ran, scenario: Scenario, judge: bool) -> list[str]:
    """Print what came of a run.

    :returns: the demands that were not met.
    """
    judged = ran.run.judged
    found = figures(ran.run)
    print(
        f"{name} ({kind}): {found['whole']:.3f} of {len(judged)} whole, {ends(judged)}, "
        f"p50 {found['p50']:.2f} s, p99 {found['p99']:.2f} s, {found['calls']:.2f} vendor calls a call",
        flush=True,
    )
    wrong = []
    for what, demand in scenario.demands.items() if judge else ():
        figure, good = demand(ran.run)
        print(f"  {'good ' if good else 'WRONG'} {what}: {figure:.2f}", flush=True)
        if not good:
            wrong.append(f"{name}: {what}")
    return wrong


def kept(ran: Ran) -> dict[str, Any]:
    """What :mod:`~benchmarks.weather.draw` needs of a run."""
    until = max((sample.at for sample in ran.samples), default=0.0)
    return {
        "samples": [attrs.asdict(sample) for sample in ran.samples],
        "answers": rows(list(ran.run.calls), until),
        "figures": figures(ran.run),
    }


async def run_all(reactor: Any, options: argparse.Namespace) -> None:
    wrong: list[str] = []
    results: dict[str, dict[str, dict[str, float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    for name, scenario in [made(asked) for asked in options.scenarios or SCENARIOS]:
        if options.simulated and scenario.memory is not None:
            continue  # there is nothing to see
        for kind, learning in KINDS.items():
            if not learning and options.learned_only:
                continue
            if options.simulated:
                ran = simulate(scenario, learning, options.seed)
            else:
                ran = await play(reactor, scenario, learning, options.seed)
            wrong += tell(name, kind, ran, scenario, learning)
            results.setdefault(name, {})[kind] = figures(ran.run)
            curves.setdefault(name, {})[kind] = kept(ran)
        if options.json:  # after each, so that half a run is not lost
            Path(options.json).write_text(json.dumps(written(options.seed, curves)))
    print(table(results))
    print(f"{len(wrong)} wrong" + "".join(f"\n  {each}" for each in wrong))
    if wrong:
        raise SystemExit(1)


def written(seed: int, curves: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A run as JSON, with when and where it was."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return {"date": time.strftime("%Y-%m-%d"), "machine": machine, "seed": seed, "scenarios": curves}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weather", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--learned-only", action="store_true", help="leave out the runs without learning")
    parser.add_argument("--simulated", action="store_true", help="on a clock that jumps, without sockets")
    parser.add_argument("--json", metavar="FILE", help="write down what curves are drawn of")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    raise_descriptors()
    if options.simulated:
        globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False, discardBuffer=True)
    react(lambda reactor: Deferred.fromCoroutine(run_all(reactor, options)))


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
