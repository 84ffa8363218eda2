"""The layers that bound what a request takes: tokens of the minute, a place among those under way, time."""

from __future__ import annotations

import re
from collections.abc import Awaitable

from twisted.web.resource import IResource

from llmedge.config import Settings
from llmedge.deadlines import Deadlines
from llmedge.errors import DeadlineExceeded, EdgeError, Overloaded, ValidationError
from llmedge.model import Deadline
from llmedge.state.interfaces import Level
from llmedge.state.rates import Taken
from llmedge.web.answer import duration
from llmedge.web.context import RequestContext
from llmedge.web.layer import Layer, WebDeps
from llmedge.web.request import EdgeRequest

LEAST_TIMEOUT = 0.001
"""Seconds; less than that no timer can keep."""
_SECONDS = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")  # float() also takes 1_0, inf and blanks
LIMITS = b"\nX-Ratelimit-"
"""What is among the header lines of an answer that :class:`RateLimit` has seen."""


class RateLimit(Layer):
    """Takes a token for each API request, from the global bucket and the caller's own."""

    def render(self, request: EdgeRequest) -> int:
        if request.context.exempt:
            self.show_shared(request)
            return self.proceed(request)
        return self._taken(request, self.deps.limiter.take(request.context.caller))

    def show_shared(self, request: EdgeRequest) -> None:
        """For answers that stop before this layer."""
        show_level(request, self.deps.limiter.level())

    def _taken(self, request: EdgeRequest, taken: Taken | Awaitable[Taken]) -> int:
        if not isinstance(taken, tuple):
            return self.later(request, taken, self._taken)
        show_level(request, taken[0])
        if taken[1] is not None:
            try:
                raise taken[1]
            finally:
                del taken  # the refusal knows this frame, which must not know the refusal
        return self.proceed(request)


class LimitConcurrency(Layer):
    """At most so many API requests under way, in all and from one address."""

    def render(self, request: EdgeRequest) -> int:
        if not request.context.exempt:
            self._enter(request.context.record.peer)
            request.over.append(self._left)
        return self.proceed(request)

    def _enter(self, address: str) -> None:
        """:raises Overloaded: there are too many."""
        under_way = self.deps.under_way
        if under_way.admitted >= under_way.total:
            raise Overloaded("The gateway has as many requests under way as it takes (server.max_requests).")
        count = under_way.by_address.get(address, 0)
        if under_way.each and count >= under_way.each:
            raise Overloaded("Your address has as many requests under way as it may (server.max_requests_per_address).")
        under_way.admitted += 1
        under_way.by_address[address] = count + 1

    def _left(self, request: EdgeRequest, lost: bool) -> None:
        under_way, address = self.deps.under_way, request.context.record.peer
        under_way.admitted -= 1
        count = under_way.by_address.pop(address) - 1
        if count:
            under_way.by_address[address] = count


class EnforceDeadline(Layer):
    """Starts the clock of a request, where none has that waited; when it runs out, the work under way is cancelled."""

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__(inner, settings, deps)
        self._seconds = settings.server.timeout
        self._most = max(settings.server.max_timeout, settings.server.timeout)
        self._deadlines = Deadlines(deps.reactor, RequestContext.expire)

    def begin_waiting(self, request: EdgeRequest) -> None:
        if request.context.deadlines is None:
            self._begin(request, self._seconds)

    def render(self, request: EdgeRequest) -> int:
        context = request.context
        wished = context.head.timeout
        if wished is None:
            wished = context.head.timeout = _wished(request)
        if context.deadlines is None:
            self._begin(request, self._seconds if not wished else min(wished, self._most))
        elif wished:  # it has begun, while a layer further out waited
            context.allow(min(wished, self._most))
        return self.proceed(request)

    def _begin(self, request: EdgeRequest, seconds: float) -> None:
        context, clock = request.context, request.edge.clock
        at = clock.seconds() + seconds
        context.deadline, context.deadlines = Deadline(clock, seconds, at), self._deadlines
        self._deadlines.set(context, at)
        request.over.append(_ended)


def show_level(request: EdgeRequest, level: Level) -> None:
    """Say how near a bucket is to refusing, in OpenAI's headers."""
    request.lines.append(
        b"X-Ratelimit-Limit-Requests: %d\r\nX-Ratelimit-Remaining-Requests: %d\r\nX-Ratelimit-Reset-Requests: %b\r\n"
        % (level.limit, level.remaining, duration(level.reset))
    )


def deadline_exceeded(request: EdgeRequest) -> EdgeError:
    """What the client is told once the deadline has passed, or it was cut off; the record says ``timeout``."""
    if (cut_off := request.context.cut_off) is not None:
        return cut_off
    error = DeadlineExceeded(f"No complete answer within {request.context.deadline.seconds:g} s.")
    request.context.record.fail(error, "timeout")
    return error


def _ended(request: EdgeRequest, lost: bool) -> None:
    context = request.context
    assert context.deadlines is not None
    context.deadlines.drop(context)


_PATIENCE = (b"x-stainless-timeout", b"x-stainless-read-timeout", b"x-server-timeout")
"""How SDKs say how many seconds they wait: OpenAI's and Anthropic's in Node, both in Python, Google's
(``X-Server-Timeout``, googleapis/python-genai)."""


def _wished(request: EdgeRequest) -> float:
    """The client's own deadline in seconds, 0 where it has none: ``x-llmedge-timeout``, else what its SDK says.

    :raises ValidationError: ours is not a number above 0. What an SDK says, its user may know nothing of.
    """
    if (given := request.getHeader(b"x-llmedge-timeout")) is not None:
        if seconds := _seconds(given):
            return seconds
        raise ValidationError("The header x-llmedge-timeout must be a number of seconds.", param="x-llmedge-timeout")
    return next((seconds for name in _PATIENCE if (seconds := _seconds(request.getHeader(name)))), 0.0)


def _seconds(value: bytes | None) -> float:
    """0 for what is no time."""
    seconds = float(value) if value is not None and _SECONDS.fullmatch(value) else 0.0
    return seconds if seconds >= LEAST_TIMEOUT else 0.0
