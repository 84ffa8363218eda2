"""What one configuration makes: providers, pipeline and the onion. Built whole, then put in place at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs
from prometheus_client import CollectorRegistry
from twisted.internet.threads import deferToThreadPool

from llmedge.config import Settings
from llmedge.observe.access import AccessLog
from llmedge.observe.metrics import Metrics
from llmedge.pipeline.admit import Admit
from llmedge.pipeline.count import CountTokens
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.health import HealthChecks
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.route import Route
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.shadow import Shadows
from llmedge.pipeline.stage import compose
from llmedge.pipeline.strategies import Strategies
from llmedge.pipeline.tokens import TokenCounter
from llmedge.pipeline.vendor_models import VendorModels
from llmedge.providers.build import provider_of
from llmedge.providers.provider import Provider
from llmedge.upstream.client import Client
from llmedge.web.api import Api, failed
from llmedge.web.auth import Authenticator
from llmedge.web.compress import Compress
from llmedge.web.limits import Concurrency, RateLimiter
from llmedge.web.ops import Ops
from llmedge.web.relay import RelayLimits
from llmedge.web.routes import Routes
from llmedge.web.tree import Tree
from llmedge.web.wrappers import (
    AccessRecord,
    Authenticate,
    Cors,
    EnforceDeadline,
    LimitConcurrency,
    RateLimit,
    Refuse,
    ShowLimits,
)


class Lasting:
    """What outlives a change of configuration.

    :param ready: whether new requests are welcome.
    :raises ConfigError: tracing is on and OpenTelemetry is not installed.
    """

    def __init__(self, reactor: Any, settings: Settings, ready: Callable[[], bool]) -> None:
        self.reactor = reactor
        self.ready = ready
        self.metrics = Metrics(CollectorRegistry())
        self.observers: list[Any] = [self.metrics, AccessLog()]
        self.tracing: Any = None
        if settings.tracing.enabled:
            from llmedge.observe.tracing import Tracing  # OpenTelemetry is an extra, and takes memory

            self.tracing = Tracing(settings.tracing, self.metrics.lost_spans.inc)
            self.observers.append(self.tracing)
        self.concurrency = Concurrency(settings.server.max_requests, settings.server.max_requests_per_address)
        self.started = int(reactor.seconds())
        self.random = Random()  # noqa: S311 - for spreading load, not for secrets
        self.deployments = Deployments(reactor, self.random)
        self.metrics.show_deployments(self.deployments.figures, self.deployments.label)


@attrs.define
class Graph:
    """The objects of one configuration. ``resource`` and ``admin`` are the outermost resources of the two sites."""

    settings: Settings
    client: Client
    models: ModelIndex
    authenticator: Authenticator
    limiter: RateLimiter
    resource: Any
    admin: Any
    gate: Any
    providers: Mapping[str, Provider]
    vendor_models: VendorModels
    health: HealthChecks

    def retire(self) -> None:
        """Another graph is in force, or none: stop what runs in the background. Calls under way go on."""
        self.vendor_models.close()
        self.health.stop()
        for provider in self.providers.values():
            provider.close()


def build(lasting: Lasting, settings: Settings, previous: Graph | None = None) -> Graph:
    """Build everything ``settings`` ask for. Changes nothing that is in use.

    :param previous: what is in force; connections and the state of rate limits are carried over from it.
    :raises ConfigError: a plugin cannot make its provider.
    """
    reactor = lasting.reactor
    if previous is not None and previous.settings.upstream == settings.upstream:
        client = previous.client
    else:
        client = Client(reactor, settings.upstream)
    models = ModelIndex(settings.models, settings.providers)
    authenticator = Authenticator(settings.auth.enabled, settings.auth.keys)
    limiter = RateLimiter(settings.rate_limit, reactor, previous.limiter if previous else None)
    server, admin = settings.server, settings.admin
    relay = RelayLimits(server.heartbeat, server.write_timeout, server.stream_timeout)
    kinds = {name: provider.vendor for name, provider in settings.providers.items()}

    def in_thread(work: Callable[..., Any], *args: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    tokens = TokenCounter(in_thread)
    settle = Settle(Prices(settings.prices, kinds, reactor, in_thread), tokens)
    lasting.deployments.configure(settings.routing, settings.models)
    providers = {
        name: provider_of(name, each, client, settings.upstream, reactor) for name, each in settings.providers.items()
    }
    route = Route(
        models,
        providers,
        lasting.deployments,
        Strategies(lasting.deployments, settle.prices, lasting.random),
        settings.routing,
        reactor,
        lasting.random,
        Shadows(providers, settle.prices, lasting.observers, reactor, lasting.random, lasting.deployments),
    )
    pipeline = compose(
        [settle, Admit(models, reactor), CountTokens(tokens)],
        route,
    )
    vendor_models = VendorModels(providers, models, settings.upstream.models_refresh, reactor)
    if previous is not None:
        before = previous.settings.providers
        same = [name for name, each in settings.providers.items() if before.get(name) == each]
        vendor_models.keep(previous.vendor_models, same)
    api = Api(pipeline, models, vendor_models, relay, lasting.started)
    render = lasting.metrics.render if settings.metrics.enabled else None
    public = Ops(reactor, render, lasting.ready, expose=not admin.listen or admin.keep_public)
    routes: Any = Routes
    tree: Any = Tree(routes(api.app, failed), routes(public.app, failed))
    resource: Any = EnforceDeadline(tree, server.timeout)
    resource = LimitConcurrency(resource, lasting.concurrency)
    if settings.rate_limit.enabled:
        resource = RateLimit(resource, limiter)
    authenticate = _authenticate(resource, settings, authenticator)
    resource = authenticate
    resource = Refuse(resource)
    if settings.rate_limit.enabled:
        resource = ShowLimits(resource, limiter)
    cors = settings.cors
    resource = Cors(resource, cors.origins, cors.methods, cors.headers, cors.credentials, cors.max_age)
    inside = routes(Ops(reactor, render, lasting.ready, expose=True).app, failed)
    return Graph(
        settings,
        client,
        models,
        authenticator,
        limiter,
        _record(resource, lasting, lasting.tracing.begin if lasting.tracing is not None else None),
        _record(_authenticate(Refuse(inside), settings, authenticator), lasting),
        authenticate.gate,
        providers,
        vendor_models,
        HealthChecks(lasting.deployments, providers, settings.routing.health_check, reactor),
    )


def _record(resource: Any, lasting: Lasting, begin_trace: Any = None) -> Any:
    record: Any = AccessRecord(resource, lasting.observers, lasting.metrics.in_flight, begin_trace)
    return Compress(record)


def _authenticate(resource: Any, settings: Settings, authenticator: Authenticator) -> Authenticate:
    auth = settings.auth
    return Authenticate(resource, authenticator, health_check=auth.health_check, metrics=auth.metrics)
