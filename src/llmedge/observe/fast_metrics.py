"""Counters and histograms that cost next to nothing to move, read by prometheus-client when it is scraped.

prometheus-client's own take a lock for each step and look through the buckets one by one: 30 microseconds a call. These
are moved by the reactor's thread alone; another thread may read them at any time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import attrs
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


@attrs.define(eq=False)
class CounterChild:
    """One child of a counter."""

    value: float = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount


class Counter:
    """A counter with labels."""

    def __init__(self, name: str, doc: str, labels: Sequence[str]) -> None:
        self._name = name
        self._doc = doc
        self._names = tuple(labels)
        self._children: defaultdict[tuple[str, ...], CounterChild] = defaultdict(lambda: CounterChild(0))

    def labels(self, *values: str) -> CounterChild:
        """The child with these labels."""
        return self._children[values]

    def collect(self) -> Metric:
        family = CounterMetricFamily(self._name, self._doc, labels=self._names)
        for values, child in list(self._children.items()):
            family.add_metric(values, child.value)
        return family


class ExactCounter(Counter):
    """One of whole numbers, which stay exact however many are added and however they are shown.

    :param shown: gives a sum as a number without an exponent.
    """

    def __init__(self, name: str, doc: str, labels: Sequence[str], shown: Callable[[int], str]) -> None:
        super().__init__(name, doc, labels)
        self._shown = shown

    def collect(self) -> Metric:
        """As near as a float comes to it."""
        family = CounterMetricFamily(self._name, self._doc, labels=self._names)
        for values, child in list(self._children.items()):
            family.add_metric(values, float(self._shown(int(child.value))))
        return family

    def text(self) -> str:
        """In Prometheus' text format 0.0.4: prometheus-client would make a float of it."""
        lines = [f"# HELP {self._name} {self._doc}", f"# TYPE {self._name} counter"]
        for values, child in list(self._children.items()):
            pairs = (f'{name}="{value.translate(_ESCAPED)}"' for name, value in zip(self._names, values, strict=True))
            lines.append(f"{self._name}{{{','.join(pairs)}}} {self._shown(int(child.value))}")
        return "\n".join(lines) + "\n"


class LastLabel(dict[str | int, CounterChild]):
    """The children of a counter that share the labels ``shared``, by the last one. A look into it is cheap."""

    def __init__(self, counter: Counter, *shared: str) -> None:
        super().__init__()
        self._counter = counter
        self._shared = shared

    def __missing__(self, label: str | int) -> CounterChild:
        child = self[label] = self._counter.labels(*self._shared, str(label))
        return child


@attrs.define(eq=False)
class HistogramChild:
    """One child of a histogram. ``counts`` has one more than there are ``bounds``."""

    bounds: Sequence[float]
    counts: list[int]
    sum: float = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Histogram:
    """A histogram with labels.

    :param bounds: the buckets' upper bounds, ascending, infinity left out.
    """

    def __init__(self, name: str, doc: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._doc = doc
        self._names = tuple(labels)
        upper = tuple(map(float, bounds))
        self._shown = [*map(floatToGoString, upper), "+Inf"]
        self._children: defaultdict[tuple[str, ...], HistogramChild] = defaultdict(
            lambda: HistogramChild(upper, [0] * (len(upper) + 1))
        )

    def labels(self, *values: str) -> HistogramChild:
        """The child with these labels."""
        return self._children[values]

    def collect(self) -> Metric:
        family = HistogramMetricFamily(self._name, self._doc, labels=self._names)
        for values, child in list(self._children.items()):
            totals = map(float, accumulate(list(child.counts)))
            family.add_metric(values, list(zip(self._shown, totals, strict=True)), child.sum)
        return family


class FastRegistry(Collector):
    """All counters and histograms of a registry.

    :ivar exactly: :meth:`exact` shows those that are exact: who asks for all others is not to get them twice.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families: list[Counter | Histogram] = []
        self._exact: list[ExactCounter] = []
        self.exactly = False
        registry.register(self)

    def counter(self, name: str, doc: str, labels: Sequence[str]) -> Counter:
        """One more counter."""
        self._families.append(family := Counter(name, doc, labels))
        return family

    def exact_counter(self, name: str, doc: str, labels: Sequence[str], shown: Callable[[int], str]) -> ExactCounter:
        """One more, of whole numbers."""
        self._exact.append(family := ExactCounter(name, doc, labels, shown))
        return family

    def exact(self) -> str:
        """The exposition text of those."""
        return "".join(family.text() for family in self._exact)

    def histogram(self, name: str, doc: str, labels: Sequence[str], bounds: Sequence[float] = SECONDS) -> Histogram:
        """One more histogram."""
        self._families.append(family := Histogram(name, doc, labels, bounds))
        return family

    def describe(self) -> Iterator[Metric]:
        """The names taken, so that nobody registers one twice."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks for at a scrape."""
        for family in self._families if self.exactly else (*self._families, *self._exact):
            yield family.collect()
