"""The whole service in memory: a reactor that is a clock, and a wire to talk HTTP/1.1 over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.python.failure import Failure

from llmedge import config
from llmedge.guards.registry import GuardTypes
from llmedge.providers.registry import Vendors
from llmedge.record import Record
from llmedge.service import EdgeService
from tests.folders import new_folder

load = partial(config.load, vendors=Vendors(), guards=GuardTypes())


class Reactor(MemoryReactorClock):
    """Nothing real happens; threads run at once."""

    def getThreadPool(self) -> Any:
        return self

    def callInThreadWithCallback(self, done: Any, function: Any, *args: Any, **kw: Any) -> None:
        try:
            result = function(*args, **kw)
        except Exception:
            done(False, Failure())  # type: ignore[no-untyped-call]  # twisted has no types here
        else:
            done(True, result)

    def pending(self) -> list[Any]:
        """The calls still to be made, but for the timers that many deadlines share."""
        return [call for call in self.getDelayedCalls() if "Deadlines" not in repr(call.func)]

    def callFromThread(self, function: Any, *args: Any, **kw: Any) -> None:
        function(*args, **kw)


def settings(toml: str = "", environ: Mapping[str, str] | None = None) -> Any:
    """Settings from a TOML text, which problems call ``gateway.toml``."""
    if "[routing]" not in toml:
        toml += "\n[routing]\nretries = 0\n"  # nothing asks again unless a test is about it
    path = new_folder() / "gateway.toml"
    path.write_text(toml)
    return load(environ or {}, str(path))


SERVICE_ACCOUNT = {
    "type": "service_account",
    "project_id": "p-1",
    "private_key_id": "kid-1",
    "private_key": "no key",
    "client_email": "robot@p-1.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def write_service_account(**fields: str) -> Path:
    """A key file as Google hands out."""
    file = new_folder() / "service-account.json"
    file.write_text(json.dumps(SERVICE_ACCOUNT | fields))
    return file


@attrs.define
class Response:
    """One parsed answer. ``complete`` is whether its framing ended as HTTP/1.1 has it."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json()["error"]
        return error

    def events(self) -> list[str]:
        """The data of an event stream; comments are none."""
        blocks = (re.sub(r"^(:[^\n]*\n)+", "", block) for block in self.body.decode().split("\n\n"))
        return [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]


def parse_response(data: bytes, head: bool = False) -> tuple[Response, bytes]:
    """The first response in ``data`` and what follows it."""
    top, _, rest = data.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if head or status == 204:
        return Response(status, headers, b"", True), rest
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, newline, after = rest.partition(b"\r\n")
            if not newline:
                return Response(status, headers, body, False), b""
            length = int(size, 16)
            if length == 0:
                return Response(status, headers, body, True), after.removeprefix(b"\r\n")
            body += after[:length]
            rest = after[length + 2 :]
    length = int(headers.get("content-length", "0"))
    return Response(status, headers, rest[:length], len(rest) >= length), rest[length:]


class Transport(StringTransportWithDisconnection):
    """A transport that remembers how it was closed."""

    aborted = False
    gone = False
    high_water = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.high_water and len(self.value()) > self.high_water and self.producer is not None:
            self.producer.pauseProducing()

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def loseConnection(self) -> None:
        if not self.gone:
            self.gone = self.disconnecting = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        if not self.gone:
            self.gone = self.aborted = self.disconnecting = True
            self.protocol.connectionLost(Failure(ConnectionLost()))


class Endpoint:
    """Connects at once, to a transport of its own each time.

    :param transport: makes the vendor's end.
    """

    def __init__(self, transport: Callable[[], Any]) -> None:
        self._transport = transport

    def connect(self, factory: Any) -> Any:
        protocol = factory.buildProtocol(None)
        transport = self._transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return succeed(protocol)


class Wire:
    """One client connection to a site."""

    def __init__(self, site: Any, peer: str = "127.0.0.1") -> None:
        self.transport = Transport(peerAddress=IPv4Address("TCP", peer, 40000))
        self.protocol = site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def leave(self) -> None:
        self.transport.abortConnection()

    def received(self) -> bytes:
        data: bytes = self.transport.value()
        return data

    def response(self, head: bool = False) -> Response:
        """The next response; what it took is gone from :meth:`received`."""
        data = self.received()
        assert data, "no answer yet"
        response, rest = parse_response(data, head)
        self.transport.clear()
        self.transport.write(rest)
        return response


CHAT = {"model": "mock-model", "messages": [{"role": "user", "content": "one two three"}]}


def request(
    method: str = "POST",
    path: str = "/v1/chat/completions",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    content_type: str | None = "application/json",
) -> bytes:
    """The bytes of one request; ``body`` is bytes or something for JSON."""
    payload = body if isinstance(body, bytes) else (b"" if body is None else json.dumps(body).encode())
    fields = {"host": "localhost:8080"} | dict(headers or {})
    if payload:
        fields["content-length"] = str(len(payload))
        if content_type:
            fields.setdefault("content-type", content_type)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + payload


class Edge:
    """A service in memory, started, with the records of its finished requests."""

    http_parser = ""  # what test_http1_on_both_parsers runs everything with; else as configured

    def __init__(self, toml: str = "", environ: Mapping[str, str] | None = None) -> None:
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        chosen = settings(toml, environ)
        if self.http_parser:
            chosen = attrs.evolve(chosen, server=attrs.evolve(chosen.server, http_parser=self.http_parser))
        self.service = EdgeService(self.reactor, chosen)
        self.site = self.service.site
        self.records: list[Record] = []
        access: Any = self.site.edge.resource.inner
        access._observers = (*access._observers, self.records.append)

    def wire(self, peer: str = "127.0.0.1") -> Wire:
        return Wire(self.site, peer)

    def ask(self, method: str = "POST", path: str = "/v1/chat/completions", body: Any = None, **kw: Any) -> Response:
        """One request on a connection of its own."""
        peer = kw.pop("peer", "127.0.0.1")
        wire = self.wire(peer)
        wire.send(request(method, path, body, **kw))
        return wire.response(head=method == "HEAD")

    def chat(self, **fields: Any) -> Response:
        return self.ask(body=CHAT | fields)
