"""Looking after deployments that are left alone, so that no call has to find out that they are back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from llmedge.errors import EdgeError
from llmedge.pipeline.deployments import Deployments
from llmedge.providers.provider import Provider
from llmedge.state.breaker import CircuitBreaker, State

log = Logger()

PATIENCE = 5.0
"""Seconds a provider may take to show that it is there."""


@runtime_checkable
class Checkable(Protocol):
    """A provider that can be asked whether it is there, at no cost."""

    @property
    def checkable(self) -> bool:
        """Whether this one can."""

    async def check(self) -> None:
        """:raises TargetError: it is not, or does not answer as it should."""


class HealthChecks:
    """Asks each provider with a deployment that is left alone, once in a while. One that is there is open to calls
    again; one that is not changes nothing: what calls would try, and when, is theirs.

    :param seconds: between two looks.
    :param clock: ``IReactorTime``.
    """

    def __init__(self, deployments: Deployments, providers: Mapping[str, Provider], seconds: float, clock: Any) -> None:
        self._deployments = deployments
        self._providers = {
            name: each for name, each in providers.items() if isinstance(each, Checkable) and each.checkable
        }
        self._clock = clock
        self._seconds = seconds
        self._asking: set[str] = set()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin, where the configuration wants it."""
        if self._seconds and not self._loop.running:
            self._loop.start(self._seconds, now=False)

    def stop(self) -> None:
        """Harmless when repeated."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        out: dict[str, list[CircuitBreaker]] = {}
        for deployment in self._deployments.all():
            provider = deployment.name.partition("/")[0]
            if provider not in self._providers or provider in self._asking:
                continue
            for breaker in deployment.breakers:
                if breaker.state is not State.CLOSED:
                    out.setdefault(provider, []).append(breaker)
        for provider, breakers in out.items():
            self._asking.add(provider)
            Deferred.fromCoroutine(self._ask(provider, breakers))

    async def _ask(self, provider: str, breakers: list[CircuitBreaker]) -> None:
        try:
            await Deferred.fromCoroutine(self._providers[provider].check()).addTimeout(PATIENCE, self._clock)
        except (EdgeError, TimeoutError):
            pass  # no call has failed by that
        except Exception:
            log.failure("{provider} could not be checked", provider=provider)
        else:
            for breaker in breakers:
                breaker.seen()
        finally:
            self._asking.discard(provider)
