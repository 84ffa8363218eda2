"""What one configuration makes of this room: providers, and the stages around them. Building changes nothing that is
in use; :meth:`Pipeline.enter` puts it in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from llmedge.config import Settings
from llmedge.config.sections.models import Model
from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.sections.upstream import Upstream
from llmedge.operations import Operation
from llmedge.pipeline.admit import Admit
from llmedge.pipeline.count import CountTokens
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.health import HealthChecks
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.reserve import Reserve, Reserving
from llmedge.pipeline.route import Route
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.shadow import Shadows
from llmedge.pipeline.stage import Handler, Stage, StageDeps, compose
from llmedge.pipeline.strategies import Strategies
from llmedge.pipeline.tokens import TokenCounter
from llmedge.pipeline.vendor_models import VendorModels
from llmedge.providers.provider import MarksPrompts, Provider
from llmedge.providers.registry import provider_of, vendor_behind
from llmedge.record import Record
from llmedge.state.allowances import Allowances
from llmedge.state.funds import Fund
from llmedge.state.items import ItemMemory
from llmedge.upstream.client import Client

log = Logger()


def stages(settings: Settings) -> list[type[Stage]]:
    """The call onion, outermost first; those that are off are not among them. ``Route`` is at its heart."""
    limited = any(key.budgets or key.tpm or key.max_concurrency for key in settings.auth.keys)
    reserve: list[type[Stage]] = [Reserve] if limited or settings.store.url is not None else []
    asked, answered = _guards(settings)
    cache = _cache(settings) if caches(settings) else []
    warm: list[type[Stage]] = []
    if _keeping(settings):
        from llmedge.pipeline.warm import KeepWarm

        warm = [KeepWarm]
    return [Settle, Admit, CountTokens, *asked, *cache, *answered, *reserve, *warm]


def _guards(settings: Settings) -> tuple[list[type[Stage]], list[type[Stage]]]:
    """Those of requests, and of answers: what is kept was looked at, and what is asked for is before that."""
    if not settings.guardrails:
        return [], []
    from llmedge.pipeline.guard import GuardAnswers, GuardRequests  # nothing of them is in memory otherwise

    return [GuardRequests], [GuardAnswers]


def caches(settings: Settings) -> bool:
    """Whether anything is kept and given again."""
    rules = [each.cache for each in settings.models.values()] + [each.cache for each in settings.auth.keys]
    return settings.cache.enabled or any(rule is not None and rule.enabled for rule in rules)


def _cache(settings: Settings) -> list[type[Stage]]:
    if settings.cache.semantic.mode != "off":
        from llmedge.pipeline.semantic import SemanticCache

        return [SemanticCache]
    from llmedge.pipeline.cache import Cache  # where it is off, nothing of it is in memory

    return [Cache]


def _keeping(settings: Settings) -> list[Model]:
    """The models whose prompts vendors are to keep."""
    return [model for model in settings.models.values() if model.prompt_cache != "off"]


@attrs.frozen
class PipelineDeps:
    """What the room is built with; all of it outlives the configuration, but for the client, which may."""

    reactor: Any
    client: Client
    deployments: Deployments
    observers: list[Callable[[Record], None]]
    random: Random
    items: ItemMemory
    allowances: Allowances
    known: Callable[[Sequence[Fund], float], Awaitable[None]]
    ledger: Any = None
    cache: Any = None
    guard_stats: Any = None


@attrs.frozen
class Pipeline:
    """The objects of one configuration.

    :ivar otel_names: provider → ``gen_ai.provider.name``.
    :ivar handlers: by operation: its stages, around the route.
    :ivar cache: what the cache's stage is built with; ``None`` where there is none.
    """

    settings: Settings
    deps: PipelineDeps
    models: ModelIndex
    otel_names: Mapping[str, str]
    providers: Mapping[str, Provider]
    vendor_models: VendorModels
    health: HealthChecks
    handlers: Mapping[Operation, Handler]
    prices: Prices
    cache: Any = None
    guards: Any = None

    def enter(self, previous: Pipeline | None) -> None:
        """Put it in force, in the place of ``previous``: what was learned is carried over."""
        self.deps.deployments.configure(self.settings.routing, self.settings.models)
        self.prices.warm()
        if self.cache is not None:
            self.cache.enter()
        if previous is not None:
            before = previous.settings.providers
            same = [name for name, each in self.settings.providers.items() if before.get(name) == each]
            self.vendor_models.keep(previous.vendor_models, same)
            self.deps.deployments.clear_pauses()

    def retire(self) -> None:
        """Another one is in force, or none: stop what runs in the background. Calls under way go on."""
        self.vendor_models.close()
        self.health.stop()
        if self.guards is not None:
            self.guards.close()
        for name, provider in self.providers.items():
            try:
                provider.close()
            except Exception:  # a plugin's: the others are closed all the same
                log.failure("{provider} could not be closed", provider=name)


def _cache_parts(settings: Settings, deps: PipelineDeps, parts: StageDeps, route: Handler) -> Any:
    """:raises ConfigError: a package is missing."""
    if deps.cache is None:
        return None
    semantic = None
    if settings.cache.semantic.mode != "off":
        from llmedge.pipeline.semantic_build import semantic_parts

        semantic = semantic_parts(settings, deps, parts, route)
    from llmedge.pipeline.cached import CacheDeps

    providers = settings.providers
    places = {
        name: repr((each.vendor, each.dialect, each.base_url, each.on_unsupported, sorted(each.paths.items())))
        for name, each in providers.items()
    }
    passed = {name: each.client_headers for name, each in providers.items() if each.client_headers}
    return CacheDeps(settings.cache, deps.cache, places, passed, deps.observers, deps.random, semantic)


def _limits(upstream: Upstream, provider: ProviderSettings) -> Upstream:
    """``upstream``, with what ``provider`` has of its own."""
    if provider.first_token_timeout is None:
        return upstream
    return attrs.evolve(upstream, first_token_timeout=provider.first_token_timeout)


def _strategies(settings: Settings, providers: Mapping[str, Provider], deps: PipelineDeps) -> type[Strategies]:
    """What orders targets; where prompts are to be kept, their providers are told so."""
    if not (keeping := _keeping(settings)):
        return Strategies
    from llmedge.pipeline.warm import WarmFirst
    from llmedge.state.warm import Warm

    deps.deployments.warm = deps.deployments.warm or Warm(deps.reactor)
    for name in dict.fromkeys(entry.target.partition("/")[0] for model in keeping for entry in model.targets):
        if isinstance(provider := providers.get(name), MarksPrompts):
            provider.mark_prompts()
    return WarmFirst


def build(settings: Settings, deps: PipelineDeps) -> Pipeline:
    """The room for ``settings``.

    :raises ConfigError: a plugin cannot make its provider.
    """
    reactor = deps.reactor

    def in_thread(work: Callable[..., Any], *args: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    models = ModelIndex(settings.models, settings.providers, settings.server)
    providers = {
        name: provider_of(name, each, deps.client, _limits(settings.upstream, each), reactor)
        for name, each in settings.providers.items()
    }
    vendors = {name: vendor_behind(name, each) for name, each in settings.providers.items()}
    price_names = {name: vendor.price_name for name, vendor in vendors.items()}
    prices = Prices(settings.prices, price_names, reactor, in_thread)
    strategies = _strategies(settings, providers, deps)(deps.deployments, prices, deps.random)
    around = stages(settings)
    asked: Mapping[str, Provider] = providers
    if Reserve in around:
        asked = {name: Reserving(provider) for name, provider in providers.items()}
    routing = RouteDeps(models, asked, deps.deployments, strategies, settings.routing, reactor, deps.random)
    route = Route(routing, Shadows(routing, prices, deps.observers))
    parts = StageDeps(
        models,
        prices,
        TokenCounter(in_thread),
        deps.items,
        deps.allowances,
        deps.known,
        settings.routing.queue_wait,
        deps.ledger,
        warm=deps.deployments.warm,
    )
    parts = attrs.evolve(parts, cache=_cache_parts(settings, deps, parts, route))
    if settings.guardrails:
        from llmedge.pipeline.guard_rules import guards_of

        parts = attrs.evolve(parts, guards=guards_of(settings, parts, routing, deps, in_thread, Reserve in around))
    return Pipeline(
        settings,
        deps,
        models,
        {name: vendor.otel_name or name for name, vendor in vendors.items()},
        providers,
        VendorModels(providers, models, settings.upstream.models_refresh, reactor),
        HealthChecks(deps.deployments, providers, settings.routing.health_check, reactor),
        compose([stage(parts) for stage in around], route),
        prices,
        parts.cache,
        parts.guards,
    )
