"""What is said about a collector: once that it fails, once that it works again. The SDK's threads call this."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

log = Logger()


class Collector:
    """Says once that the collector does not answer, and once that it does again."""

    def __init__(self, endpoint: str, on_reactor: Callable[..., None]) -> None:
        self._endpoint = endpoint
        self._on_reactor = on_reactor
        self._lock = threading.Lock()
        self._complained = ""
        self._lost = 0

    def lost(self, count: int) -> None:
        with self._lock:
            self._lost += count

    def told(self, what: str, good: bool) -> None:
        """An export of ``what`` (spans, metrics) went well or not. Two kinds that differ do not take turns."""
        with self._lock:
            if good and self._complained == what:
                self._complained = ""
                lost, self._lost = self._lost, 0
                self._on_reactor(
                    log.info, "tracing: {endpoint} answers again; {lost} spans lost", endpoint=self._endpoint, lost=lost
                )
            elif not good and not self._complained:
                self._complained = what
                self._on_reactor(
                    log.warn,
                    "tracing: {endpoint} takes no {what}; calls go on, what is not exported is dropped",
                    endpoint=self._endpoint,
                    what=what,
                )


class Chatter(logging.Handler):
    """What the SDK writes through stdlib logging, at debug: it repeats itself with every batch."""

    _sdk = Logger("opentelemetry")

    def __init__(self, reactor: Any) -> None:
        super().__init__(logging.WARNING)
        self._reactor = reactor
        self._logger = logging.getLogger("opentelemetry")
        self._logger.addHandler(self)
        self._logger.propagate = False

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.addHandler(logging.NullHandler())  # what still ends is no news either
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        self._reactor.callFromThread(self._sdk.debug, "{message}", message=record.getMessage())
