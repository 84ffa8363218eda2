"""The scenarios: for each its vendors, what is configured, who calls, and what callers must get.

Their numbers are parameters: ``python -m benchmarks.weather partial_failure:share=0.2,rate=50``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from benchmarks.weather.callers import Call, Load, quantile, share
from benchmarks.weather.vendors import Script, Vendor, during

ALONE = '[models.m]\ntargets = ["a/x"]\n'
BOTH = '[models.m]\ntargets = ["a/x", "b/x"]\n'


@attrs.frozen
class Run:
    """What a scenario came to.

    :ivar grown: megabytes by which the gateway's memory grew while it was watched.
    """

    calls: Sequence[Call]
    vendors: Mapping[str, Vendor]
    grown: float = 0.0

    @property
    def judged(self) -> list[Call]:
        return [call for call in self.calls if call.judged]

    def asked(self, name: str, begin: float = 0.0, end: float = 1e9) -> int:
        """How often a vendor was, in that time."""
        return sum(begin <= at < end for at in self.vendors[name].asked)

    def came(self, begin: float = 0.0, end: float = 1e9) -> int:
        """How many callers did."""
        return sum(begin <= call.began < end for call in self.calls)


Demand = Callable[[Run], tuple[float, bool]]
"""What callers must get: a figure of a run, and whether it is good."""


@attrs.frozen
class Scenario:
    """:ivar settings: TOML, beside the vendors and the keys. ``memory``: seconds between which memory is watched."""

    vendors: Mapping[str, Script]
    settings: str
    loads: Sequence[Load]
    demands: Mapping[str, Demand]
    memory: tuple[float, float] | None = None


SCENARIOS: dict[str, Callable[..., Scenario]] = {}


def _scenario(made: Callable[..., Scenario]) -> Callable[..., Scenario]:
    SCENARIOS[made.__name__] = made
    return made


def _whole(least: float) -> Demand:
    return lambda run: ((found := share(run.judged)), found >= least)


def _within(seconds: float, at: float = 0.99) -> Demand:
    return lambda run: ((found := quantile(run.judged, at)), found <= seconds)


def _calls_a_call(most: float, begin: float = 0.0, end: float = 1e9) -> Demand:
    def demand(run: Run) -> tuple[float, bool]:
        found = sum(run.asked(name, begin, end) for name in run.vendors) / max(1, run.came(begin, end))
        return found, found <= most

    return demand


@_scenario
def partial_failure(
    share: float = 0.3, rate: float = 100.0, seconds: float = 30.0, status: int = 500, answer: float = 0.1
) -> Scenario:
    """One vendor, which fails a part of its calls."""
    return Scenario(
        {"a": Script(seconds=answer, failing=share, status=status, failing_after=0.02)},
        ALONE,
        [Load(rate, seconds)],
        {
            "whole": _whole(1 - share**3 - 0.03),
            "vendor calls a call": _calls_a_call(1 + share + share**2 + 0.1),
        },
    )


@_scenario
def refusals_by_chance(share: float = 0.3, rate: float = 20.0, answer: float = 0.5) -> Scenario:
    """The same with 429s that do not say when to come back, whatever is under way."""
    return partial_failure(share, rate, status=429, answer=answer)


@_scenario
def partial_failure_of_two(share: float = 0.3, rate: float = 100.0, seconds: float = 30.0) -> Scenario:
    """Two vendors, each of which fails a part of its calls."""
    script = Script(failing=share, failing_after=0.02)
    return Scenario({"a": script, "b": script}, BOTH, [Load(rate, seconds)], {"whole": _whole(1 - share**3 - 0.02)})


@_scenario
def sick_one(share: float = 0.7, rate: float = 50.0, seconds: float = 30.0, status: int = 500) -> Scenario:
    """The first of two vendors fails most of its calls, slowly."""
    sick = Script(failing=share, failing_after=1.0, status=status)
    return Scenario(
        {"a": sick, "b": Script()},
        BOTH,
        [Load(rate, seconds)],
        {"whole": _whole(0.99), "vendor calls a call": _calls_a_call(1.35)},
    )


@_scenario
def outage(status: int = 503, rate: float = 120.0, down: float = 10.0, after: float = 10.0) -> Scenario:
    """Down for a while, then well: not multiplied while it is down, used when it is back."""
    return Scenario(
        {"a": Script(seconds=0.3, failing=during(0.0, down, 1.0), status=status)},
        ALONE,
        [Load(rate, down + after, judged_from=down + 3.0)],
        {"whole from 3 s on": _whole(0.98), "vendor calls a call while down": _calls_a_call(0.25, 0.0, down)},
    )


@_scenario
def rate_limited_outage(rate: float = 120.0, down: float = 10.0) -> Scenario:
    """The same with 429s that do not say when to come back."""
    return outage(429, rate, down)


@_scenario
def told_outage(rate: float = 20.0, down: float = 2.0, status: int = 429) -> Scenario:
    """It says when to come back: who comes meanwhile waits."""
    script = Script(failing=during(1.0, 1.0 + down, 1.0), status=status, retry_after=down)
    return Scenario(
        {"a": script},
        ALONE,
        [Load(rate, down + 6.0)],
        {"whole": _whole(0.99), "vendor calls a call": _calls_a_call(1.1)},
    )


@_scenario
def single_refusal(burst: int = 50, seconds: float = 4.0) -> Scenario:
    """One call is refused once while little is going on; then fifty streams come at once."""
    script = Script(words=10, gap=seconds / 10, refuses_at=(seconds + 1.0,))
    loads = [
        Load(count=burst, stream=True, judged=False),
        Load(count=1, begin=seconds + 1.0, stream=True, judged=False),
    ]
    loads.append(Load(count=burst, begin=2 * seconds + 4.0, stream=True))
    return Scenario({"a": script}, ALONE, loads, {"whole": _whole(0.96)})


@_scenario
def requests_a_second(
    limit: float = 10.0, burst: float = 4.0, rate: float = 8.0, answer: float = 3.0, retry_after: float = 0.0
) -> Scenario:
    """A limit of requests a second, and callers who stay below it: no limit of calls at once."""
    script = Script(seconds=answer, spread=0.2, a_second=limit, burst=burst, retry_after=retry_after or None)
    return Scenario(
        {"a": script},
        ALONE,
        [Load(rate, 40.0)],
        {"whole": _whole(0.99), "90th percentile": _within(1.2 * answer + 2.0, 0.9)},
    )


@_scenario
def told_rate(limit: float = 2.0, burst: float = 4.0, rate: float = 3.0, answer: float = 0.5) -> Scenario:
    """A limit of requests a second that the vendor tells of with each answer, and half as many again that come."""
    script = Script(seconds=answer, spread=0.2, a_second=limit, burst=burst, tells=True)

    def answers(run: Run) -> tuple[float, bool]:
        found = sum(call.whole for call in run.judged) / 30.0
        return found, found >= 0.9 * limit

    demands = {"answers a second": answers, "vendor calls a call": _calls_a_call(0.9 * limit / rate + 0.3)}
    return Scenario({"a": script}, ALONE, [Load(rate, 40.0, judged_from=10.0)], demands)


@_scenario
def full(
    places: int = 8,
    each: float = 0.5,
    rate: float = 14.0,
    status: int = 429,
    retry_after: float = 0.0,
    seconds: float = 40.0,
) -> Scenario:
    """A vendor that refuses who comes beyond its places, and says when to come back or not."""

    def answers(run: Run) -> tuple[float, bool]:
        done = [call for call in run.calls if call.whole and 10.0 < call.began + (call.ended or 0.0) < seconds]
        found, most = len(done) / (seconds - 10.0), min(run.came(10.0, seconds) / (seconds - 10.0), places / each)
        return found, found >= 0.85 * most

    script = Script(seconds=each, spread=0.2, places=places, full_status=status, retry_after=retry_after or None)
    demands = {"answers a second": answers, "vendor calls a call": _calls_a_call(1.3)}
    if rate <= 0.9 * places / each:
        demands["whole"] = _whole(0.97)
    return Scenario({"a": script}, ALONE, [Load(rate, seconds, judged_from=10.0)], demands)


@_scenario
def full_after_outage(status: int = 429, places: int = 8, used: float = 0.8, begin: float = 0.0) -> Scenario:
    """A vendor of few places that was down: who waited does not come all at once."""
    end = begin + 10.0
    script = Script(0.5, 0.2, failing=during(begin, end, 1.0), status=429, places=places, full_status=status)
    calls = [Load(used * places / 0.5, end + 20.0, judged_from=end + 3.0)]
    return Scenario({"a": script}, ALONE, calls, {"whole from 3 s on": _whole(0.9)})


@_scenario
def queueing(
    places: int = 8, each: float = 0.5, calm: float = 8.0, rate: float = 28.0, seconds: float = 40.0
) -> Scenario:
    """A server that refuses nobody and has who comes beyond its places wait, asked for more than it can do."""
    begin, end = 22.0, 12.0 + seconds

    def rate_of_answers(run: Run) -> tuple[float, bool]:
        done = [call for call in run.calls if call.whole and begin < call.began + (call.ended or 0.0) < end]
        found = len(done) / (end - begin)
        return found, found >= 0.85 * places / each

    return Scenario(
        {"a": Script(seconds=each, places=places)},
        ALONE,
        [Load(calm, 12.0, judged=False), Load(rate, seconds, 12.0, judged_from=begin)],
        {
            "answers a second": rate_of_answers,
            "99th percentile": _within(7.0),
            "at the vendor at once": lambda run: (run.vendors["a"].peak, run.vendors["a"].peak <= 10 * places),
        },
    )


@_scenario
def slower(before: float = 0.1, after: float = 1.5, rate: float = 55.0) -> Scenario:
    """A vendor that becomes slower for everybody and has room for all."""
    return Scenario(
        {"a": Script(seconds=during(0.0, 10.0, before, after))},
        '[models.m]\ntargets = [{target = "a/x", max_concurrency = 100}]\n',
        [Load(rate, 25.0, judged_from=10.0)],
        {"whole": _whole(0.98)},
    )


@_scenario
def slower_and_busier(calm: float = 5.0, rate: float = 30.0, before: float = 0.1, after: float = 1.0) -> Scenario:
    """The same where six times as many calls come at that moment."""
    loads = [Load(calm, 20.0, judged=False), Load(rate, 20.0, 20.0)]
    script = Script(during(0.0, 20.0, before, after), 0.2)
    return Scenario({"a": script}, ALONE, loads, {"whole": _whole(0.98)})


@_scenario
def full_target(wait: float = 2.0, answer: float = 1.0) -> Scenario:
    """One place, more callers than it can serve: who waits does so once, and is served or told in time."""
    settings = f'[routing]\nqueue_wait = {wait}\n[models.m]\ntargets = [{{target = "a/x", max_concurrency = 1}}]\n'

    def longest(run: Run) -> tuple[float, bool]:
        found = max((call.ended or 0.0) for call in run.judged if not call.whole)
        return found, found <= wait + 1.0

    return Scenario(
        {"a": Script(seconds=answer)},
        settings,
        [Load(1.5, 20.0), Load(1.5, 20.0, stream=True)],
        {"longest wait of the refused": longest, "whole": _whole(0.8 / (3.0 * answer))},
    )


@_scenario
def impatient_neighbour(
    patience: float = 3.0, longer: float = 20.0, rate: float = 2.5, stream: int = 1, patient: float = 10.0
) -> Scenario:
    """One caller gives up on long prompts; what becomes of another one's short ones."""
    return Scenario(
        {"a": Script(seconds=0.2, longer=longer)},
        ALONE,
        [
            Load(patient, 28.0, caller="patient", stream=bool(stream), judged_from=8.0),
            Load(rate, 20.0, 8.0, caller="impatient", stream=bool(stream), long=True, patience=patience, judged=False),
        ],
        {"whole": _whole(0.99), "99th percentile": _within(1.0)},
    )


@_scenario
def hopeless_neighbour(rate: float = 3.0, patient: float = 1.0, status: int = 500) -> Scenario:
    """All requests of one caller fail, whoever is asked; what becomes of another one's."""
    loads = [
        Load(patient, 60.0, caller="hopeful"),
        Load(rate, 60.0, caller="hopeless", long=True, judged=False),
    ]
    scripts = {"a": Script(0.1, 0.2, long_status=status), "b": Script(0.6, 0.2, long_status=status)}
    return Scenario(scripts, BOTH, loads, {"whole": _whole(0.99), "90th percentile": _within(2.5, 0.9)})


@_scenario
def fast_refuser(rate: float = 40.0, seconds: float = 12.0, strategy: str = "latency") -> Scenario:
    """One of two refuses in milliseconds and does not say for how long."""
    refusing = Script(seconds=0.3, failing=during(4.0, 1e9, 1.0), status=429, failing_after=0.005)
    asked = 0.1 * rate * seconds
    return Scenario(
        {"a": refusing, "b": Script(seconds=0.3)},
        f'[models.m]\nstrategy = "{strategy}"\ntargets = ["a/x", "b/x"]\n',
        [Load(rate, 4.0 + seconds, judged_from=4.0)],
        {"whole": _whole(0.99), "asked in vain": lambda run: (run.asked("a", 4.0), run.asked("a", 4.0) <= asked)},
    )


@_scenario
def streams_without_usage(count: int = 500, seconds: float = 25.0, targets: int = 1) -> Scenario:
    """Streams whose vendor tells no tokens, at twenty words a second: memory."""
    room = "[server]\nmax_connections_per_address = 5000\n[upstream]\nmax_connections = 4096\n"
    script = Script(words=int(20 * seconds), gap=0.05, usage=False)
    return Scenario(
        {"a": script, "b": script},
        room + (ALONE if targets == 1 else BOTH),
        [Load(count=count, stream=True, patience=120.0)],
        {"whole": _whole(0.99), "megabytes more": lambda run: (run.grown, run.grown <= 12.0)},
        memory=(6.0, seconds - 2.0),
    )


@_scenario
def slow_answers_back(answer: float = 15.0, down: float = 6.0, rate: float = 5.0) -> Scenario:
    """Whole answers that take long: who is back is used before the first of them is there."""

    def last_refused(run: Run) -> tuple[float, bool]:
        found = max((call.began - down for call in run.calls if call.began > down and not call.whole), default=0.0)
        return found, found <= 8.0

    return Scenario(
        {"a": Script(seconds=answer, failing=during(0.0, down, 1.0))},
        "[server]\ntimeout = 60\n" + ALONE,
        [Load(rate, down + 20.0, judged_from=down)],
        {"last refused after": last_refused},
    )


@_scenario
def slow_tail(share: float = 0.04, rate: float = 20.0, seconds: float = 60.0) -> Scenario:
    """Two vendors of which each takes long for a few calls."""
    script = Script(seconds=0.3, spread=0.2, slow=share, slow_seconds=8.0)
    settings = '[models.m]\nstrategy = "round_robin"\ntargets = ["a/x", "b/x"]\n'
    demands = {"99th percentile": _within(2.0), "vendor calls a call": _calls_a_call(1.06)}
    return Scenario({"a": script, "b": script}, settings, [Load(rate, seconds, judged_from=15.0)], demands)


@_scenario
def silent(
    share: float = 0.5, patience: float = 60.0, rate: float = 20.0, strategy: str = "latency", begin: float = 20.0
) -> Scenario:
    """The faster one of two vendors does not answer a part of its calls for a while."""
    hangs = Script(seconds=0.3, spread=0.2, slow=during(begin, begin + 20.0, share), slow_seconds=600.0)
    return Scenario(
        {"a": hangs, "b": Script(seconds=0.6, spread=0.2)},
        f'[models.m]\nstrategy = "{strategy}"\ntargets = ["a/x", "b/x"]\n',
        [Load(rate, begin + 40.0, patience=patience, judged_from=begin)],
        {"whole": _whole(0.99)},
    )


@_scenario
def silent_to_the_impatient(
    share: float = 0.5, patience: float = 3.0, rate: float = 20.0, strategy: str = "latency"
) -> Scenario:
    """The same where callers leave after three seconds."""
    return silent(share, patience, rate, strategy)


@_scenario
def flapping(rate: float = 40.0, seconds: float = 30.0, period: float = 5.0) -> Scenario:
    """Well and down by turns, with a second target."""
    flaps = Script(failing=lambda now: float(int(now / period) % 2))
    return Scenario({"a": flaps, "b": Script(seconds=0.3)}, BOTH, [Load(rate, seconds)], {"whole": _whole(0.99)})


@_scenario
def greedy_caller(workers: int = 100, places: int = 4, each: float = 0.4, seconds: float = 8.0) -> Scenario:
    """One caller with a hundred calls at once, another with one."""
    return Scenario(
        {"a": Script(seconds=each)},
        f'[models.m]\ntargets = [{{target = "a/x", max_concurrency = {places}}}]\n',
        [
            Load(workers=workers, seconds=seconds, caller="greedy", judged=False),
            Load(workers=1, begin=1.0, seconds=seconds - 1.0, caller="modest"),
        ],
        {"whole": _whole(1.0), "median": _within(3.2 * each, 0.5)},
    )
