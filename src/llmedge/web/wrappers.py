"""The HTTP onion: resources around a resource. Each is a leaf with one ``render`` and deals with one concern.

From the outside in: Compress, AccessRecord, Cors, ShowLimits, Refuse, Authenticate, RateLimit, LimitConcurrency,
EnforceDeadline, then the Klein tree.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from llmedge.deadlines import Deadlines
from llmedge.errors import EdgeError, RateLimited, ValidationError
from llmedge.model import Deadline, Record, TraceContext
from llmedge.web.answer import send_error
from llmedge.web.auth import Authenticator
from llmedge.web.context import RequestContext
from llmedge.web.limits import Concurrency, RateLimiter
from llmedge.web.paths import is_health, is_metrics
from llmedge.web.peers import client_address
from llmedge.web.request import EdgeRequest
from llmedge.web.websocket import wants_upgrade

_REQUEST_ID = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:")


class Wrapper(Resource):
    """A resource around another. Being a leaf, it is asked to render whatever the path."""

    isLeaf = True

    def __init__(self, inner: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self.proceed: Callable[[EdgeRequest], int] = cast(Any, inner).render
        """Hands a request to the resource inside."""


class AccessRecord(Wrapper):
    """Gives each request an id and a record, and hands the finished record to the observers.

    :param begin_trace: makes the trace of a request with these headers; ``None`` where nothing is traced.
    """

    def __init__(
        self,
        inner: IResource,
        observers: Iterable[Callable[[Record], None]],
        in_flight: Callable[[int], None],
        begin_trace: Callable[[Headers], TraceContext | None] | None = None,
    ) -> None:
        super().__init__(inner)
        self._begin_trace = begin_trace
        self._observers = tuple(observers)
        self._in_flight = in_flight

    def render(self, request: EdgeRequest) -> int:
        head = request.context.head
        if not head.route:
            head.resolve_route(request.method, request.path)
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
        if self._begin_trace is not None and not head.probe:
            record.trace = self._begin_trace(request.requestHeaders)
        request.lines.append(b"X-Request-Id: %b\r\n" % request_id.encode())
        if head.operation:
            self._in_flight(1)
        request.over.append(self._done)
        try:
            return self.proceed(request)
        except EdgeError as error:
            send_error(request, error)
            return NOT_DONE_YET

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
            self._in_flight(-1)
        for observe in self._observers:
            observe(record)


class Cors(Wrapper):
    """Cross-origin requests (WHATWG Fetch, section 3.2). Preflights are answered without a key."""

    def __init__(
        self,
        inner: IResource,
        origins: tuple[str, ...],
        methods: tuple[str, ...],
        headers: tuple[str, ...],
        credentials: bool,
        max_age: int,
    ) -> None:
        super().__init__(inner)
        self._any = "*" in origins
        self._origins = {origin.encode() for origin in origins}
        self._methods = ", ".join(methods).encode()
        self._method_set = {method.encode() for method in methods}
        self._headers = {header.lower() for header in headers if not header.endswith("*")}
        self._prefixes = tuple(header.lower()[:-1] for header in headers if header.endswith("*"))
        self._credentials = credentials
        self._max_age = b"%d" % max_age

    def render(self, request: EdgeRequest) -> int:
        origin = request.getHeader(b"origin") if b"Origin" in request.requestHeaders._rawHeaders else None
        headers = request.responseHeaders
        if self._origins and not self._any:
            headers.addRawHeader(b"vary", b"Origin")
        if origin is not None and wants_upgrade(request) and not self._any and origin not in self._origins:
            # Browsers let any page open a WebSocket anywhere: the same rule has to be kept on this side.
            raise _CorsRefused("This origin may not open a WebSocket (cors.origins).")
        if origin is None or not self._origins:
            return self.proceed(request)
        allowed = self._any or origin in self._origins
        asked = request.getHeader(b"access-control-request-method")
        preflight = request.method == b"OPTIONS" and asked is not None
        if allowed:
            headers.setRawHeaders(b"access-control-allow-origin", [b"*" if self._any else origin])
            if self._credentials:
                headers.setRawHeaders(b"access-control-allow-credentials", [b"true"])
            if not preflight:
                headers.setRawHeaders(b"access-control-expose-headers", [_EXPOSED])
        if not preflight:
            return self.proceed(request)
        wanted = (request.getHeader(b"access-control-request-headers") or b"").decode("latin-1").lower()
        names = [name for name in map(str.strip, wanted.split(",")) if name]
        if not allowed:
            raise _CorsRefused("This origin may not call the gateway from a browser (cors.origins).")
        if asked not in self._method_set:
            raise _CorsRefused("This method is not allowed from a browser (cors.methods).")
        if not all(name in self._headers or name.startswith(self._prefixes or ("\0",)) for name in names):
            raise _CorsRefused("A request header is not allowed from a browser (cors.headers).")
        headers.setRawHeaders(b"access-control-allow-methods", [self._methods])
        headers.setRawHeaders(b"access-control-allow-headers", [", ".join(names).encode("latin-1")])
        headers.setRawHeaders(b"access-control-max-age", [self._max_age])
        request.setResponseCode(204)
        request.write(b"")
        request.finish()
        return NOT_DONE_YET


_CALL = ("provider", "model", "attempts", "fallback", "overhead-ms", "cost-usd", "dropped")
_EXPOSED = (
    b"x-request-id, retry-after, "
    + b"".join(b"x-llmedge-%b, " % name.encode() for name in _CALL)
    + b", ".join(b"x-ratelimit-%b-requests" % name for name in (b"limit", b"remaining", b"reset"))
)


class _CorsRefused(EdgeError):
    status = 403
    code = "PERMISSION_ERROR"
    type = "permission_error"


class Authenticate(Wrapper):
    """Finds out who asks. Health and metrics may be left open, each by its own setting."""

    def __init__(self, inner: IResource, authenticator: Authenticator, *, health_check: bool, metrics: bool) -> None:
        super().__init__(inner)
        self._authenticator = authenticator
        self._health_check = health_check
        self._metrics = metrics

    def gate(self, request: EdgeRequest, path: bytes) -> EdgeError | None:
        """What is wrong with a request of which only the head is here: nobody fills our memory without a key."""
        if not self._is_exempt(path):
            try:
                self._authenticator.identify(request)
            except EdgeError as error:
                return error
        return None

    def _is_exempt(self, path: bytes) -> bool:
        return path == b"/" or (not self._health_check and is_health(path)) or (not self._metrics and is_metrics(path))

    def render(self, request: EdgeRequest) -> int:
        if self._is_exempt(request.path):
            request.context.exempt = True
            return self.proceed(request)
        record = request.context.record
        request.context.caller = caller = self._authenticator.identify(request)
        record.caller = caller.name
        record.authenticated = request.edge.clock.seconds()
        return self.proceed(request)


class ShowLimits(Wrapper):
    """Has the shared bucket's state put on answers that stop before ``RateLimit``."""

    def __init__(self, inner: IResource, limiter: RateLimiter) -> None:
        super().__init__(inner)
        self._limiter = limiter

    def render(self, request: EdgeRequest) -> int:
        request.context.show_limits = self._show
        return self.proceed(request)

    def _show(self, request: EdgeRequest) -> None:
        _show(request, *self._limiter.state(None))


class Refuse(Wrapper):
    """Answers requests that were found unacceptable while they were parsed."""

    def render(self, request: EdgeRequest) -> int:
        if request.context.refusal is not None:
            raise request.context.refusal
        return self.proceed(request)


class RateLimit(Wrapper):
    """Takes a token for each API request, from the global bucket and the caller's own."""

    def __init__(self, inner: IResource, limiter: RateLimiter) -> None:
        super().__init__(inner)
        self._limiter = limiter

    def render(self, request: EdgeRequest) -> int:
        request.context.show_limits = None
        if request.context.exempt:
            _show(request, *self._limiter.state(None))
        else:
            try:
                shown = self._limiter.take(request.context.caller)
            except RateLimited:
                _show(request, *self._limiter.state(request.context.caller))
                raise
            _show(request, *shown)
        return self.proceed(request)


class LimitConcurrency(Wrapper):
    """At most so many API requests under way, in all and from one address."""

    def __init__(self, inner: IResource, concurrency: Concurrency) -> None:
        super().__init__(inner)
        self._concurrency = concurrency

    def render(self, request: EdgeRequest) -> int:
        if not request.context.exempt:
            self._concurrency.enter(request.context.record.peer)
            request.over.append(self._left)
        return self.proceed(request)

    def _left(self, request: EdgeRequest, lost: bool) -> None:
        self._concurrency.leave(request.context.record.peer)


def _show(request: EdgeRequest, limit: int, remaining: int, reset: bytes) -> None:
    request.lines.append(
        b"X-Ratelimit-Limit-Requests: %d\r\nX-Ratelimit-Remaining-Requests: %d\r\nX-Ratelimit-Reset-Requests: %b\r\n"
        % (limit, remaining, reset)
    )


class EnforceDeadline(Wrapper):
    """Starts the clock of a request; when it runs out, the work under way is cancelled."""

    def __init__(self, inner: IResource, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds
        self._deadlines: Deadlines | None = None

    def render(self, request: EdgeRequest) -> int:
        clock = request.edge.clock
        deadlines = self._deadlines
        if deadlines is None:
            deadlines = self._deadlines = Deadlines(clock, RequestContext.expire)
        head = request.context.head
        wished = head.timeout
        if wished is None:
            wished = head.timeout = _wished(request)
        seconds = self._seconds
        deadline = request.context.deadline = Deadline(clock, wished if 0 < wished < seconds else seconds)
        request.context.deadlines = deadlines
        deadlines.set(request.context, deadline.at)
        request.over.append(_ended)
        return self.proceed(request)


def _ended(request: EdgeRequest, lost: bool) -> None:
    if request.context.deadlines is not None:
        request.context.deadlines.drop(request.context)


def _wished(request: EdgeRequest) -> float:
    """The client's own deadline, ``x-llmedge-timeout`` in seconds; 0 where it has none.

    :raises ValidationError: it is not a number above 0.
    """
    given = request.getHeader(b"x-llmedge-timeout")
    if given is None:
        return 0.0
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e9:
        raise ValidationError("The header x-llmedge-timeout must be a number of seconds.", param="x-llmedge-timeout")
    return seconds


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
