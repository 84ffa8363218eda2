"""How many calls a deployment is given at once: a fixed number, or one learned from what happens."""

from __future__ import annotations

import enum
from typing import Protocol


class Outcome(enum.Enum):
    """What an ended call says about how much its deployment can take."""

    OK = enum.auto()
    OVERLOADED = enum.auto()
    """429, 503, 529, or no first token in time."""
    IGNORED = enum.auto()
    """Nothing: the client left, the request was at fault, the connection was refused."""


class Limit(Protocol):
    """A number of calls at once."""

    @property
    def value(self) -> int: ...

    def begin(self) -> int:
        """A call begins: a mark to be given back to ``end``."""

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        """A call ended; ``in_flight`` counts it too, ``latency`` is its seconds to the first token."""


class FixedLimit:
    """As many as the configuration says."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def begin(self) -> int:
        return 0

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        """What happens changes nothing."""


_CALM = 10
"""Rounds without an overload after which it grows as at the beginning."""
_BACKOFF = 0.7
"""What is left after an overload: CUBIC's (RFC 9438). Netflix has 0.9, for calls of milliseconds: a round of ours takes
seconds."""
_TOLERANCE = 4.0
_SLOW_FLOOR = 8.0


class AimdLimit:
    """Additive increase, multiplicative decrease, as TCP does it and Netflix's ``AIMDLimit`` after it.

    Why not a gradient of latency (Netflix's Gradient2, Envoy's adaptive concurrency): those compare a latency with what
    it is without load, which presumes calls that are alike. The time to first token of an LLM varies a hundredfold with
    the prompt and the vendor's cache, while an overloaded vendor says so with 429, 503 or 529. So refusals are the
    signal. Latency is a second, blunt one, for servers that queue instead of refusing (llama.cpp, vLLM): the recent
    average is four times the long one. It never takes the limit below eight: prompts that grow look
    the same, and calls put in a row would not make them faster.

    - It doubles with each round of answers until the first overload (slow start, RFC 5681), then grows by one a round.
    - It grows only while at least half of it is used (Netflix; RFC 7661): an idle deployment teaches nothing.
    - It shrinks once for each round: of a hundred calls refused together the first one shrinks it, the others had begun
      before that (RFC 6582).

    :param initial: calls at once; high, because the vendor's own limit is found within a round, and a call that waits
        without need is worse than one 429 that goes elsewhere.
    """

    def __init__(self, initial: int = 100, minimum: int = 1, maximum: int = 10_000) -> None:
        self._limit = float(min(initial, maximum))
        self._minimum = float(minimum)
        self._maximum = float(maximum)
        self._slow_start = True
        self._sequence = 0
        self._decreased_at = 0
        self._answers = 0
        self._short = 0.0  # moving averages of the latency, over about 10 and 500 answers
        self._long = 0.0

    @property
    def value(self) -> int:
        return int(self._limit)

    def begin(self) -> int:
        self._sequence += 1
        return self._sequence

    def end(self, mark: int, in_flight: int, outcome: Outcome, latency: float | None) -> None:
        if outcome is Outcome.IGNORED:
            return
        slow = outcome is Outcome.OK and latency is not None and self._slow(latency)
        loaded = in_flight * 2 >= self._limit
        if outcome is Outcome.OVERLOADED or (slow and loaded):
            if mark > self._decreased_at:
                floor = min(max(_SLOW_FLOOR, self._minimum), self._limit) if slow else self._minimum
                # What was under way was too much; a limit far above it says nothing.
                self._limit = max(floor, min(self._limit, float(in_flight)) * _BACKOFF)
                self._decreased_at = self._sequence
                self._slow_start = False
                self._short = self._long
        elif loaded:
            if mark - self._decreased_at > _CALM * self._limit:
                self._slow_start = True  # whatever made it refuse is long over
            self._limit = min(self._maximum, self._limit + (1.0 if self._slow_start else 1.0 / self._limit))

    def _slow(self, latency: float) -> bool:
        self._answers += 1
        first = 1.0 / self._answers  # plain averages until there are enough
        self._short += (latency - self._short) * (first if first > 0.1 else 0.1)
        self._long += (latency - self._long) * (first if first > 0.002 else 0.002)
        return self._short > _TOLERANCE * self._long
