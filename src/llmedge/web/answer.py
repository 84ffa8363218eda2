"""Answers that are not streams: JSON bodies and errors. The one place an EdgeError becomes HTTP."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from llmedge.dialects.registry import CHAT, DIALECTS
from llmedge.errors import AuthError, EdgeError, MethodNotAllowed
from llmedge.model import Answer
from llmedge.money import USD
from llmedge.record import Attempt, Record
from llmedge.web.paths import dialect_of
from llmedge.web.request import EdgeRequest

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}  # twisted.web does not know 429
_encode = msgspec.json.encode
_SHOULD_RETRY = {True: b"X-Should-Retry: true\r\n", False: b"X-Should-Retry: false\r\n"}
_COST = b"X-Llmedge-Cost-Usd: %d.%012d"
"""As :func:`llmedge.money.text` has it, whose zeros at the end are left out."""
_AUTHENTICATE = b'WWW-Authenticate: Bearer realm="llmedge"\r\n'
"""RFC 9110 section 11.6.1."""
SLICE = 65536
"""Bytes of a long answer written at a time, at the pace of the client."""


def show_call(request: EdgeRequest) -> None:
    """What became of the call, as headers of its answer."""
    record = request.context.record
    routing, accounting = record.routing, record.accounting
    cost = None if accounting.unpriced else accounting.cost
    if (by := routing.answered_by) is not None:
        begun = record.first_event
        now = request.edge.clock.seconds() if begun is None else begun
        overhead = (now - record.received - routing.waited) * 1000
        target = by.target
        if by.shown is not None or len(routing.attempts) > 1:
            _show_attempts(request, by)
        request.lines.append(
            b"%bX-Llmedge-Attempts: %d\r\nX-Llmedge-Overhead-Ms: %.3f\r\n"
            % (_target_lines(target.provider, target.model), len(routing.attempts), overhead if overhead > 0 else 0)
        )
    if cost is not None and not record.stream:
        request.lines.append((_COST % divmod(cost, USD)).rstrip(b"0").rstrip(b".") + b"\r\n")
    if record.facts or record.tokens_level is not None:
        _show_said(request, record)


def _show_said(request: EdgeRequest, record: Record) -> None:
    """What the stages have said of it, and what is left of the minute's tokens."""
    if (level := record.tokens_level) is not None:
        request.lines.append(
            b"X-Ratelimit-Limit-Tokens: %d\r\nX-Ratelimit-Remaining-Tokens: %d\r\nX-Ratelimit-Reset-Tokens: %b\r\n"
            % (level.limit, level.remaining, duration(level.reset))
        )
    for fact, value in record.facts.items():
        if type(value) is int and fact.header:
            request.lines.append(b"%b: %d\r\n" % (_name(fact.header), value))
        elif not fact.name:
            request.lines.append(value)
        elif fact.header:
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            request.lines.append(b"%b: %b\r\n" % (_name(fact.header), _visible(shown, 1024)))


def duration(seconds: float) -> bytes:
    """OpenAI's form of a duration: ``12ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".").encode() + b"s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm%ds" % (minutes, rest)


@lru_cache(1024)
def _name(header: str) -> bytes:
    """As names are written in HTTP/1.1."""
    return header.title().encode()


_TAKEN = frozenset(
    b"retry-after x-should-retry x-request-id server date cache-control x-accel-buffering x-content-type-options"
    b" x-ratelimit-limit-requests x-ratelimit-remaining-requests x-ratelimit-reset-requests".split()
)
"""Headers that answers of the gateway have by themselves."""


def shown_as(name: bytes) -> bytes:
    """What a header of a vendor's is called in our answers: one that has a meaning in them gets a name of its own."""
    return b"x-llmedge-vendor-" + name if name in _TAKEN else name


def _show_attempts(request: EdgeRequest, by: Attempt) -> None:
    """What the operator shows of ``by``, the attempt that decided, and of those in vain."""
    headers = request.responseHeaders
    for name, value in (by.shown or {}).items():
        headers.setRawHeaders(shown_as(name), [_visible(value, 1024)])
    if request.edge.limits.show_causes:
        attempts = request.context.record.routing.attempts
        if causes := ", ".join(f"{each.target}={each.cause}" for each in attempts if each.cause):
            headers.setRawHeaders(b"x-llmedge-causes", [_visible(causes, 1024)])


@lru_cache(1024)
def _target_lines(provider: str, model: str) -> bytes:
    return b"X-Llmedge-Provider: %b\r\nX-Llmedge-Model: %b\r\n" % (provider.encode(), _visible(model))


@lru_cache(1024)
def _visible(text: str, longest: int = 256) -> bytes:
    """A name as a header's value."""
    return re.sub(rb"[^\x20-\x7e]", b"?", text.encode("ascii", "replace"))[:longest]


def send_json(request: EdgeRequest, status: int, document: Any) -> None:
    """Answer with ``document`` as JSON."""
    send_body(request, status, _encode(document))


def send_body(request: EdgeRequest, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    """Answer with ``body``. Does nothing if the client has gone or the answer is out."""
    if request._disconnected or request.finished:
        return
    headers = request.responseHeaders._rawHeaders  # these values need no cleaning
    request.code, request.code_message = status, _PHRASES.get(status, b"Unknown Status")
    headers[b"Content-Type"] = [content_type]
    headers[b"Content-Length"] = [b"%d" % len(body)]
    request.finish(body)


async def send_answer(request: EdgeRequest, answer: Answer) -> None:
    """Answer with an ``answer`` of any size. A long one goes out as the client takes it."""
    body = answer.body
    if len(body) <= SLICE or request.method == b"HEAD":
        send_body(request, 200, body, answer.content_type)
        return
    headers = request.responseHeaders
    headers.setRawHeaders(b"content-type", [answer.content_type])
    headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
    flow = request.backpressure()
    flow.start()
    try:
        for start in range(0, len(body), SLICE):
            request.write(body[start : start + SLICE])
            if flow.paused and not request.keep(len(body) + request.size):
                request.abort_now()  # the place is for those who read
                return
            await flow.ready()
    finally:
        flow.stop()
    request.finish()


def send_error(request: EdgeRequest, error: EdgeError) -> None:
    """Answer with ``error``, in the client's dialect; if an answer has begun, close it visibly unfinished instead."""
    request.context.fail(error)
    if request.startedWriting:
        request.abort()
        return
    headers = request.responseHeaders
    if error.should_retry is not None:
        request.lines.append(_SHOULD_RETRY[error.should_retry])
    if error.retry_after is not None:
        headers.setRawHeaders(b"retry-after", [b"%d" % max(1, math.ceil(error.retry_after))])
    if isinstance(error, AuthError):
        request.lines.append(_AUTHENTICATE)
    elif isinstance(error, MethodNotAllowed):
        headers.setRawHeaders(b"allow", [", ".join(error.allowed).encode()])
    elif (by := request.context.deciding_attempt) is not None:
        _show_attempts(request, by)
    if hasattr(request.context, "record"):  # else it was refused at once
        _show_said(request, request.context.record)
    send_body(request, error.status, DIALECTS.get(dialect_of(request), CHAT).error_body(error))
