"""gzip, br and zstd (RFC 9110 section 8.4.1), decided when an answer begins and its type and size are known."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable
from typing import Any

from twisted.web.resource import IResource

from llmedge.config import Settings
from llmedge.web.layer import Layer, WebDeps

MINIMUM = 1024
"""Bytes below which compressing costs more than it saves."""
MAXIMUM = 262144
"""Bytes above which compressing in one go would hold up everybody else (level 1 does some 100 MB/s)."""


def _gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


CODINGS: dict[bytes, Callable[[bytes], bytes]] = {}
"""What this installation can do (extra ``compress`` for the first two), best first."""
if importlib.util.find_spec("zstandard"):
    import zstandard

    CODINGS[b"zstd"] = lambda data: zstandard.ZstdCompressor(level=3).compress(data)
if importlib.util.find_spec("brotli"):
    import brotli

    CODINGS[b"br"] = lambda data: bytes(brotli.compress(data, quality=3))
CODINGS[b"gzip"] = _gzip

_VARY = [b"Accept-Encoding"]
_TYPES = (b"application/json", b"text/plain", b"text/html")


class Compress(Layer):
    """Outermost, so that it has to do with every answer. What is written in pieces (event streams) is left alone."""

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__(inner, settings, deps)
        self.render: Any = self.proceed

    def pack(self, request: Any, data: bytes) -> bytes:
        """``data``, the first or only piece of an answer whose head is not out yet, as it is to be sent."""
        headers = request.responseHeaders._rawHeaders  # what is ours needs no cleaning
        content_type = headers.get(b"Content-Type")
        if content_type is None or not content_type[0].startswith(_TYPES):
            return data
        before = headers.get(b"Vary")
        headers[b"Vary"] = _VARY if before is None else [*before, b"Accept-Encoding"]
        if b"Accept-Encoding" not in request.requestHeaders._rawHeaders:
            return data
        length = headers.get(b"Content-Length")
        if length != [b"%d" % len(data)] or not MINIMUM <= len(data) <= MAXIMUM:
            return data
        coding = preferred(request)
        if coding is None or b"Content-Encoding" in headers:
            return data
        packed = CODINGS[coding](data)
        headers[b"Content-Encoding"] = [coding]
        headers[b"Content-Length"] = [b"%d" % len(packed)]
        return packed


def preferred(request: Any) -> bytes | None:
    """The coding of ours that ``Accept-Encoding`` (RFC 9110 section 12.5.3) gives the most weight, ``None`` for none.

    Among equals the quickest of those that pack well goes first.
    """
    weights: dict[bytes, float] = {}
    for line in request.requestHeaders.getRawHeaders(b"accept-encoding", []):
        for item in line.split(b","):
            name, _, parameter = item.partition(b";")
            key, _, weight = parameter.partition(b"=")
            try:
                weights[name.strip().lower()] = float(weight) if key.strip().lower() == b"q" else 1.0
            except ValueError:
                weights[name.strip().lower()] = 0.0
    anything = weights.get(b"*", 0.0)
    best, most = None, 0.0
    for coding in CODINGS:
        weight = weights.get(coding, anything)
        if weight > most:
            best, most = coding, weight
    return best
