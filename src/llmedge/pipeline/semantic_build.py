"""What the cache by meaning is made of in one configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from llmedge.cache.semantic.state import SemanticState, learned_by, missing
from llmedge.cache.semantic.worker import Worker
from llmedge.config import ConfigError, Settings
from llmedge.config.sections.semantic import Semantic
from llmedge.pipeline.asides import Asides
from llmedge.pipeline.reserve import Reserve
from llmedge.pipeline.semantic import SemanticDeps
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import Handler, StageDeps, compose
from llmedge.record import Record


class Outside(Protocol):
    """What it needs that outlives the configuration."""

    @property
    def reactor(self) -> Any: ...

    @property
    def cache(self) -> Any: ...

    @property
    def observers(self) -> Sequence[Callable[[Record], None]]: ...


def semantic_parts(settings: Settings, deps: Outside, parts: StageDeps, route: Handler) -> SemanticDeps:
    """:param route: what asks vendors.

    :raises ConfigError: a package is missing.
    """
    semantic = settings.cache.semantic
    check_packages(semantic)
    state = deps.cache.semantic
    if state is None or state.learned_by != learned_by(semantic):
        state = SemanticState(semantic, Worker(deps.reactor))
    handlers = compose([Settle(parts), Reserve(parts)], route)
    return SemanticDeps(semantic, state, Asides(deps.reactor, parts.models, handlers, deps.observers))


def check_packages(semantic: Semantic) -> None:
    """:raises ConfigError: some are missing."""
    if missing(semantic):
        raise ConfigError(["cache.semantic needs other packages: pip install 'llmedge[semantic]'"])
