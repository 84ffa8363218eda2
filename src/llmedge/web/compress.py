"""gzip for answers (RFC 9110 section 8.4.1.3), decided when the answer begins and its type and size are known."""

from __future__ import annotations

import zlib
from typing import Any

from twisted.web.iweb import _IRequestEncoder, _IRequestEncoderFactory
from twisted.web.resource import EncodingResourceWrapper, IResource
from zope.interface import implementer

MINIMUM = 1024
"""Bytes below which compressing costs more than it saves."""
MAXIMUM = 262144
"""Bytes above which compressing in one go would hold up everybody else (level 1 does some 100 MB/s)."""

_TYPES = (b"application/json", b"text/plain", b"text/html")


class Compress(EncodingResourceWrapper):
    """Outermost, since only the resource that the site found is asked for an encoder."""

    isLeaf = True

    def __init__(self, inner: IResource) -> None:
        super().__init__(inner, [GzipFactory()])  # type: ignore[no-untyped-call]  # twisted has no types here

    def render(self, request: Any) -> Any:
        return self.original.render(request)


@implementer(_IRequestEncoderFactory)
class GzipFactory:
    def encoderForRequest(self, request: Any) -> Any:
        return GzipAnswer(request)


@implementer(_IRequestEncoder)
class GzipAnswer:
    """Compresses an answer that is written whole; whatever is written in pieces (event streams) is left alone."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._decided = False

    def encode(self, data: bytes) -> bytes:
        if self._decided:
            return data
        self._decided = True
        headers = self._request.responseHeaders
        content_type = headers.getRawHeaders(b"content-type", [b""])[0]
        if not content_type.startswith(_TYPES):
            return data
        headers.addRawHeader(b"vary", b"Accept-Encoding")
        length = headers.getRawHeaders(b"content-length", [b""])[0]
        if length != b"%d" % len(data) or not MINIMUM <= len(data) <= MAXIMUM:
            return data
        if headers.hasHeader(b"content-encoding") or not accepts(self._request, b"gzip"):
            return data
        compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        packed = compressor.compress(data) + compressor.flush()
        headers.setRawHeaders(b"content-encoding", [b"gzip"])
        headers.setRawHeaders(b"content-length", [b"%d" % len(packed)])
        return packed

    def finish(self) -> bytes:
        return b""


def accepts(request: Any, coding: bytes) -> bool:
    """Whether ``Accept-Encoding`` (RFC 9110 section 12.5.3) names ``coding``, or ``*``, with a weight above 0."""
    verdict = False
    for line in request.requestHeaders.getRawHeaders(b"accept-encoding", []):
        for item in line.split(b","):
            name, _, parameter = item.partition(b";")
            name = name.strip().lower()
            if name not in (coding, b"*"):
                continue
            key, _, weight = parameter.partition(b"=")
            try:
                good = key.strip().lower() != b"q" or float(weight) > 0
            except ValueError:
                good = False
            if name == coding:
                return good
            verdict = good
    return verdict
