"""What the cache knows that outlives a configuration, and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import Deferred

from llmedge.cache.entry import Entry
from llmedge.cache.flight import Flight
from llmedge.cache.generations import Generations
from llmedge.cache.memory import MemoryCache
from llmedge.model import Clock
from llmedge.money import USD

REASONS = ("none", "stale", "asked", "chance", "state", "audio", "tools", "off", "unclear")
"""Why a call was not answered: there was nothing, or nothing fresh; its client wanted it so, or any answer would be by
chance; it goes on from what its vendor keeps, is a sound, has a vendor's tools, keeps off, or may mean two things."""


class Shared(Protocol):
    """Answers that several processes share."""

    def get(self, key: bytes) -> Deferred[Entry | None] | None:
        """What is kept under ``key``; ``None`` at once: nobody is asked now. The Deferred fires in bounded time and
        never fails."""

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep ``entry``. Never waits, never raises."""


class CacheState:
    """:ivar flights: calls under way that others may join, by their keys.

    :ivar shared: ``None`` where nothing is shared.
    :ivar saved: picos, by all hits; ``collapsed``: calls that joined another; ``missed``: others, by why.
    """

    def __init__(self, clock: Clock, max_bytes: int) -> None:
        self.memory = MemoryCache(clock, max_bytes)
        self.flights: dict[bytes, Flight] = {}
        self.generations = Generations()
        self.shared: Shared | None = None
        self.saved = self.collapsed = 0
        self.missed = dict.fromkeys(REASONS, 0)
        self.semantic: Any = None
        """Of the cache by meaning; ``None``: it is off."""
        self.parts: list[Callable[[], Iterable[Metric]]] = []
        """Where more metrics come from."""

    def resize(self, max_bytes: int) -> None:
        """Have room for so many bytes from now on."""
        self.memory.max_bytes = max_bytes
        self.memory.shrink()

    def standing(self) -> dict[str, Any]:
        """How it stands, for people."""
        memory = self.memory
        return {
            "entries": len(memory),
            "bytes": memory.size,
            "max_bytes": memory.max_bytes,
            "evicted": memory.evicted,
            "expired": memory.expired,
            "under_way": len(self.flights),
            "collapsed": self.collapsed,
            "saved_usd": str(Decimal(self.saved) / USD),
            "semantic": None if self.semantic is None else self.semantic.standing(),
        }

    def collect(self) -> Iterable[Metric]:
        """In Prometheus' own form."""
        memory = self.memory
        yield GaugeMetricFamily("llm_cache_bytes", "Memory that kept answers take.", memory.size)
        yield GaugeMetricFamily("llm_cache_entries", "Answers that are kept in memory.", len(memory))
        missed = CounterMetricFamily(
            "llm_cache_miss", "Calls that the cache had no answer to, by why.", labels=["reason"]
        )
        for why, number in self.missed.items():
            missed.add_metric([why], number)
        yield missed
        evicted = CounterMetricFamily("llm_cache_evicted", "Answers that were let go, by why.", labels=["cause"])
        evicted.add_metric(["room"], memory.evicted)
        evicted.add_metric(["age"], memory.expired)
        yield evicted
        yield CounterMetricFamily(
            "llm_cache_saved_usd", "What answers from the cache would have cost.", float(Decimal(self.saved) / USD)
        )
        yield CounterMetricFamily("llm_cache_collapsed", "Calls that shared another one's answer.", self.collapsed)
        if self.semantic is not None:
            yield from self.semantic.collect()
        for part in self.parts:
            yield from part()
