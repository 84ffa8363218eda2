"""An onion with a layer of the test's own in it, which answers when the test says so."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.web import build
from llmedge.web.authenticate import Authenticate
from llmedge.web.layer import Layer
from tests.fakes import CHAT, Edge
from tests.web.test_http2 import Http2

LAYERS = build.layers


class Waiting(Layer):
    """Waits for a Deferred of the test's; goes on, or raises the error that it fires with."""

    waits: list[Deferred[Exception | None]]

    def render(self, request: Any) -> int:
        self.waits.append(Deferred())
        return self.later(request, self.waits[-1], self._then)

    def _then(self, request: Any, error: Exception | None) -> int:
        if error is not None:
            raise error
        return self.proceed(request)


class Onion(SynchronousTestCase):
    """:ivar place: the layer that the test's stands around; ``None``: it is the innermost."""

    place: type[Layer] | None = Authenticate

    def edge(self, *wrapped: type[Layer], toml: str = "") -> Edge:
        Waiting.waits = self.waits = []

        def layers(settings: Any) -> list[type[Layer]]:
            found = LAYERS(settings)
            place = found.index(self.place) if self.place else len(found)
            return [*found[:place], *wrapped, *found[place:]]

        self.patch(build, "layers", layers)
        return Edge(toml)

    def layer(self, edge: Edge, kind: type[Layer]) -> Any:
        return next(layer for layer in edge.site.edge.resource.inside() if isinstance(layer, kind))

    def errors(self, kind: type[Exception]) -> int:
        return len(self.flushLoggedErrors(kind))


class Stream(Http2):
    """One request over HTTP/2."""

    def __init__(self, edge: Edge, body: Any = CHAT, path: str = "/v1/chat/completions") -> None:
        super().__init__(edge)
        self.stream = self.ask(body, path)

    def answer(self) -> tuple[int, dict[str, Any]]:
        self.flush()
        return self.status(self.stream), json.loads(self.body(self.stream))
