"""Our client on the real reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.upstream.client import Client


def client(test: TestCase, limits: Upstream) -> Client:
    """A client that leaves the reactor clean: the timer that a pool's connections share ends with the test."""
    made = Client(reactor, limits)

    def close() -> None:
        made.close()
        for pool in made._pools.values():
            timer: Any = pool._deadlines._timer
            if timer is not None and timer.active():
                timer.cancel()

    test.addCleanup(close)
    return made
