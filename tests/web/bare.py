"""A site with nothing but a handler behind its parser."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from llmedge.config.sections.server import Server
from llmedge.errors import EdgeError, RequestTimeout
from llmedge.web.answer import send_body, send_error
from llmedge.web.site import EdgeSite
from tests.fakes import Wire

Handler = Callable[[Any], Awaitable[None]]


async def say_ok(request: Any) -> None:
    send_body(request, 200, b"ok", b"text/plain")


class Bare(Resource):
    """Keeps the requests it was given; has ``handler`` answer those that were not refused."""

    isLeaf = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.seen: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.refused = False

    def render(self, request: Any) -> int:
        if request.refused or self.refused:
            self.refused = True  # what comes behind a refusal is not kept
            send_error(request, request.context.refusal or RequestTimeout("Too late."))
            return NOT_DONE_YET
        headers = request.requestHeaders.getAllRawHeaders()
        fields = sorted((name.lower(), value) for name, values in headers for value in values)
        self.seen.append((request.method, request.uri, fields, request.content.read()))
        Deferred.fromCoroutine(self._answer(request)).addErrback(lambda failure: failure.trap(EdgeError))
        return NOT_DONE_YET

    async def _answer(self, request: Any) -> None:
        try:
            await self.handler(request)
        except EdgeError as error:
            if not request._disconnected:
                send_error(request, error)
            raise


class BareEdge:
    """One site with ``handler``; ``server`` are settings of ``[server]``."""

    def __init__(self, http_parser: str = "llhttp", handler: Handler = say_ok, **server: Any) -> None:
        self.clock = self.reactor = Clock()
        self.resource = Bare(handler)
        self.site = EdgeSite(self.resource, self.clock, Server(http_parser=http_parser, **server))

    def wire(self) -> Wire:
        return Wire(self.site)
