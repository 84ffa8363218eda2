"""Errors, both directions (platform.claude.com/docs/en/api/errors)."""

from __future__ import annotations

import msgspec

from llmedge.dialects.openai_answer import parse_error
from llmedge.errors import EdgeError, TargetError, VendorFailed, VendorRateLimited, VendorUnavailable

_encode = msgspec.json.Encoder().encode

TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Anthropic's type of a status. Other 4xx are ``invalid_request_error``, other 5xx ``api_error``."""


def body(error: EdgeError) -> bytes:
    """The object an Anthropic client sees, ours inside: ``{"type": "error", "error": {type, message, code, …}}``."""
    kind = TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    out = {
        **error.more,
        "type": kind,
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "details": error.details,
    }
    return _encode({"type": "error", "error": out})


def frame(error: EdgeError) -> bytes:
    """The same as an event of a stream."""
    return b"event: error\ndata: " + body(error) + b"\n\n"


def failure(data: bytes, when: str) -> TargetError:
    """The exception for an error object that came behind a status of 200. :param when: such as ``while answering``."""
    error = parse_error(data)
    message = f"failed {when}: {error.message or 'it gave no reason'}"
    if error.type == "overloaded_error":
        return VendorUnavailable(message)
    if error.type == "rate_limit_error":
        return VendorRateLimited(message)
    return VendorFailed(message)
