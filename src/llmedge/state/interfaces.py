"""What the pipeline may ask of state, whoever keeps it: this process (``memory``, ``breaker``) or, later, Redis.

Two kinds, because the pipeline must stay cheap here and honest there:

- What several processes must count together, tokens of a minute, may need the network. ``Bucket.take`` answers with
  a number where it knows, and with a Deferred where it must ask. ``Quota`` is the only place that awaits it, so the
  memory implementation costs neither a coroutine nor a Deferred.
- What a process judges for itself never waits. A breaker is asked for every candidate of every call and its evidence
  is this process's own view of the network, so breakers, latencies and limits of concurrency are local everywhere. A
  shared implementation of ``Store`` hands out local breakers and passes cooldowns on: it hears of one from elsewhere
  and calls ``cool_down``. Told as seconds from now, since processes share no clock; a slow or dead Redis then costs a
  hint, never a call (lesson 18).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from llmedge.state.breaker import State

T_co = TypeVar("T_co", covariant=True)


class Bucket(Protocol):
    """Tokens that come back with time."""

    def take(self, amount: float = 1.0) -> float | Deferred[float]:
        """Take ``amount``: 0.0, or the seconds until it will be there (nothing is taken then).

        A Deferred that is cancelled has taken nothing, or gives it back itself.
        """

    def refund(self, amount: float = 1.0) -> None:
        """Give ``amount`` back; a negative one is taken even if it is not there. Never waits, never fails."""


class Ticket(Protocol):
    """One call's place in a breaker. The first of the three counts, the others do nothing."""

    def succeed(self) -> None: ...

    def fail(self) -> None: ...

    def abandon(self) -> None: ...


class Breaker(Protocol):
    """Whether a deployment may be asked. Never waits."""

    @property
    def state(self) -> State: ...

    def blocked_by(self) -> str:
        """Why no call may begin now, ``""`` if one may."""

    def available_at(self) -> float:
        """The clock's seconds at which one may."""

    def begin(self) -> Ticket | None:
        """A ticket for one call, ``None`` if none may begin."""

    def cool_down(self, until: float) -> None:
        """Begin no call before ``until``; never shortens a longer cooldown."""

    def note_whole(self) -> None:
        """An answer is complete: breaks after this one are a new row."""

    def note_failure(self) -> None:
        """A failure after the ticket's success."""


class Store(Protocol[T_co]):
    """State by deployment, made when first asked for. Never waits."""

    def get(self, key: str) -> T_co: ...

    def items(self) -> Iterator[tuple[str, T_co]]:
        """What is there; a copy."""
