"""All settings: the sections of :mod:`llmedge.config.sections`, put together."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmedge.config.sections.admin import Admin
from llmedge.config.sections.auth import Auth
from llmedge.config.sections.cache import Cache
from llmedge.config.sections.cors import Cors
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.sections.ledger import Ledger
from llmedge.config.sections.log import Log
from llmedge.config.sections.metrics import Metrics
from llmedge.config.sections.models import Model
from llmedge.config.sections.prices import Price
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.rate_limit import RateLimit
from llmedge.config.sections.redis import Redis
from llmedge.config.sections.routing import Routing
from llmedge.config.sections.server import Server
from llmedge.config.sections.store import Store
from llmedge.config.sections.tls import Tls
from llmedge.config.sections.tracing import Tracing
from llmedge.config.sections.upstream import Upstream
from llmedge.config.sections.webhook import Webhook

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"
"""What providers and keys may be called."""


@attrs.frozen
class Settings:
    """All of it."""

    server: Server = attrs.field(factory=Server)
    auth: Auth = attrs.field(factory=Auth)
    rate_limit: RateLimit = attrs.field(factory=RateLimit)
    admin: Admin = attrs.field(factory=Admin)
    store: Store = attrs.field(factory=Store)
    ledger: Ledger = attrs.field(factory=Ledger)
    redis: Redis = attrs.field(factory=Redis)
    tls: Tls = attrs.field(factory=Tls)
    cors: Cors = attrs.field(factory=Cors)
    log: Log = attrs.field(factory=Log)
    metrics: Metrics = attrs.field(factory=Metrics)
    tracing: Tracing = attrs.field(factory=Tracing)
    webhook: Webhook = attrs.field(factory=Webhook)
    upstream: Upstream = attrs.field(factory=Upstream)
    routing: Routing = attrs.field(factory=Routing)
    cache: Cache = attrs.field(factory=Cache)
    providers: Mapping[str, Provider] = attrs.field(factory=dict, metadata={"table_of": Provider, "named": NAME})
    models: Mapping[str, Model] = attrs.field(factory=dict, metadata={"table_of": Model, "named": "."})
    guardrails: tuple[Guardrail, ...] = attrs.field(default=(), metadata={"items": Guardrail})
    prices: Mapping[str, Price] = attrs.field(factory=dict, metadata={"table_of": Price, "named": ".+/.+"})
