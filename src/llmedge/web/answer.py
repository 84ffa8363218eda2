"""Answers that are not streams: JSON bodies and errors. The one place an EdgeError becomes HTTP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from llmedge.errors import AuthError, EdgeError, MethodNotAllowed, RateLimited

if TYPE_CHECKING:
    from llmedge.web.site import EdgeRequest

_encode = msgspec.json.encode
SLICE = 65536
"""Bytes written at a time: bounds what is compressed in one turn of the reactor."""


def send_json(request: EdgeRequest, status: int, document: Any) -> None:
    """Answer with ``document`` as JSON."""
    send_body(request, status, _encode(document))


def send_body(request: EdgeRequest, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    """Answer with ``body``. Does nothing if the client has gone or the answer is out."""
    if request._disconnected or request.finished:
        return
    headers = request.responseHeaders
    request.setResponseCode(status)
    headers.setRawHeaders(b"content-type", [content_type])
    headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
    request.write(body)
    request.finish()


def send_error(request: EdgeRequest, error: EdgeError) -> None:
    """Answer with ``error``; if an answer has already begun, close it visibly unfinished instead."""
    record = getattr(request, "record", None)
    if record is not None:
        record.fail(error)
    if request.startedWriting:
        request.abort()
        return
    headers = request.responseHeaders
    if error.retry_after is not None:
        headers.setRawHeaders(b"retry-after", [b"%d" % max(1, math.ceil(error.retry_after))])
    if isinstance(error, AuthError):
        headers.setRawHeaders(b"www-authenticate", [b'Bearer realm="llmedge"'])  # RFC 9110 section 11.6.1
    elif isinstance(error, MethodNotAllowed):
        headers.setRawHeaders(b"allow", [", ".join(error.allowed).encode()])
    elif isinstance(error, RateLimited) and record is not None:
        record.refused_by = error.scope
    send_body(request, error.status, _encode(error.body()))
