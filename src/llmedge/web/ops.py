"""What operators ask: health, metrics, and what there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
from klein import Klein
from twisted.internet.threads import deferToThreadPool

from llmedge._version import __version__
from llmedge.errors import NotFound
from llmedge.operations import ENDPOINTS
from llmedge.web.answer import send_body, send_json
from llmedge.web.api import handle_errors
from llmedge.web.request import EdgeRequest
from llmedge.web.routes import declare

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@attrs.define(eq=False, slots=False)  # Klein keeps something in its instance
class Ops:
    """:param expose: ``False`` where an admin endpoint has health and metrics instead.
    :param render_metrics: the exposition text, or ``None`` where metrics are off; run in ``reactor``'s pool.
    :param ready: whether new requests are welcome. :param administers: whether the admin API is here.
    """

    app = Klein()

    _reactor: Any
    _render_metrics: Callable[[], bytes] | None
    _ready: Callable[[], bool]
    _expose: bool = True
    _administers: bool = True
    _answers: dict[str, tuple[int, bytes]] = attrs.Factory(dict)  # by word; each good for its second

    def live(self, request: EdgeRequest) -> None:
        self._health(request, 200, "healthy")

    def ready(self, request: EdgeRequest) -> None:
        if self._ready():
            self._health(request, 200, "healthy")
        else:
            self._health(request, 503, "stopping")

    async def metrics(self, request: EdgeRequest) -> None:
        self._exposed()
        if self._render_metrics is None:
            raise NotFound("Metrics are off (metrics.enabled, ENABLE_METRICS).")
        text = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._render_metrics)
        send_body(request, 200, text, METRICS_TYPE)

    def index(self, request: EdgeRequest) -> None:
        document = {
            "name": "llmedge",
            "version": __version__,
            "docs": "README.rst and docs/ of the llmedge source",
            "endpoints": [
                f"{endpoint.method} {endpoint.path}"
                for endpoint in ENDPOINTS
                if endpoint.summary
                and (self._expose or endpoint.key in ("always", "never"))
                and (self._administers or not endpoint.permission)
            ],
        }
        send_json(request, 200, document)

    def _exposed(self) -> None:
        if not self._expose:
            raise NotFound("This is served on the admin endpoint (admin.listen, --admin-port).")

    def _health(self, request: EdgeRequest, status: int, word: str) -> None:
        self._exposed()
        second = int(self._reactor.seconds())
        known = self._answers.get(word)
        if known is None or known[0] != second:
            now = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            document = {"status": word, "timestamp": now, "version": __version__}
            known = self._answers[word] = (second, msgspec.json.encode(document))
        send_body(request, status, known[1])


declare(Ops.app, Ops)
handle_errors(Ops.app)
