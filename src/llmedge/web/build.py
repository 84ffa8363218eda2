"""The web room: the resources of the two sites, each an onion of layers around its routes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import attrs

from llmedge.config import Settings
from llmedge.pipeline.build import Pipeline
from llmedge.web.access_record import AccessRecord
from llmedge.web.api import Api, failed
from llmedge.web.authenticate import Authenticate
from llmedge.web.compress import Compress
from llmedge.web.cors import Cors
from llmedge.web.layer import Layer, WebDeps
from llmedge.web.limits import EnforceDeadline, LimitConcurrency, RateLimit
from llmedge.web.ops import Ops
from llmedge.web.paths import is_admin, is_everybodys
from llmedge.web.routes import API, Routes, Tree
from llmedge.web.told import Told


@attrs.frozen
class Web:
    """What the sites serve.

    :ivar resource: the outermost of the public site; ``admin`` of the operators'.
    :ivar gate: judges a request of which only the head is here; see ``EdgeSite``.
    """

    resource: Any
    admin: Any
    gate: Any


ADMIN_LAYERS: list[type[Layer]] = [Compress, AccessRecord, Authenticate, EnforceDeadline]
"""The operators' site's, outermost first."""


def layers(settings: Settings) -> list[type[Layer]]:
    """The public site's, outermost first. Those that are off are not among them."""
    cors: list[type[Layer]] = [Cors] if settings.cors.origins else []
    limits: list[type[Layer]] = [RateLimit] if settings.rate_limit.enabled else []
    return [Compress, AccessRecord, *cors, Authenticate, *limits, LimitConcurrency, EnforceDeadline]


def build(settings: Settings, pipeline: Pipeline, deps: WebDeps, administration: Callable[[], Any]) -> Web:
    """Everything between the sites and the pipeline.

    :param administration: makes the admin API. It is on the operators' site, where there is one, else on the public;
        what everybody may ask of it is on both.
    """
    admin = settings.admin
    origins, default_models = settings.cors.origins, settings.routing.default_models
    handlers, vendor_models, told = (
        pipeline.handlers,
        pipeline.vendor_models,
        Told(settings.log, settings.store.url is not None),
    )
    guarded = bool(settings.guardrails)
    api = Api(handlers, pipeline.models, vendor_models, deps.started, origins, default_models, told, guarded)
    render = deps.render_metrics if settings.metrics.enabled else None
    exposed = not admin.listen or admin.keep_public
    public = Ops(deps.reactor, render, deps.ready, expose=exposed, administers=not admin.listen)
    inside = Ops(deps.reactor, render, deps.ready, expose=True)
    routes: Any = Routes
    of_api, of_public, of_inside = (routes(each.app, failed) for each in (api, public, inside))
    administrated = cache(administration)
    theirs = is_everybodys if admin.listen else is_admin

    def find(path: bytes) -> Any:
        return administrated() if theirs(path) else of_api if path.startswith(API) else of_public

    def find_inside(path: bytes) -> Any:
        return administrated() if is_admin(path) else of_inside

    resource = _wrap(Tree(find), layers(settings), settings, deps)
    untraced = attrs.evolve(deps, traces=False, begin_trace=lambda headers: None)
    return Web(
        resource,
        _wrap(Tree(find_inside), ADMIN_LAYERS, settings, untraced),
        next(layer.gate for layer in resource.inside() if isinstance(layer, Authenticate)),
    )


def _wrap(resource: Any, around: list[type[Layer]], settings: Settings, deps: WebDeps) -> Any:
    for layer in reversed(around):
        resource = layer(resource, settings, deps)
    return resource
