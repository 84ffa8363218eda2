"""What one configuration makes: providers, pipeline and the onion. Built whole, then put in place at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import attrs
from prometheus_client import CollectorRegistry

from llmedge.config import ConfigError, Settings
from llmedge.config.sections.auth import Key
from llmedge.identity.admin_key import AdminKey
from llmedge.identity.chain import Identifier, IdentifierChain
from llmedge.identity.configured import ANONYMOUS, identifiers, mode
from llmedge.model import Target, Usage
from llmedge.observe import traceparent
from llmedge.observe.access import AccessLog
from llmedge.observe.metrics import Metrics
from llmedge.observe.webhook import Webhook
from llmedge.pipeline import build as pipeline_build
from llmedge.pipeline.build import Pipeline, PipelineDeps, caches, stages
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.reserve import Reserve
from llmedge.record import Record
from llmedge.state.allowances import Allowances
from llmedge.state.funds import Fund
from llmedge.state.items import ItemMemory
from llmedge.state.knowing import Knowing
from llmedge.state.rates import RateLimiter
from llmedge.state.wrong_keys import WrongKeys
from llmedge.upstream.client import Client
from llmedge.upstream.post import Poster
from llmedge.web import build as web_build
from llmedge.web.build import Web
from llmedge.web.layer import UnderWay, WebDeps


class ProcessState:
    """What outlives a change of configuration.

    :param ready: whether new requests are welcome.
    :raises ConfigError: a package is missing that tracing or the store need.
    """

    def __init__(self, reactor: Any, settings: Settings, ready: Callable[[], bool]) -> None:
        self.reactor = reactor
        self.ready = ready
        self.metrics = Metrics(CollectorRegistry())
        self.observers: list[Any] = [self.metrics, AccessLog()]
        self.tracing: Any = None
        if settings.tracing.enabled:
            from llmedge.observe.tracing import Tracing  # OpenTelemetry is an extra, and takes memory

            self.tracing = Tracing(settings.tracing, self.metrics.lost_spans.inc, settings.upstream)
            self.observers.append(self.tracing)
        self.allowances = Allowances(reactor)
        self.webhook = Webhook(reactor)
        self.metrics.show(self.webhook)
        self.allowances.tell = lambda fund, share: self.webhook.tell("budget.soft_limit", fund.event(share))
        self._knowing: Knowing | None = None
        self.store: Any = None
        if settings.store.url is not None:
            from llmedge.store.store import Store  # where there is none, nothing of it is in memory

            self.store = Store(reactor, settings)
            self.metrics.show(self.store)
            self.observers.append(self.store.ledger)
            self.store.funds = self.allowances.funds.values
            self.allowances.ledger = self.store.ledger
            self._knowing = Knowing(self.store.know)
            self.allowances.tell = self.store.warnings(self.webhook.tell)
        self._cache: Any = None
        self.under_way = UnderWay(settings.server.max_requests, settings.server.max_requests_per_address)
        self.metrics.show_calls(lambda: self.under_way.calls)
        self.wrong_keys = WrongKeys(reactor)
        self.jwks_fetches: Any = None
        """How often issuers were asked for their keys, once there are any."""
        self.started = int(reactor.seconds())
        self.random = Random()  # noqa: S311 - for spreading load, not for secrets
        self.deployments = Deployments(reactor, self.random)
        self.items = ItemMemory(reactor)
        self.read_again: Callable[[], Awaitable[list[str]]] = _nothing_to_read
        """Reads the configuration again; ``check`` only looks at a text. Both say what changes."""
        self.check: Callable[[str], Awaitable[list[str]]] = _nothing_to_read
        self.guard_stats: Any = None
        self.metrics.show_deployments(self.deployments.standings, self.deployments.label)

    def identifiers(self, settings: Settings, issuers: Any = None) -> IdentifierChain:
        """Those who say who asks. :param issuers: of tokens; ``None`` for none."""
        others: list[Identifier] = [] if settings.admin.key is None else [AdminKey(settings.admin.key)]
        directory = None if self.store is None else self.store.directory
        if directory is not None:
            from llmedge.identity.virtual_keys import VirtualKeys

            others.append(VirtualKeys(directory))
        if issuers is not None:
            from llmedge.identity.tokens import Tokens

            within = () if directory is None else (directory.place, directory.permissions)
            others.append(Tokens(issuers.sources, self.reactor, *within))
        if not settings.guardrails and (directory is not None or issuers is not None):
            from llmedge.identity.unguarded import Unguarded

            others = [Unguarded(each) for each in others]
        if directory is None:
            return identifiers(settings.auth, self.reactor, others)
        return identifiers(settings.auth, self.reactor, others, directory.knows_any)

    def administration(self, price: Callable[[Target, Usage], int | None], keys: Sequence[Key]) -> Any:
        """The admin API. Made when it is asked for first: gateways that nobody asks have nothing of it in memory."""
        from llmedge.admin.app import AdminResource
        from llmedge.admin.asked import AdminDeps

        deps = AdminDeps(
            self.reactor,
            self.store,
            self.allowances,
            self.deployments.standings,
            self.read_again,
            self.check,
            price,
            lambda: self._cache,
            keys,
        )
        return AdminResource(deps)

    def count_guardrails(self) -> Any:
        """What the metrics show of guardrails, from now on."""
        if self.guard_stats is None:
            from llmedge.guards.stats import GuardStats  # where there are none, nothing of it is in memory

            self.guard_stats = GuardStats()
            self.metrics.show(self.guard_stats)
        return self.guard_stats

    @property
    def ledger(self) -> Any:
        """Where calls are written down; ``None``: nowhere."""
        return None if self.store is None else self.store.ledger

    def cache(self, settings: Settings) -> Any:
        """Answers that are given again; ``None``: none are."""
        if not caches(settings):
            return None
        if self._cache is None:
            from llmedge.cache.state import CacheState  # where it is off, nothing of it is in memory

            self._cache = CacheState(self.reactor, settings.cache.max_bytes)
            self.metrics.show(self._cache)
        return self._cache

    def use_cache(self, settings: Settings) -> None:
        """Give it the room that it has from now on: none where it is off."""
        if self._cache is not None:
            self._cache.resize(settings.cache.max_bytes if caches(settings) else 0)

    async def known(self, funds: Sequence[Fund], patience: float) -> None:
        """Wait, for ``patience`` seconds at most, until what was spent of ``funds`` before is known."""
        if self._knowing is not None:
            await self._knowing.ready(funds, patience)

    def web_deps(
        self, observers: list[Callable[[Record], None]], limiter: RateLimiter, identifiers: IdentifierChain
    ) -> WebDeps:
        """What the web room is built with."""
        return WebDeps(
            self.reactor,
            self.ready,
            self.started,
            observers,
            self.metrics.render,
            self.under_way,
            limiter,
            identifiers,
            self.wrong_keys,
            self.metrics.auth_failures,
            traceparent.passed if self.tracing is None else self.tracing.begin,
            self.tracing is not None,
        )


@attrs.define
class Graph:
    """The objects of one configuration, in a process.

    :ivar issuers: of tokens; ``None`` for none.
    :ivar sharing: of the cache, with other processes; ``None`` where nothing is.
    """

    process: ProcessState
    settings: Settings
    client: Client
    pipeline: Pipeline
    limiter: RateLimiter
    web: Web
    identifiers: IdentifierChain
    issuers: Any = None
    sharing: Any = None

    def enter(self, previous: Graph | None = None) -> None:
        """Put it in force for new calls, in the place of ``previous``, whose calls under way go on."""
        self.pipeline.enter(None if previous is None else previous.pipeline)
        auth = self.settings.auth
        for name in [key.name for key in auth.keys] if mode(auth) == "keys" else [ANONYMOUS.name]:
            self.process.metrics.caller(name)
        if self.process.tracing is not None:
            self.process.tracing.provider_names = self.pipeline.otel_names
        self.process.webhook.use(self.settings.webhook, Poster(self.process.reactor, self.client))
        server, under_way = self.settings.server, self.process.under_way
        under_way.total, under_way.each = server.max_requests, server.max_requests_per_address
        self.process.use_cache(self.settings)
        if self.process.store is not None:
            self.process.store.directory.changed = [self.identifiers.forget]
        if self.issuers is not None:
            self.issuers.on_change(self.identifiers.forget)
            if self.process.jwks_fetches is None:
                self.process.jwks_fetches = self.issuers.fetches
                self.process.metrics.show(self.issuers.fetches)

    def start(self) -> None:
        """Begin what runs in the background."""
        self.pipeline.health.start()
        if self.issuers is not None:
            self.issuers.start()
        if self.sharing is not None:
            self.sharing.start()

    def retire(self, successor: Graph | None = None) -> None:
        """Another one is in force, or none: stop what runs in the background. Calls under way go on."""
        self.pipeline.retire()
        if self.issuers is not None:
            self.issuers.retire(None if successor is None else successor.issuers)
        if self.sharing is not None and (successor is None or successor.sharing is not self.sharing):
            self.sharing.stop()
        if successor is not None and successor.client is not self.client:
            self.client.retire()


def build(process: ProcessState, settings: Settings, previous: Graph | None = None) -> Graph:
    """Build everything ``settings`` ask for. Changes nothing that is in use: :meth:`Graph.enter` does.

    :param previous: what is in force; connections and the state of rate limits are carried over from it.
    :raises ConfigError: a plugin cannot make its provider, or a package is missing.
    """
    reactor = process.reactor
    observers = list(process.observers)
    if Reserve in stages(settings):
        observers.append(process.allowances.settle)
    limiter = RateLimiter(settings.rate_limit, reactor, None if previous is None else previous.limiter)
    if previous is not None and previous.settings.upstream == settings.upstream:
        client = previous.client
    else:
        client = Client(reactor, settings.upstream)
    cache = process.cache(settings)
    deps = PipelineDeps(
        reactor,
        client,
        process.deployments,
        observers,
        process.random,
        process.items,
        process.allowances,
        process.known,
        process.ledger,
        cache,
        process.count_guardrails() if settings.guardrails else None,
    )
    pipeline = pipeline_build.build(settings, deps)
    issuers = _issuers(process, settings, client, None if previous is None else previous.issuers)
    chain = process.identifiers(settings, issuers)
    administration = partial(process.administration, pipeline.prices.price, settings.auth.keys)
    web = web_build.build(settings, pipeline, process.web_deps(observers, limiter, chain), administration)
    sharing = _sharing(process, settings, cache, None if previous is None else previous.sharing)
    return Graph(process, settings, client, pipeline, limiter, web, chain, issuers, sharing)


def check(settings: Settings) -> None:
    """Whether a start would find what ``settings`` need besides; touches no disk, asks nobody.

    :raises ConfigError: a package is missing, or a secret.
    """
    if settings.store.url is not None:
        from llmedge.store.connect import connector
        from llmedge.store.peppers import peppers

        connector(settings.store)
        if settings.store.path is None:  # SQLite has one made
            peppers(settings.store)
    if settings.auth.jwt:
        _issuers_class()
    if caches(settings) and settings.redis.url is not None:
        from llmedge.redis.connect import client_class

        client_class()
    if caches(settings) and settings.cache.semantic.mode != "off":
        from llmedge.pipeline.semantic_build import check_packages

        check_packages(settings.cache.semantic)


def _sharing(process: ProcessState, settings: Settings, cache: Any, previous: Any) -> Any:
    """What the cache shares with other processes; ``None``: nothing.

    :raises ConfigError: what it needs is not installed.
    """
    if cache is None or settings.redis.url is None:
        return None
    from llmedge.cache.sharing import Sharing  # where nothing is shared, nothing of it is in memory

    if previous is not None and previous.serves(settings):
        return previous
    return Sharing(process.reactor, settings, cache, process.random)


def _issuers(process: ProcessState, settings: Settings, client: Client, previous: Any) -> Any:
    """Whose tokens are good; ``None`` for nobody's.

    :raises ConfigError: what they need is not installed.
    """
    if not settings.auth.jwt:
        return None
    from llmedge.upstream.fetch import Fetcher  # with treq, which is not needed otherwise

    fetcher = Fetcher(process.reactor, client, settings.upstream)
    return _issuers_class()(settings.auth.jwt, process.reactor, fetcher, previous, process.jwks_fetches)


def _issuers_class() -> Any:
    """:raises ConfigError: what it needs is not installed."""
    try:
        from llmedge.identity.issuers import Issuers  # joserfc is an extra
    except ImportError:
        raise ConfigError(["auth.jwt needs another package: pip install 'llmedge[oidc]'"]) from None
    return Issuers


async def _nothing_to_read(text: str = "") -> list[str]:
    raise ConfigError(["this process reads no configuration again"])
