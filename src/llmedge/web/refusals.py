"""What is said to bytes that become no request, and for how long whoever sent them is heard out."""

from __future__ import annotations

import re

import msgspec

from llmedge.config.sections.server import Server
from llmedge.errors import EdgeError, ValidationError

_REASON = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    505: "HTTP Version Not Supported",
}
_OTHER_VERSION = re.compile(rb"[^ ]+ [^ ]+ HTTP/[02-9]\.[0-9]")
LINGER = 5.0
"""Seconds that a connection we are ending may take to send what is written."""


def plain_refusal(error: EdgeError) -> bytes:
    """The whole answer to something that is no request, not even in its first line."""
    body = msgspec.json.encode(error.body())
    head = f"HTTP/1.1 {error.status} {_REASON[error.status]}\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\nconnection: close\r\nserver: llmedge\r\n\r\n"
    return head.encode() + body


def not_http(line: bytes = b"") -> ValidationError:
    """:param line: the request's first line, where there is one: of another major version it may be quite valid."""
    if _OTHER_VERSION.fullmatch(line):
        return ValidationError("HTTP/1.1 is spoken here, and HTTP/2 after its preface.", status=505)
    return ValidationError("The request is not valid HTTP/1.1.")


def head_too_large(limits: Server) -> ValidationError:
    return ValidationError(
        f"The request's head is over {limits.max_header_size} bytes or {limits.max_headers} headers "
        "(server.max_header_size, max_headers).",
        status=431,
    )
