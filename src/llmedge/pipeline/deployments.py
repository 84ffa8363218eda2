"""All deployments, and what their calls share. Outlives the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.routing import Routing
from llmedge.config.stars import entry_for
from llmedge.model import Clock, Standing
from llmedge.pipeline.deployment import Deployment, Observer
from llmedge.pipeline.limits import strictest
from llmedge.pipeline.standings import Labels, standing_of
from llmedge.state.budget import Budget
from llmedge.state.interfaces import Store
from llmedge.state.memory import MemoryStore


class Deployments:
    """All of them, and what their calls share: the budgets of retries and of hedges, and who has which prompts.

    :ivar get: gives a deployment by its name, that of its target.
    :ivar warm: the :class:`~llmedge.state.warm.Warm` of a configuration that keeps prompts.
    """

    def __init__(self, clock: Clock, random: Random, observer: Observer | None = None) -> None:
        self._clock = clock
        self._random = random
        self._observer = observer
        self._routing = Routing()
        self._limits: dict[str, TargetEntry] = {}
        self._labels = Labels()
        self._store: Store[Deployment] = MemoryStore(
            self._make, keep=lambda name, each: name in self._limits or each.load > 0
        )
        self.get = self._store.get
        self.retries = Budget(clock)
        self.hedges = Budget(clock, ratio=0.05, floor=0.1, beside=self.retries)
        self.warm: Any = None

    def configure(self, routing: Routing, models: Mapping[str, Model] | None = None) -> None:
        """Put a configuration in force. What was learned stays.

        :param models: their targets' limits hold for whoever asks a target, by whatever name.
        """
        self._labels.configured = self._limits = strictest(models or {})
        if routing != self._routing:
            self._routing = routing
            for deployment in self.all():
                deployment.apply(routing)
        for deployment in self.all():
            deployment.limit_as(self._entry(deployment.name), routing)
            deployment.unserved.clear()  # what was missing may be why it is another configuration
        self.retries.ratio = routing.retry_ratio
        self.hedges.ratio = routing.hedge_ratio

    def all(self) -> list[Deployment]:
        """Those that were asked so far."""
        return [deployment for _, deployment in self._store.items()]

    def clear_pauses(self) -> None:
        """An operator has seen to it, perhaps: nobody is waited for any longer who asked for that."""
        for deployment in self.all():
            deployment.pacer.clear()

    def _make(self, name: str) -> Deployment:
        deployment = Deployment(name, self._clock, self._random, self._routing, self._observer)
        deployment.limit_as(self._entry(name), self._routing)
        return deployment

    def _entry(self, name: str) -> TargetEntry:
        return entry_for(name, self._limits) or TargetEntry(name)

    def standings(self) -> list[Standing]:
        """For the metrics: how each of them stands now."""
        now = self._clock.seconds()
        return [
            standing_of(each.name, each.breakers, each.queue, each.rate, each.pacer.paused(), self._labels, now)
            for each in self.all()
        ]

    def label(self, name: str) -> str:
        """The deployment's name for metrics: its own if it is configured, else ``PROVIDER/*``."""
        return self._labels.of(name)
