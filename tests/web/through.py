"""The whole gateway in memory, between a client and a vendor that are bytes."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import Edge, Transport, Wire, request

TOML = """
[providers.v]
base_url = "http://127.0.0.1:9/v1"
api_key = "vendor-key"
models = ["*"]
"""
TWO = """
[providers.v]
base_url = "http://127.0.0.1:9/v1"
[providers.w]
base_url = "http://127.0.0.1:8/other"
[models.m]
targets = [{ target = "v/x", weight = 1 }, { target = "w/y", weight = 1 }]
strategy = "priority"
"""


class Asked:
    """One connection to the vendor."""

    def __init__(self, edge: Edge) -> None:
        factory = edge.reactor.tcpClients.pop(0)[2]
        self.transport = Transport()
        self.transport.protocol = self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    @property
    def head(self) -> tuple[str, dict[str, str]]:
        top = self.transport.value().partition(b"\r\n\r\n")[0].decode()
        line, *fields = top.split("\r\n")
        return line, dict(field.split(": ", 1) for field in fields)

    @property
    def body(self) -> bytes:
        _, fields = self.head
        rest = self.transport.value().partition(b"\r\n\r\n")[2]
        if "transfer-encoding" not in fields:
            return rest
        whole = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return whole

    def say(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def answer(self, status: int, document: Any, kind: str = "application/json") -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.transport.clear()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
        self.say(head.encode() + data)

    def chunked(self, kind: str) -> None:
        self.say(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    def chunk(self, data: bytes) -> None:
        self.say(b"%x\r\n%b\r\n" % (len(data), data))


class Through(SynchronousTestCase):
    toml = TOML

    def begin(self, more: str = "", toml: str = TOML) -> None:
        self.edge = Edge(more + toml)

    def ask(self, path: str, document: Any = None, **kw: Any) -> Wire:
        wire = self.edge.wire()
        wire.send(request(path=path, body=document, **kw))
        return wire

    def vendor(self) -> Asked:
        """Its newest connection."""
        if self.edge.reactor.tcpClients:
            self.last = Asked(self.edge)
        return self.last

    @property
    def record(self) -> Any:
        return self.edge.records[-1]
