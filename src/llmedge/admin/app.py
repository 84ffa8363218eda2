"""The admin API's routes: its rows of ``operations``, each handler behind the one check of what may be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from llmedge.admin import (
    audit,
    budgets,
    cache,
    collections,
    export,
    litellm,
    litellm_spend,
    money,
    openai,
    operate,
    own,
)
from llmedge.admin.asked import AdminDeps, Asked, Handler
from llmedge.errors import AuthError, NotFound, PermissionDenied
from llmedge.identity.roles import NO_ADMIN, Reach, permit
from llmedge.model import Caller
from llmedge.operations import Endpoint, Operation
from llmedge.web.api import failed
from llmedge.web.request import EdgeRequest
from llmedge.web.routes import rule


def handlers() -> Mapping[str, Handler]:
    """All there are, by name."""
    rooms = (collections, budgets, money, export, audit, operate, cache, own, litellm, litellm_spend, openai)
    return {name: handler for room in rooms for name, handler in room.handlers().items()}


class AdminResource(Resource):
    """Everything of the admin API.

    :param deps: what its handlers work with.
    """

    isLeaf = True

    def __init__(self, deps: AdminDeps) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._deps = deps
        app: Any = Klein()
        app.url_map.merge_slashes = False  # which paths mean one is for web/paths to say
        known = handlers()
        for endpoint in Operation.ADMIN.endpoints:
            app.route(rule(endpoint.path), methods=[endpoint.method])(self._guarded(endpoint, known[endpoint.handler]))
        app.handle_errors(Exception)(failed)
        self._klein = app.resource()

    def render(self, request: Any) -> int:
        request.prepath = []
        request.postpath = request.path[1:].split(b"/")
        return cast(int, self._klein.render(request))

    def _guarded(self, endpoint: Endpoint, handler: Handler) -> Any:
        def route(request: EdgeRequest, **parameters: str) -> Deferred[None]:
            caller = request.context.caller
            if any("\0" in value for value in parameters.values()):
                raise NotFound("There is nothing with that name.")
            reach = _reach(caller, endpoint.permission)
            asked = Asked(self._deps, request, caller, reach)
            work = request.context.work = Deferred.fromCoroutine(cast(Any, handler(asked, **parameters)))
            return work

        route.__name__ = f"{endpoint.handler}_{endpoint.method}"
        return route


def _reach(caller: Caller, permission: str) -> Reach:
    """:raises AuthError: the caller is nobody in particular. :raises PermissionDenied: it may not."""
    if not permission:
        return Reach(())
    try:
        return permit(caller, permission)
    except PermissionDenied:
        if not caller.account.key_id:
            raise AuthError(NO_ADMIN) from None
        raise
