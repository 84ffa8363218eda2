"""What the head of a request says, and the heads that were seen before."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.web.http_headers import _nameEncoder

from llmedge.call import Marks, RoutingHints
from llmedge.config.sections.server import Server
from llmedge.model import Caller
from llmedge.operations import Endpoint
from llmedge.web.paths import KEYS, endpoint_of, path_of, route_of, streams_body

Table = dict[bytes, list[bytes]]
"""Headers as twisted keeps them."""
_NAME, _LOWER = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_KNOWN = 512
_LONGEST = 4096
"""Heads that are kept at most, and the bytes of the longest that is."""
_SPECIAL = (b"Transfer-Encoding", b"Expect", b"Upgrade")


@attrs.define(eq=False, repr=False)  # it may hold a key
class RequestHead:
    """What one head says. Requests whose heads are alike, as those of a client are, share it: whoever finds something
    out that depends on nothing else keeps it here, in a slot of its own.

    :ivar table: the headers; ``Content-Length`` is missing where the head is shared.
    :ivar path: of the target, decoded once the head is checked.
    :ivar checked_with: the limits it was found good by.
    :ivar route: the path's template; ``endpoint`` and ``operation`` what is there, ``deployment`` the model that it
        names though ours has none, ``probe`` whether it is health or metrics.
    :ivar caller: who sent it, as ``caller_by`` (an IdentifierChain) found out from its key.
    :ivar timeout: the client's own deadline, 0 for none; ``None``: not looked for yet, as for what follows.
    :ivar is_json: it announces a plain JSON body.
    """

    method: bytes
    target: bytes
    version: bytes
    table: Table
    path: bytes = attrs.Factory(lambda self: self.target, takes_self=True)
    checked_with: Server | None = None
    route: str = ""
    operation: str = ""
    endpoint: Endpoint | None = None
    deployment: str = ""
    probe: bool = False
    caller: Caller | None = None
    caller_by: Any = None
    timeout: float | None = None
    is_json: bool | None = None
    hints: RoutingHints | None = None
    marks: Marks | None = None

    def ends_connection(self) -> bool:
        """Whether no other request may follow (RFC 9112 section 9.3)."""
        tokens = b",".join(self.table.get(b"Connection", ())).lower().split(b",")
        return self.version != b"HTTP/1.1" or b"close" in [token.strip() for token in tokens]

    def resolve_route(self, method: bytes, path: bytes, deployment: str = "") -> None:
        """Find out what is at ``path``."""
        self.route, self.deployment = route_of(path), deployment
        self.endpoint = endpoint_of(path, method)
        self.operation = "" if self.endpoint is None else self.endpoint.operation.value
        self.probe = KEYS.get(path, "never") != "never"


NO_HEAD = RequestHead(b"", b"", b"", {})
"""Of a request whose head is still to come."""


def header_in(table: Table, name: str) -> str | None:
    """The last value of a header in ``table``."""
    values = values_in(table, name)
    return values[-1].decode("latin-1") if values else None


def values_in(table: Table, name: str) -> list[bytes]:
    """All values of a header in ``table``."""
    return table.get(_nameEncoder.encode(name.encode()), [])


class HeadCache:
    """The heads of a site that were found good, by their bytes without the length of the body: a client's are alike,
    and what llhttp and the layers have to say of them need not be found out again. The keys in them are in memory as
    long as they are kept: until others take their place, or the configuration is read again."""

    def __init__(self) -> None:
        self._heads: dict[bytes, RequestHead] = {}

    def find(self, data: bytes, end: int, limits: Server) -> tuple[RequestHead, bytes] | None:
        """The head that ends at ``end`` of ``data``, and its ``Content-Length``, empty where it has none."""
        key, length = _without_length(data, end)
        head = self._heads.get(key)
        if head is None or head.checked_with is not limits:
            return None
        return head, length

    def add(self, data: bytes, head: RequestHead) -> None:
        """Keep ``head``, which llhttp made of ``data``, if it says nothing out of the ordinary about the body or the
        connection. It is found again once it was found good."""
        table = head.table
        if len(data) > _LONGEST or head.version != b"HTTP/1.1" or not head.target.startswith(b"/"):
            return
        if any(name in table for name in _SPECIAL) or b"close" in b",".join(table.get(b"Connection", ())).lower():
            return
        if streams_body(path_of(head.target)[0]):
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
    """The head that ends at ``end`` without the digits of its ``Content-Length``, and these, ``b""`` where it has none.
    No head at all where its length is in no usual form: such heads are neither kept nor found."""
    start = data.find(_NAME, 0, end)
    if start < 0:
        start = data.find(_LOWER, 0, end)
    if start >= 0:
        start += len(_NAME)
        stop = data.find(b"\r", start, end)
        length = data[start:stop]
        if len(length) > 9 or not length.isdigit():
            return b"", b""  # without digits it would be the key of a head that had some
        return data[:start] + data[stop:end], length
    return data[:end], b""
