"""A request's id and record, and the errors of the layers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import lru_cache

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET

from llmedge.config import Settings
from llmedge.errors import EdgeError, InternalError
from llmedge.record import Record
from llmedge.web.answer import send_error
from llmedge.web.layer import Layer, WebDeps
from llmedge.web.limits import LIMITS, RateLimit, deadline_exceeded
from llmedge.web.peers import client_address
from llmedge.web.request import EdgeRequest

log = Logger()

_REQUEST_ID = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:")


class AccessRecord(Layer):
    """Gives each request an id and a record, hands the finished record to the observers, and answers for the layers
    inside what they raise."""

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__(inner, settings, deps)
        self._begin_trace, self._traces = deps.begin_trace, deps.traces
        self._observers = tuple(deps.observers)
        self._show_limits: Callable[[EdgeRequest], None] | None = None
        for layer in self.inside():
            layer.fail = self.fail
            if isinstance(layer, RateLimit):
                self._show_limits = layer.show_shared

    def render(self, request: EdgeRequest) -> int:
        head = request.context.head
        if not head.route:
            head.resolve_route(request.method, request.path, request.deployment)
        table = request.requestHeaders._rawHeaders
        given = table.get(b"X-Request-Id")
        request_id = _request_id(given[-1]) if given else "req_" + next(_new_ids)
        peer = getattr(request.client, "host", "") or "local"
        trusted = request.edge.limits.trusted_proxies
        if trusted:
            peer = client_address(peer, table.get(b"X-Forwarded-For", ()), trusted)
        record = request.context.record = Record(
            request_id, _method(request.method), head.route, peer, request.context.received, head.operation
        )
        if (self._traces or b"Traceparent" in table) and not head.probe:
            record.trace = self._begin_trace(request.requestHeaders)
        request.lines.append(b"X-Request-Id: %b\r\n" % request_id.encode())
        if head.operation:
            self.deps.under_way.calls += 1
        request.over.append(self._done)
        try:
            return self.proceed(request)
        except Exception as error:
            self.fail(request, error)
            return NOT_DONE_YET

    def fail(self, request: EdgeRequest, error: BaseException) -> None:
        """A layer has raised ``error``, in the turn of the request or later: record it, answer with it. A request that
        is over is told nothing more; a defect is logged, and its answer says nothing of it."""
        over = request.finished or request._disconnected or request.aborted
        if isinstance(error, CancelledError) and (over or request.context.expired):
            if over:
                return
            error = deadline_exceeded(request)
        if not isinstance(error, EdgeError):
            log.failure("a request could not be processed", Failure(error))  # type: ignore[no-untyped-call]
            error = InternalError()
        if not over:
            if self._show_limits is not None and LIMITS not in b"".join(request.lines):
                self._show_limits(request)
            send_error(request, error)

    def _done(self, request: EdgeRequest, lost: bool) -> None:
        record = request.context.record
        if lost and request.context.work is not None and not request.context.work.called:
            request.context.work.cancel()  # now, not when Klein gets to it: what it stops belongs into the record
        record.ended = request.edge.clock.seconds()
        record.bytes_in = request.size
        record.bytes_out = request.sentLength
        record.status = request.code if request.startedWriting else 499  # nginx's name for a client that left
        if lost and not request.aborted:
            record.outcome = record.outcome if record.outcome not in ("", "ok") else "client_closed"
        elif not record.outcome:
            record.outcome = "ok" if request.code < 400 else "error"
        if record.operation:
            self.deps.under_way.calls -= 1
        for observe in self._observers:
            observe(record)


@lru_cache(64)
def _method(method: bytes) -> str:
    return method.decode("ascii", "replace")[:16]


def _request_id(given: bytes) -> str:
    """The client's id when it is sane (1 to 128 of letters, digits, ``-_.:``), else a new one."""
    if 0 < len(given) <= 128 and _REQUEST_ID.issuperset(given):
        return given.decode("ascii")
    return "req_" + next(_new_ids)


def _random_ids() -> Iterator[str]:
    """12 random bytes each, in hexadecimal; asked of the kernel a few hundred at a time."""
    while True:
        digits = secrets.token_hex(12 * 256)
        yield from (digits[start : start + 24] for start in range(0, len(digits), 24))


_new_ids = _random_ids()
