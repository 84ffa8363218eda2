"""What one configuration makes: providers, pipeline and the onion. Built whole, then put in place at once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from prometheus_client import CollectorRegistry

from llmedge.config import Settings
from llmedge.observe.access import AccessLog
from llmedge.observe.metrics import Metrics
from llmedge.pipeline import build as pipeline_build
from llmedge.pipeline.build import Pipeline, PipelineDeps
from llmedge.pipeline.deployments import Deployments
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


class ProcessState:
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
    pipeline: Pipeline
    authenticator: Authenticator
    limiter: RateLimiter
    resource: Any
    admin: Any
    gate: Any

    def enter(self, previous: Graph | None = None) -> None:
        """Put it in force for new calls, in the place of ``previous``, whose calls under way go on."""
        self.pipeline.enter(None if previous is None else previous.pipeline)
        if previous is not None:
            previous.retire()
            if previous.client is not self.client:
                previous.client.retire()

    def retire(self) -> None:
        """Another one is in force, or none: stop what runs in the background. Calls under way go on."""
        self.pipeline.retire()


def build(process: ProcessState, settings: Settings, previous: Graph | None = None) -> Graph:
    """Build everything ``settings`` ask for. Changes nothing that is in use: :meth:`Graph.enter` does.

    :param previous: what is in force; connections and the state of rate limits are carried over from it.
    :raises ConfigError: a plugin cannot make its provider.
    """
    reactor = process.reactor
    if previous is not None and previous.settings.upstream == settings.upstream:
        client = previous.client
    else:
        client = Client(reactor, settings.upstream)
    deps = PipelineDeps(reactor, client, process.deployments, process.observers, process.random)
    pipeline = pipeline_build.build(settings, deps)
    authenticator = Authenticator(settings.auth.enabled, settings.auth.keys)
    limiter = RateLimiter(settings.rate_limit, reactor, previous.limiter if previous else None)
    server, admin = settings.server, settings.admin
    relay = RelayLimits(server.heartbeat, server.write_timeout, server.stream_timeout)
    api = Api(pipeline.handler, pipeline.models, pipeline.vendor_models, relay, process.started)
    render = process.metrics.render if settings.metrics.enabled else None
    public = Ops(reactor, render, process.ready, expose=not admin.listen or admin.keep_public)
    routes: Any = Routes
    tree: Any = Tree(routes(api.app, failed), routes(public.app, failed))
    resource: Any = EnforceDeadline(tree, server.timeout)
    resource = LimitConcurrency(resource, process.concurrency)
    if settings.rate_limit.enabled:
        resource = RateLimit(resource, limiter)
    authenticate = _authenticate(resource, settings, authenticator)
    resource = authenticate
    resource = Refuse(resource)
    if settings.rate_limit.enabled:
        resource = ShowLimits(resource, limiter)
    cors = settings.cors
    resource = Cors(resource, cors.origins, cors.methods, cors.headers, cors.credentials, cors.max_age)
    inside = routes(Ops(reactor, render, process.ready, expose=True).app, failed)
    return Graph(
        settings,
        client,
        pipeline,
        authenticator,
        limiter,
        _record(resource, process, process.tracing.begin if process.tracing is not None else None),
        _record(_authenticate(Refuse(inside), settings, authenticator), process),
        authenticate.gate,
    )


def _record(resource: Any, process: ProcessState, begin_trace: Any = None) -> Any:
    record: Any = AccessRecord(resource, process.observers, process.metrics.in_flight, begin_trace)
    return Compress(record)


def _authenticate(resource: Any, settings: Settings, authenticator: Authenticator) -> Authenticate:
    auth = settings.auth
    return Authenticate(resource, authenticator, health_check=auth.health_check, metrics=auth.metrics)
