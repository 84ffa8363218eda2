"""``twist llmedge`` and ``twistd llmedge``: reads the configuration and builds everything, once.

The only module that touches the global reactor.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, NoReturn, cast

from prometheus_client import CollectorRegistry
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, LogLevel, jsonFileLogObserver, textFileLogObserver
from twisted.python.usage import Options as UsageOptions

from llmedge._version import __version__
from llmedge.config import ConfigError, Settings, load
from llmedge.dialects.registry import OPENAI
from llmedge.endpoints import EndpointError, parse
from llmedge.observe import logs
from llmedge.observe.metrics import Metrics
from llmedge.pipeline.admit import Admit
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.route import Route
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import compose
from llmedge.providers.http import HttpProvider
from llmedge.providers.mock import MockProvider
from llmedge.providers.provider import Provider
from llmedge.upstream.client import Client
from llmedge.web.api import Api
from llmedge.web.auth import Authenticator
from llmedge.web.compress import Compress
from llmedge.web.limits import Concurrency, RateLimiter
from llmedge.web.ops import Ops
from llmedge.web.relay import RelayLimits
from llmedge.web.site import EdgeSite
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

log = Logger()


class Options(UsageOptions):
    """Command line of ``twist llmedge``."""

    synopsis = "[--port ENDPOINT]... [--config FILE] [--check]"
    longdesc = (
        "An LLM edge gateway. Without any configuration it listens on 0.0.0.0:8080, serves the vendors whose key "
        "is in the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, OLLAMA_HOST), or a mock vendor, "
        "and lets in callers on this machine only. README.rst and docs/ tell the rest."
    )
    optFlags = [["check", None, "Say whether the configuration is good and what would run; do not listen."]]
    settings: Settings

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self["ports"] = []
        self["config"] = None

    def opt_port(self, endpoint: str) -> None:
        """Endpoint to listen on, such as tcp:8080 or ssl:8443. May be given several times."""
        if endpoint.isdigit():
            endpoint = f"tcp:{endpoint}"
        elif match := re.fullmatch(r"(\d+\.\d+\.\d+\.\d+|localhost):(\d+)", endpoint):
            endpoint = f"tcp:{match[2]}:interface={match[1]}"
        self["ports"].append(endpoint)

    opt_p = opt_port

    def opt_config(self, path: str) -> None:
        """TOML file with the configuration (default: the variable LLMEDGE_CONFIG, else none)."""
        self["config"] = path

    opt_c = opt_config

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"llmedge {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *rest: str) -> None:
        if rest:
            _stop(f"there is no argument {rest[0]!r}; twist llmedge --help says what there is")

    def postOptions(self) -> None:
        config = self["config"] or os.environ.get("LLMEDGE_CONFIG") or None
        try:
            self.settings = load(os.environ, config, self["ports"])
        except ConfigError as error:
            _stop(str(error))
        if self["check"]:
            _check(self.settings)
        self._take_over_logging()

    def _take_over_logging(self) -> None:
        """Have twist or twistd log through us: JSON lines where it would write JSON or a plain file."""
        logs.configure(self.settings.log)
        parent: Any = self.parent
        if parent is None:
            return
        if "fileLogObserverFactory" in parent:  # twist
            chosen = parent["fileLogObserverFactory"]
            levels = logs.Levels(self.settings.log)
            if chosen is jsonFileLogObserver:
                parent["fileLogObserverFactory"] = lambda out: logs.JsonLog(out, levels)
            elif chosen is textFileLogObserver:
                parent["fileLogObserverFactory"] = lambda out: logs.FilteredLog(textFileLogObserver(out), levels)
            if parent["logLevel"] is LogLevel.info:  # its default: ours decide
                parent["logLevel"] = LogLevel.debug
        elif "logger" in parent and not (parent["logger"] or parent.get("logfile") or parent.get("syslog")):
            parent["logger"] = "llmedge.observe.logs.json_to_stdout"  # twistd


def makeService(options: Options) -> EdgeService:
    """The service for ``options``, not yet listening."""
    from twisted.internet import reactor

    return EdgeService(reactor, options.settings)


class EdgeService(Service):
    """Everything that runs: built from settings, started, stopped.

    :param reactor: the one everything inside is given.
    """

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._ports: list[Any] = []
        self._stopping = False
        self._stop_ticks: Any = None
        self._client = Client(reactor, settings.upstream)
        self._metrics = Metrics(CollectorRegistry())
        self._authenticator = Authenticator(settings.auth.enabled, settings.auth.keys)
        self.models = ModelIndex(settings.models, settings.providers)
        self.site = self._build_site()
        self._endpoints = []
        for description in settings.server.listen:
            try:
                self._endpoints.append((description, parse(reactor, description, settings.tls)))
            except EndpointError as error:
                _stop(str(error))

    def _build_site(self) -> EdgeSite:
        settings, reactor = self._settings, self._reactor
        providers: dict[str, Provider] = {}
        for name, vendor in settings.providers.items():
            if vendor.dialect == "mock":
                providers[name] = MockProvider(name, vendor, settings.upstream, reactor)
            else:
                providers[name] = HttpProvider(name, vendor, OPENAI, self._client, settings.upstream, reactor)
        route = Route(self.models, providers, reactor)
        pipeline = compose([Settle(), Admit(self.models, reactor)], route)
        server = settings.server
        limits = RelayLimits(server.heartbeat, server.write_timeout, server.stream_timeout)
        api = Api(pipeline, self.models, OPENAI, limits, int(reactor.seconds()))
        ops = Ops(
            reactor,
            self._metrics.render if settings.metrics.enabled else None,
            ready=lambda: not self._stopping,
        )
        resource: Any = Tree(cast(Any, api.app.resource()), cast(Any, ops.app.resource()))
        resource = EnforceDeadline(resource, server.timeout)
        resource = LimitConcurrency(resource, Concurrency(server.max_requests, server.max_requests_per_address))
        limiter = RateLimiter(settings.rate_limit, reactor)
        if settings.rate_limit.enabled:
            resource = RateLimit(resource, limiter)
        resource = Authenticate(
            resource,
            self._authenticator,
            health_check=settings.auth.health_check,
            metrics=settings.auth.metrics,
        )
        resource = Refuse(resource)
        if settings.rate_limit.enabled:
            resource = ShowLimits(resource, limiter)
        cors = settings.cors
        resource = Cors(
            resource, origins=cors.origins, methods=cors.methods, headers=cors.headers, max_age=cors.max_age
        )
        resource = AccessRecord(resource, [self._metrics, logs.AccessLog()], self._metrics.in_flight.inc)
        return EdgeSite(Compress(resource), reactor, server)

    def privilegedStartService(self) -> None:
        """Listen, while a daemon still has the rights to (``twistd``)."""
        self._listen()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._listen()  # twist has no privileged phase
        self._stop_ticks = self._metrics.watch_ticks(self._reactor)
        self._reactor.addSystemEventTrigger("after", "shutdown", logs.finish)
        for line in banner(self._settings, self.models, self._authenticator.mode):
            log.info(line.replace("{", "{{").replace("}", "}}"))
        for port in self._ports:
            log.info("listening on {address}", address=_address(port.getHost()))

    async def _stop(self) -> None:
        for port in self._ports:
            await port.stopListening()
        self._ports.clear()
        self._client.close()

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._stopping = True
        if self._stop_ticks is not None:
            self._stop_ticks()
            self._stop_ticks = None
        return Deferred.fromCoroutine(self._stop())

    def _listen(self) -> None:
        for description, endpoint in self._endpoints:
            listening: Deferred[Any] = endpoint.listen(self.site)
            outcome: list[Any] = []
            listening.addBoth(outcome.append)
            if not outcome:
                _stop(f"{description} does not listen at once; the gateway cannot wait for it")
            failure = getattr(outcome[0], "value", None)
            if isinstance(failure, CannotListenError):
                why = getattr(failure.socketError, "strerror", None) or str(failure.socketError)
                _stop(f"cannot listen on {description}: {why}")
            if isinstance(failure, BaseException):
                _stop(f"cannot listen on {description}: {failure}")
            self._ports.append(outcome[0])
        self._endpoints.clear()


def banner(settings: Settings, models: ModelIndex, authentication: str) -> list[str]:
    """What runs, for the log and for ``--check``. Holds no secret."""
    lines = [f"llmedge {__version__}"]
    for name, vendor in settings.providers.items():
        where = "answers by itself, no vendor is asked" if vendor.dialect == "mock" else vendor.base_url
        patterns = f"; models {', '.join(vendor.models)}" if vendor.models else ""
        lines.append(f"provider {name}: {where}{patterns}; any model of it as {name}/MODEL")
    for name, model in settings.models.items():
        lines.append(f"model {name}: {', then '.join(model.targets)}")
    if all(vendor.dialect == "mock" for vendor in settings.providers.values()):
        lines.append("only the mock provider is on: set OPENAI_API_KEY or another vendor's key, or write a config file")
    count = len(settings.auth.keys)
    lines.append(
        {
            "keys": f"authentication: on, {count} key{'' if count == 1 else 's'}",
            "loopback": "authentication: no keys configured, so only callers on this machine; set API_KEYS for others",
            "off": "authentication: OFF, everyone is let in (auth.enabled, AUTH_ENABLED)",
        }[authentication]
    )
    limit = settings.rate_limit
    lines.append(
        f"rate limit: {limit.rpm} requests a minute, {limit.burst} at once" if limit.enabled else "rate limit: off"
    )
    if settings.tracing.enabled:
        lines.append("tracing: asked for, but this version cannot export traces yet")
    return lines


def _check(settings: Settings) -> NoReturn:
    from twisted.internet import reactor

    for description in settings.server.listen:
        try:
            parse(reactor, description, settings.tls)
        except EndpointError as error:
            _stop(str(error))
    models = ModelIndex(settings.models, settings.providers)
    mode = Authenticator(settings.auth.enabled, settings.auth.keys).mode
    for line in banner(settings, models, mode):
        print(line)
    for description in settings.server.listen:
        print(f"would listen on {description}")
    print("configuration: good")
    raise SystemExit(0)


def _stop(message: str) -> NoReturn:
    """End the process with one clear message and no traceback."""
    print(f"llmedge: {message}", file=sys.__stderr__)  # twistd may have sent sys.stderr to its log
    raise SystemExit(1)


def _address(host: Any) -> str:
    if hasattr(host, "port"):
        shown = f"[{host.host}]" if ":" in host.host else host.host
        return f"{shown}:{host.port}"
    return str(getattr(host, "name", host))
