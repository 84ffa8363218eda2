"""What holds whatever vendors do: nobody waits longer than promised, places come back, vendors are not asked more often
than they may be. And a day of mixed weather against an oracle that knows it."""

from __future__ import annotations

import gc
from collections import Counter
from itertools import product
from typing import Any

from benchmarks.weather.vendors import RESET, Script, during
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.pipeline import attempt as attempts
from llmedge.pipeline import signals
from tests.effort import examples, so_many
from tests.pipeline.climate import Asked, Climate, share
from tests.pipeline.days import live

SOON = 1e-6
STATUSES = (RESET, 400, 401, 404, 408, 429, 500, 502, 503, 504, 529)

scripts = st.builds(
    Script,
    seconds=st.sampled_from([0.001, 0.1, 2.0, 40.0]),
    spread=st.sampled_from([0.0, 0.9]),
    longer=st.just(20.0),
    slow=st.sampled_from([0.0, 0.0, 0.1]),
    failing=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, during(5.0, 15.0, 1.0), during(0.0, 10.0, 1.0)]),
    status=st.sampled_from(STATUSES),
    failing_after=st.sampled_from([0.0, 0.01, 3.0]),
    places=st.sampled_from([float("inf"), 1, 4]),
    full_status=st.sampled_from([0, 0, 429, 503]),
    a_second=st.sampled_from([float("inf"), float("inf"), 0.5, 5.0]),
    retry_after=st.sampled_from([None, None, 0.5, 3.0, 60.0]),
    words=st.integers(1, 5),
    gap=st.sampled_from([0.0, 0.3]),
)
loads = st.fixed_dictionaries(
    {
        "rate": st.sampled_from([0.5, 4.0, 20.0]),
        "begin": st.sampled_from([0.0, 8.0]),
        "end": st.just(20.0),
        "stream": st.booleans(),
        "seconds": st.sampled_from([0.5, 5.0, 30.0]),
        "patience": st.sampled_from([0.2, 3.0, 60.0]),
        "caller": st.sampled_from(["a", "b"]),
        "long": st.booleans(),
    }
)
routing = st.fixed_dictionaries(
    {
        "retries": st.integers(0, 3),
        "hedge": st.sampled_from(["tail", "off", 0.3]),
        "hedge_ratio": st.sampled_from([0.05, 1.0]),
        "adaptive": st.booleans(),
        "queue": st.sampled_from([0, 5, 100]),
        "queue_wait": st.sampled_from([0.5, 5.0]),
    }
)
strategies = st.sampled_from(["priority", "latency", "least_busy", "round_robin", "weighted"])
limits = st.sampled_from([None, None, 1, 3])


class Quiet(SynchronousTestCase):
    def setUp(self) -> None:
        for log in (attempts.log, signals.log):
            for level in ("warn", "info"):
                self.patch(log, level, lambda *args, **kw: None)
        gc.disable()  # a third of the time, for cycles that are not there
        self.addCleanup(gc.enable)


class Promises(Quiet):
    @settings(max_examples=examples(60), deadline=None)
    @given(
        st.lists(scripts, min_size=1, max_size=3),
        st.lists(loads, min_size=1, max_size=3),
        routing,
        strategies,
        limits,
        st.integers(0, 99),
    )
    def test_whatever_vendors_do(
        self, scripts: Any, loads: Any, routing: Any, strategy: str, limit: int | None, seed: int
    ) -> None:
        named = {f"v{number}": script for number, script in enumerate(scripts)}
        climate = Climate(named, seed, routing, dict.fromkeys(named, limit) if limit else None, strategy=strategy)
        for load in loads:
            climate.load(**load)
        climate.run()
        self.assertEqual(climate.left_behind(), [])
        for call in climate.calls:
            self.within_its_time(call)
            self.not_too_often(call, routing["retries"])
            for attempt in call.record.routing.attempts:
                self.assertLessEqual(attempt.queued, routing["queue_wait"] + SOON)

    def within_its_time(self, call: Asked) -> None:
        """The answer, the first word or an error by the deadline; and nothing goes on for who has left."""
        assert call.ended is not None
        first = call.ended if call.first is None else call.first
        self.assertLessEqual(first - call.began, call.deadline + SOON)
        self.assertLessEqual(call.ended - call.began, call.patience + SOON)

    def not_too_often(self, call: Asked, retries: int) -> None:
        """Each target once, and again as often as it may be."""
        asked = Counter(str(attempt.target) for attempt in call.record.routing.attempts)
        if asked:
            self.assertLessEqual(max(asked.values()), 1 + retries)

    def test_who_is_down_is_left_alone(self) -> None:
        """It is asked seldom, and by each call once: who has found it down leaves the next try to others. Where
        somebody else is left nobody notices."""
        for status, rate in product((RESET, 429, 500, 503), (2.0, 10.0, 40.0)):
            for others in (0, 1):
                down = Script(failing=1.0, status=status)
                named = {"down": down} | {f"v{number}": Script() for number in range(others)}
                climate = Climate(named, strategy="latency")
                climate.load(rate, 0.0, 60.0)
                climate.run()
                asked = [
                    sum(attempt.target.provider == "down" for attempt in call.record.routing.attempts)
                    for call in climate.calls
                ]
                of_those = sum(map(bool, asked))
                self.assertLessEqual(sum(asked), of_those if others else 1.2 * of_those, (status, rate))
                self.assertLessEqual(sum(asked), 80, (status, rate))  # in a minute
                if others:
                    self.assertEqual(share(climate.calls), 1.0, status)


class Days(Quiet):
    def test_a_day(self) -> None:
        """A day in ``make soak``, else forty minutes, or twenty: whole answers, of those that were to be had."""
        day = live(1, float(so_many(2400, quick=1200, soak=86_400)))
        self.assertEqual(day.climate.left_behind(), [])
        self.assertGreater(day.oracle, 0.9 * day.calls)
        self.assertLess(day.behind, 0.01, f"{day.whole} of {day.oracle}, of {day.calls} calls")
        self.assertLess(day.asked, 1.3 * day.calls)
