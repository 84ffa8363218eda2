"""One head of an HTTP/1.1 request, as llhttp sees it."""

from __future__ import annotations

import re
from typing import Any

import httptools
from twisted.web.http_headers import _nameEncoder

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT"}
"""Those that are fed to llhttp as they are."""
TRAILER = re.compile(
    rb"(?i:(?!content-length:|transfer-encoding:))[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
)
"""One line of trailers: a header, but none that frames."""
_CHUNKED = [b"chunked"]


class Head:
    """What llhttp says of one head. It writes into the table behind twisted's ``Headers``: the names go through
    twisted's own canonical form, and the values need no cleaning, llhttp has refused what would be cleaned away.
    ``addRawHeader`` takes four times as long."""

    __slots__ = ("complete", "count", "fed", "parser", "table", "target")

    def __init__(self) -> None:
        self.target = b""
        self.table: dict[bytes, list[bytes]] = {}
        self.count = 0
        self.complete = False
        self.fed = 0
        self.parser: Any = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bool:
        """:returns: whether llhttp has no objection."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # nothing of ours: the head is complete, what follows is the request's
            pass
        except httptools.HttpParserError:
            return False
        return True

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        name = _nameEncoder.encode(name)
        value = value.rstrip(b" \t")
        values = self.table.get(name)
        if values is None:
            self.table[name] = [value]
        else:
            values.append(value)

    def on_headers_complete(self) -> None:
        self.complete = True

    def length(self, version: bytes) -> int | None:
        """Bytes of the body, ``None`` for a chunked one.

        :raises ValueError: it is not plain where the body ends (RFC 9112 section 6.3).
        """
        lengths = self.table.get(b"Content-Length")
        codings = self.table.get(b"Transfer-Encoding")
        if codings is not None:
            if lengths is not None or version != b"HTTP/1.1" or [coding.lower() for coding in codings] != _CHUNKED:
                raise ValueError
            return None
        if lengths is None:
            return 0
        if len(lengths) != 1 or not lengths[0].isdigit():
            raise ValueError
        return int(lengths[0])
