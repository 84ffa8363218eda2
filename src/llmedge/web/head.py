"""What the head of a request says, and llhttp's part in finding out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httptools
from twisted.web.http_headers import _nameEncoder

from llmedge.operations import Endpoint
from llmedge.web.paths import endpoint_of, is_health, is_metrics, operation_of, route_of, streams_body

if TYPE_CHECKING:
    from llmedge.call import RoutingHints
    from llmedge.config.settings import Server
    from llmedge.model import Caller

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT"}
"""Those that are fed to llhttp as they are."""
TRAILER = re.compile(
    rb"(?i:(?!content-length:|transfer-encoding:))[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
)
"""One line of trailers: a header, but none that frames."""
_CHUNKED = [b"chunked"]
_NAME, _LOWER = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_KNOWN = 512
_LONGEST = 4096
"""Heads that are kept at most, and the bytes of the longest that is."""
_SPECIAL = (b"Transfer-Encoding", b"Expect", b"Upgrade")


class Head:
    """What one head says. Requests whose heads are alike, as those of a client are, share it: whoever finds something
    out that depends on nothing else keeps it here, in a slot of its own.

    :ivar table: the headers as twisted keeps them; ``Content-Length`` is missing where the head is shared.
    :ivar path: of the target, decoded once the head is judged.
    :ivar judged: the limits it was found good by.
    :ivar route: the path's template; ``endpoint`` and ``operation`` what is there, ``probe`` whether that is health or
        metrics.
    :ivar caller: who sent it, as ``caller_by`` (an Authenticator) found out from its key.
    :ivar timeout: the client's own deadline, 0 for none; ``None``: not looked for yet, as for what follows.
    :ivar is_json: it announces a plain JSON body.
    """

    __slots__ = (
        "caller",
        "caller_by",
        "endpoint",
        "hints",
        "is_json",
        "judged",
        "method",
        "operation",
        "path",
        "probe",
        "route",
        "table",
        "target",
        "timeout",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, version: bytes, table: dict[bytes, list[bytes]]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.table = table
        self.path = target
        self.judged: Server | None = None
        self.route = ""
        self.operation = ""
        self.endpoint: Endpoint | None = None
        self.probe = False
        self.caller: Caller | None = None
        self.caller_by: Any = None
        self.timeout: float | None = None
        self.is_json: bool | None = None
        self.hints: RoutingHints | None = None

    def place(self, method: bytes, path: bytes) -> None:
        """Find out what is at ``path``."""
        self.route = route_of(path)
        self.endpoint = endpoint_of(path, method)
        self.operation = operation_of(method, path)
        self.probe = is_health(path) or is_metrics(path)


def header_in(table: dict[bytes, list[bytes]], name: str) -> str | None:
    """The last value of a header in ``table``."""
    values = table.get(_nameEncoder.encode(name.encode()))
    return values[-1].decode("latin-1") if values else None


class KnownHeads:
    """The heads of a site that were judged good, by their bytes without the length of the body: a client's are alike,
    and what llhttp and the layers have to say of them need not be found out again. The keys in them are in memory as
    long as they are kept: until others take their place, or the configuration is read again."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def find(self, data: bytes, end: int, limits: Server) -> tuple[Head, bytes] | None:
        """The head that ends at ``end`` of ``data``, and its ``Content-Length``, empty where it has none."""
        key, length = _without_length(data, end)
        head = self._heads.get(key)
        if head is None or head.judged is not limits:
            return None
        return head, length

    def add(self, data: bytes, head: Head) -> None:
        """Keep ``head``, which llhttp made of ``data``, if it says nothing out of the ordinary about the body or the
        connection. It is found again once it was judged good."""
        table = head.table
        if len(data) > _LONGEST or head.version != b"HTTP/1.1" or not head.target.startswith(b"/"):
            return
        if any(name in table for name in _SPECIAL) or b"close" in b",".join(table.get(b"Connection", ())).lower():
            return
        if streams_body(head.target.partition(b"?")[0]):
            return
        key, length = _without_length(data, len(data))
        if length:
            head.table = {name: values for name, values in table.items() if name != b"Content-Length"}
        elif b"Content-Length" in table:
            return  # written in a way of its own
        if len(self._heads) >= _KNOWN:
            del self._heads[next(iter(self._heads))]  # the oldest
        self._heads[key] = head


def _without_length(data: bytes, end: int) -> tuple[bytes, bytes]:
    """The head that ends at ``end`` without the digits of its ``Content-Length``, and these; ``b""`` where it has none,
    or one in no usual form."""
    start = data.find(_NAME, 0, end)
    if start < 0:
        start = data.find(_LOWER, 0, end)
    if start >= 0:
        start += len(_NAME)
        stop = data.find(b"\r", start, end)
        length = data[start:stop]
        if len(length) <= 9 and length.isdigit():
            return data[:start] + data[stop:end], length
    return data[:end], b""


class HeadParser:
    """One head of an HTTP/1.1 request, as llhttp sees it. It writes into the table behind twisted's ``Headers``: the
    names go through twisted's own canonical form, and the values need no cleaning, llhttp has refused what would be
    cleaned away. ``addRawHeader`` takes four times as long."""

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
