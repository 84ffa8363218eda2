"""SIGTERM and SIGINT end the service well, SIGHUP has it read its configuration again."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from llmedge.service import EdgeService

log = Logger()


def install(reactor: Any, service: EdgeService) -> None:
    """Take the signals over as soon as ``reactor`` runs, and has set its own handlers.

    Its handlers would end the process by the signal; a service that stopped as it was told ends with 0.
    """
    state = {"stopping": False}

    def stop() -> None:
        if state["stopping"]:
            service.hurry()
            return
        state["stopping"] = True
        reactor.stop()

    def reload() -> None:
        Deferred.fromCoroutine(service.reload()).addErrback(
            lambda failure: log.failure("the configuration could not be read again", failure=failure)
        )

    def take_over() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reactor.callFromThread(stop))
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))

    reactor.callWhenRunning(take_over)
