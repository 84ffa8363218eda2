"""What the gateway may ask of state, whoever keeps it: this process (``memory``, ``breaker``) or, later, Redis.

Two kinds, because the pipeline must stay cheap here and honest there:

- What several processes must count together, requests and tokens of a minute, may need the network. ``Bucket.take``
  answers with a number where it knows, and with a Deferred where it must ask. ``rates`` is the only place that awaits
  it, so the memory implementation costs neither a coroutine nor a Deferred.
- What a process judges for itself never waits. A breaker is asked for every candidate of every call and its evidence
  is this process's own view of the network, so breakers, latencies and limits of concurrency are local everywhere. A
  shared implementation of ``Store`` hands out local breakers and passes pauses on: it hears of one from elsewhere
  and calls ``Pacer.pause``. Told as seconds from now, since processes share no clock; a slow or dead Redis then costs a
  hint, never a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred

T_co = TypeVar("T_co", covariant=True)


class Level(msgspec.Struct, frozen=True, gc=False):
    """What a bucket says of itself.

    :ivar limit: tokens a minute. ``remaining``: whole tokens left. ``reset``: seconds until it is full again.
    """

    limit: int
    remaining: int
    reset: float


class Bucket(Protocol):
    """Tokens that come back with time.

    :ivar rpm: tokens a minute; ``burst`` tokens at once.
    :ivar left: tokens when they were last taken or given back, below zero where some are owed.
    """

    rpm: int
    burst: int
    left: float

    def take(self, amount: float = 1.0) -> float | Deferred[float]:
        """Take ``amount``: 0.0, or the seconds until it will be there (nothing is taken then).

        A Deferred that is cancelled has taken nothing, or gives it back itself.
        """

    def refund(self, amount: float = 1.0) -> None:
        """Give ``amount`` back; a negative one is taken even if it is not there. Never waits, never fails."""

    def level(self, taken: bool = False) -> Level:
        """What is left, as far as this process knows. Never waits.

        :param taken: something was taken, or could not be, at this moment.
        """


class Store(Protocol[T_co]):
    """State by deployment, made when first asked for. Never waits."""

    def get(self, key: str) -> T_co: ...

    def items(self) -> Iterator[tuple[str, T_co]]:
        """What is there; a copy."""
