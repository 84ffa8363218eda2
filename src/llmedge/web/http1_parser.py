"""HTTP/1.1 on llhttp (httptools), without I/O and without time: bytes in, heads and bodies out.

One request is parsed at a time. The end of a head is found first, llhttp then judges exactly those bytes, and the body
is counted here, so that no byte behind a request is looked at before that request is answered. Chunked bodies go
through twisted.web's decoder, which is strict and says where a body ends; httptools does not.

Refused, as :class:`llmedge.errors.ValidationError`, is whatever two parsers could read differently: both or several
lengths, codings other than ``chunked``, bare LF or CR, folded lines, space before the colon, NUL, bad chunk sizes.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import httptools
from twisted.web._abnf import _istoken
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError
from twisted.web.http_headers import _nameEncoder

from llmedge.config.sections.server import Server
from llmedge.web.edge import Edge
from llmedge.web.head import RequestHead, Table
from llmedge.web.refusals import head_too_large, not_http

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT"}
"""Those that are fed to llhttp as they are."""
TRAILER = re.compile(
    rb"(?i:(?!content-length:|transfer-encoding:))[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
)
"""One line of trailers: a header, but none that frames."""
_CHUNKED = [b"chunked"]


class HeadParser:
    """One head of an HTTP/1.1 request, as llhttp sees it. It writes into the table behind twisted's ``Headers``: the
    names go through twisted's own canonical form, and the values need no cleaning, llhttp has refused what would be
    cleaned away. ``addRawHeader`` takes four times as long."""

    __slots__ = ("complete", "count", "fed", "parser", "table", "target")

    def __init__(self) -> None:
        self.target = b""
        self.table: Table = {}
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

        :raises ValidationError: it is not plain where the body ends (RFC 9112 section 6.3).
        """
        lengths = self.table.get(b"Content-Length")
        codings = self.table.get(b"Transfer-Encoding")
        if codings is not None:
            if lengths is not None or version != b"HTTP/1.1" or [coding.lower() for coding in codings] != _CHUNKED:
                raise not_http()
            return None
        if lengths is None:
            return 0
        if len(lengths) != 1 or not lengths[0].isdigit():
            raise not_http()
        return int(lengths[0])


class Body(Enum):
    """How far the body of the request at hand is."""

    COMING = "coming"
    COMPLETE = "complete"
    BROKEN = "broken"  # what follows cannot be read


class RequestParser:
    """The requests of one connection, one after another: :meth:`next_head`, then, while :attr:`body` is coming,
    :meth:`next_data`.

    :param edge: has the heads that are known, and the limits.
    :ivar buffer: what came and was not taken; whoever has more adds to it.
    """

    __slots__ = ("_chunks", "_edge", "_forgave", "_left", "_parsing", "_pieces", "body", "buffer")

    def __init__(self, edge: Edge) -> None:
        self.buffer = b""
        self.body = Body.COMPLETE
        self._edge = edge
        self._parsing: HeadParser | None = None
        self._forgave = False  # an empty line before the request to come
        self._left = 0  # bytes of the body still to come
        self._chunks: Any = None  # or the decoder that knows
        self._pieces: list[bytes] = []  # what it decoded

    def stop(self) -> None:
        """Nothing more is read."""
        self.buffer = b""
        self._parsing = self._chunks = None

    def next_head(self) -> tuple[RequestHead, Table, int | None, bytes | None] | None:
        """The next request, once its head is complete: the head, its headers, the length of its body (``None`` for a
        chunked one), and, where the head was known and all of it is here, the body.

        :raises ValidationError: it is not a request that everybody reads alike, or too large a head.
        """
        data, limits = self.buffer, self._edge.limits
        if self._parsing is None:
            end = data.find(b"\r\n\r\n") + 4
            if end > 3 and (known := self._edge.heads.find(data, end, limits)) is not None:
                self._forgave = False
                head, told = known
                if not told:
                    self.buffer = data[end:]
                    return head, head.table, 0, b""
                length = int(told)
                table = head.table | {b"Content-Length": [told]}
                if length <= len(data) - end and length <= limits.max_request_size:
                    self.buffer = data[end + length :]
                    return head, table, length, data[end : end + length]
                self.buffer = data[end:]
                self._begin_body(length)
                return head, table, length, None
            if (parsing := self._begin_head(limits)) is None:
                return None
            self._parsing = parsing
        return self._end_head(self._parsing, limits)

    def _begin_head(self, limits: Server) -> HeadParser | None:
        """A parser for the head to come, once its method is here."""
        data = self.buffer
        if data == b"\r":
            return None
        if data.startswith(b"\r\n") and not self._forgave:  # one empty line is (RFC 9112 section 2.2)
            self._forgave = True
            data = self.buffer = data[2:]
            if data in (b"", b"\r"):
                return None
        if data.startswith((b"\r", b"\n")):
            raise not_http()
        space = data.find(b" ")
        method = data[:space] if space >= 0 else data
        if method not in METHODS and not _istoken(method):
            raise not_http()
        if space < 0:
            if len(data) > limits.max_header_size:
                raise head_too_large(limits)
            return None
        head = HeadParser()
        if method not in METHODS:  # llhttp knows some more and refuses the rest; Klein says 405
            head.feed(b"POST")
            head.fed = space
        return head

    def _end_head(self, head: HeadParser, limits: Server) -> tuple[RequestHead, Table, int | None, None] | None:
        data = self.buffer
        end = data.find(b"\r\n\r\n", max(head.fed - 3, 0)) + 4
        if end == 3 or end > limits.max_header_size:
            if len(data) > limits.max_header_size:
                raise head_too_large(limits)
            if not head.feed(data[head.fed :]):
                raise not_http(data.partition(b"\r\n")[0])
            head.fed = len(data)
            return None
        rest = data[end:]
        valid = head.feed(data[head.fed : end] if head.fed or rest else data)
        line = data[: data.find(b"\r\n")]
        method, version = line[: line.find(b" ")], line[-8:]
        # llhttp also takes versions that are none, more than one space, and a first line that ends in a bare LF.
        valid = valid and head.complete and version in (b"HTTP/1.1", b"HTTP/1.0")
        valid = valid and line == b"%b %b %b" % (method, head.target, version)
        valid = valid and data.count(b"\r", 0, end) == data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
        if head.count > limits.max_headers:
            raise head_too_large(limits)
        if not valid:
            raise not_http(line)
        length = head.length(version)
        self.buffer = rest
        self._forgave = False
        self._parsing = head.parser = None  # the parser knows the head: left alone, they would be the collector's work
        found = RequestHead(method, head.target, version, head.table)
        self._edge.heads.add(data[:end] if rest else data, found)
        if length != 0:
            self._begin_body(length)
        return found, head.table, length, None

    def broken_head(self) -> RequestHead | None:
        """What is known of a head that was refused, if its first line is."""
        parsing = self._parsing
        line, found, _ = self.buffer.partition(b"\r\n")
        if parsing is None or not parsing.target or not found or line.count(b" ") != 2:
            return None
        # Whatever its version: it is answered in ours.
        return RequestHead(line.partition(b" ")[0], parsing.target, b"HTTP/1.1", parsing.table)

    # Bodies.

    def _begin_body(self, length: int | None) -> None:
        self.body = Body.COMING
        if length is None:
            self._chunks = _ChunkedTransferDecoder(self._pieces.append, self._end_chunks)
        else:
            self._left = length

    @property
    def announced(self) -> int:
        """Bytes that are still to come of the chunk at hand."""
        chunks = self._chunks
        return chunks.length if chunks is not None and chunks.state == "BODY" else 0

    def next_data(self) -> bytes:
        """What there is of the body, perhaps nothing."""
        data, self.buffer = self.buffer, b""
        if self._chunks is None:
            left = self._left
            if len(data) < left:
                self._left -= len(data)
                return data
            self.body = Body.COMPLETE
            self.buffer = data[left:]
            return data[:left]
        try:
            self._chunks.dataReceived(data)
        except _MalformedChunkedDataError:
            self.body = Body.BROKEN
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def _end_chunks(self, rest: bytes) -> None:
        # The decoder takes any line for a trailer, also one with a bare LF that others take for the end, or with
        # framing in it.
        if not all(TRAILER.fullmatch(line) for line in self._chunks._trailerHeaders):
            raise _MalformedChunkedDataError
        self.body = Body.COMPLETE
        self._chunks = None
        self.buffer = rest
