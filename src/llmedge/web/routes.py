"""From a method and a path to a Klein route, without Klein where there is nothing to work out."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from llmedge.driver import CoroutineDriver
from llmedge.errors import EdgeError, MethodNotAllowed
from llmedge.operations import ENDPOINTS, Endpoint
from llmedge.web.paths import PARAMETER, PATHS, SLASHED, nothing_at
from llmedge.web.request import EdgeRequest

log = Logger()

API = (b"/v1/", b"/v1beta/", b"/v2/", b"/rerank")
"""How the paths of the API begin."""


def declare(app: Klein, owner: type, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
    """Give ``app``, which is ``owner``'s, a route for each of ``endpoints`` that a method of ``owner`` answers."""
    app.url_map.merge_slashes = False  # which paths mean one is for web/paths to say
    for endpoint in endpoints:
        if (handler := vars(owner).get(endpoint.handler)) is not None:
            cast(Any, app).route(rule(endpoint.path), methods=[endpoint.method])(handler)


def rule(path: str) -> str:
    """A template as Klein has it. The verb behind ``/models/{model}`` is left to ``web/paths``: with one that is not
    known there is nothing at that path, rather than another method allowed."""
    path = re.sub(r"(/models/\{model\}):\w+$", r"\1", path)
    return PARAMETER.sub(lambda name: f"<path:{name[1]}>" if name[1] in SLASHED else f"<{name[1]}>", path)


class Routes(Resource):
    """The routes of a Klein app. Those with a fixed path are looked up in a table made from Klein's own map;
    Werkzeug's matching and Klein's six callbacks a request cost more than all our wrappers together.

    :param app: bound to its instance.
    :param failed: answers a request whose route raised; the app's own error handler.
    """

    isLeaf = True

    def __init__(self, app: Klein, failed: Callable[[EdgeRequest, Failure], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._app: Any = app
        self._failed = failed
        self._klein: Any = app.resource()
        self._fixed: dict[tuple[bytes, bytes], Any] = {}
        for rule in app.url_map.iter_rules():
            if not rule.arguments:
                for method in rule.methods or ():
                    route = getattr(self._app._instance, rule.endpoint)
                    self._fixed.setdefault((method.encode(), rule.rule.encode()), route)

    def render(self, request: Any) -> int:
        route = self._fixed.get((request.method, request.path))
        if route is None:
            if request.path.startswith(b"//"):  # Klein would leave one out
                raise nothing_at(request.path)
            # Werkzeug would overlook the case of a method, which counts (RFC 9110 section 9.1).
            url_map = self._app.url_map.bind("localhost")
            if not request.method.isupper() and (allowed := url_map.allowed_methods(request.path.decode())):
                raise not_allowed(request, allowed)
            request.prepath = []
            request.postpath = request.path[1:].split(b"/")
            return cast(int, self._klein.render(request))
        try:
            result = route(request)
        except Exception:
            self._failed(request, Failure())  # type: ignore[no-untyped-call]  # twisted has no types here
            return NOT_DONE_YET
        if isinstance(result, CoroutineDriver):
            result.start(partial(self._ended, request))
            return NOT_DONE_YET
        if result is not None and isinstance(result, Coroutine):
            result = Deferred.fromCoroutine(result)
        if not isinstance(result, Deferred):
            request.finish()  # as Klein does with whatever a route returns
            return NOT_DONE_YET
        if result is not request.context.work and not result.called:  # the request's work is cancelled with it
            request.over.append(lambda _, lost: result.cancel() if lost else None)
        result.addBoth(lambda result: self._ended(request, result))
        return NOT_DONE_YET

    def _ended(self, request: EdgeRequest, result: object) -> None:
        try:
            if not isinstance(result, Failure):
                request.finish()
            elif not request.finished and not request._disconnected:
                self._failed(request, result)
            elif not isinstance(result.value, CancelledError | EdgeError):  # those the client has gone before
                log.failure("a request failed after its end", failure=result)
        except Exception:
            log.failure("a failure could not be told")


def not_allowed(request: EdgeRequest, methods: Iterable[str]) -> MethodNotAllowed:
    """What to say where only ``methods`` are allowed."""
    method, allowed = request.method.decode("latin-1"), tuple(sorted(methods))
    return MethodNotAllowed(f"{method} is not allowed here; allowed: {', '.join(allowed)}.", allowed)


class Tree(Resource):
    """Several resources, each with its paths.

    :param find: the one that a path is for.
    """

    isLeaf = True

    def __init__(self, find: Callable[[bytes], Resource]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._find = find
        self._found: dict[bytes, Resource] = {}
        """Of paths that stand in the table: there is no end of others."""

    def render(self, request: Any) -> int:
        path = request.path
        resource: Any = self._found.get(path)
        if resource is None:
            resource = self._find(path)
            if path in PATHS.fixed:
                self._found[path] = resource
        return cast(int, resource.render(request))
