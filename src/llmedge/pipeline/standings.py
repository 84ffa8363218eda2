"""How deployments stand, for the metrics: figures under labels that no client can make many of. Read in any thread."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from llmedge.model import Standing
from llmedge.state.breaker import CircuitBreaker, State
from llmedge.state.fair_queue import FairQueue

OWN_LABELS = 50
"""Models behind one pattern that ever get a label of their own: their names come from clients, and series stay."""
LONGEST = 128
"""Characters of such a name."""
UNLIMITED = 1_000_000
"""Calls at once at a deployment that has not refused any yet."""

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Labels:
    """The labels of deployments: their names if they are configured, else ``PROVIDER/*``. One that is left alone gets
    its name, or a bad model behind a pattern would look as if all of them were out."""

    def __init__(self) -> None:
        self.configured: Collection[str] = ()
        self._own: dict[str, set[str]] = {}

    def of(self, name: str) -> str:
        """For what is counted over time."""
        return name if name in self.configured else f"{name.partition('/')[0]}/*"

    def of_state(self, name: str, out: bool) -> str:
        """For what is so at this moment.

        :param out: it is left alone.
        """
        label = self.of(name)
        if not out or label == name:
            return label
        own = self._own.setdefault(label, set())
        if name not in own:
            if len(own) >= OWN_LABELS or len(name) > LONGEST:
                return label
            own.add(name)
        return name


def standing_of(
    name: str,
    breakers: Sequence[CircuitBreaker],
    queue: FairQueue,
    rate: float,
    pause: float,
    labels: Labels,
    now: float,
) -> Standing:
    """How the deployment ``name`` stands, which is given ``rate`` calls a second, and none for ``pause`` seconds."""
    state = max(_STATES[breaker.state] for breaker in breakers)
    return Standing(
        labels.of_state(name, state > 0 or pause > 0.0),
        state,
        queue.in_flight,
        queue.waiting,
        math.inf if queue.limit.value >= UNLIMITED else float(queue.limit.value),
        rate,
        pause,
        max(breaker.failing(now) for breaker in breakers),
    )
