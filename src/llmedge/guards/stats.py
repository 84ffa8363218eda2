"""What guardrails did, for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from llmedge.guards.verdicts import Tally

BUCKETS = (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
"""Seconds."""


class GuardStats:
    """Outlives the configuration. Moved by the reactor's thread alone; another one may read it at any time."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, str], int] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._seconds: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def count(self, tally: Tally) -> None:
        """One guardrail has said its word."""
        name = tally.guard.name
        key = name, tally.said.verdict
        self._verdicts[key] = self._verdicts.get(key, 0) + 1
        if cause := tally.said.cause:
            failed = name, cause
            self._failures[failed] = self._failures.get(failed, 0) + 1
        counts = self._seconds.get(name)
        if counts is None:
            counts = self._seconds[name] = [0] * (len(BUCKETS) + 1)
        counts[bisect_left(BUCKETS, tally.seconds)] += 1
        self._sums[name] = self._sums.get(name, 0.0) + tally.seconds

    def collect(self) -> Iterator[Metric]:
        """In Prometheus' own form."""
        verdicts = CounterMetricFamily("llm_guardrail_total", "What guardrails said.", labels=("name", "verdict"))
        for (name, verdict), count in list(self._verdicts.items()):
            verdicts.add_metric((name, verdict), count)
        yield verdicts
        failures = CounterMetricFamily(
            "llm_guardrail_failures_total", "Guardrails that could not say.", labels=("name", "cause")
        )
        for (name, cause), count in list(self._failures.items()):
            failures.add_metric((name, cause), count)
        yield failures
        seconds = HistogramMetricFamily("llm_guardrail_seconds", "Time that guardrails took.", labels=("name",))
        for name, counts in list(self._seconds.items()):
            labelled = zip([*map(str, BUCKETS), "+Inf"], accumulate(counts), strict=True)
            seconds.add_metric((name,), list(labelled), self._sums[name])
        yield seconds
