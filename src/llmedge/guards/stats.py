"""What guardrails did, for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from llmedge.guards.verdicts import Tally

BUCKETS = (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
"""Seconds."""


class _Counts:
    """Those of one guardrail."""

    __slots__ = ("failures", "seconds", "total", "verdicts")

    def __init__(self) -> None:
        self.verdicts: defaultdict[str, int] = defaultdict(int)
        self.failures: defaultdict[str, int] = defaultdict(int)
        self.seconds = [0] * (len(BUCKETS) + 1)
        self.total = 0.0


class GuardStats:
    """Outlives the configuration. Moved by the reactor's thread alone; another one may read it at any time."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)

    def count(self, tally: Tally) -> None:
        """One guardrail has said its word."""
        counts, seconds = self._counts[tally.guard.name], tally.seconds
        counts.verdicts[tally.verdict] += 1
        if tally.cause:
            counts.failures[tally.cause] += 1
        counts.seconds[bisect_left(BUCKETS, seconds)] += 1
        counts.total += seconds

    def collect(self) -> Iterator[Metric]:
        """In Prometheus' own form."""
        verdicts = CounterMetricFamily("llm_guardrail_total", "What guardrails said.", labels=("name", "verdict"))
        failures = CounterMetricFamily(
            "llm_guardrail_failures_total", "Guardrails that could not say.", labels=("name", "cause")
        )
        seconds = HistogramMetricFamily("llm_guardrail_seconds", "Time that guardrails took.", labels=("name",))
        for name, counts in list(self._counts.items()):
            for verdict, count in list(counts.verdicts.items()):
                verdicts.add_metric((name, verdict), count)
            for cause, count in list(counts.failures.items()):
                failures.add_metric((name, cause), count)
            labelled = zip([*map(str, BUCKETS), "+Inf"], accumulate(counts.seconds), strict=True)
            seconds.add_metric((name,), list(labelled), counts.total)
        yield from (verdicts, failures, seconds)
