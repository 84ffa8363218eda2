"""A vendor made of a real socket, which does to each request exactly what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
from OpenSSL import SSL
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

reactor: Any = _reactor


@attrs.define
class Asked:
    """One request the vendor got."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: VendorConnection
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Asked], None]


class VendorConnection(Protocol):
    """Reads requests with a content-length and hands each to the script."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._buffer = b""
        self.closed_at: float | None = None

    def connectionMade(self) -> None:
        self._vendor.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            asked = Asked(line, headers, rest[:length], self, reactor.seconds())
            self._vendor.asked.append(asked)
            self._vendor.script(asked)

    def connectionLost(self, reason: Any = None) -> None:
        self.closed_at = reactor.seconds()

    # What a script can do.

    def send(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def answer(self, status: int, document: Any, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def begin_stream(self) -> None:
        self.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, document: Any) -> None:
        self.chunk(b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n")

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]

    def reset(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class Vendor(Factory):
    """Listens on a free loopback port, or on a unix socket.

    :param certificate: paths of certificate and key: it speaks TLS.
    :param clients: path of the authority of the clients that it lets in then.
    """

    noisy = False

    def __init__(
        self, script: Script, *, certificate: tuple[str, str] = ("", ""), clients: str = "", path: str = ""
    ) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.connections: list[VendorConnection] = []
        cert, key = certificate
        if path:
            self._port = reactor.listenUNIX(path, self)
        elif cert:
            own = DefaultOpenSSLContextFactory(key, cert)
            if clients:
                context = own.getContext()
                context.load_verify_locations(clients)
                context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
            self._port = reactor.listenSSL(0, self, own, interface="127.0.0.1")
        else:
            self._port = reactor.listenTCP(0, self, interface="127.0.0.1")

    def buildProtocol(self, addr: Any) -> VendorConnection:
        return VendorConnection(self)

    @property
    def port(self) -> int:
        port: int = self._port.getHost().port
        return port

    @property
    def toml(self) -> str:
        """A configuration that sends every model here."""
        return f'[providers.v]\nbase_url = "http://127.0.0.1:{self.port}/v1"\nmodels = ["*"]\n'

    async def stop(self) -> None:
        stopping = self._port.stopListening()
        if stopping is not None:  # it has not stopped before
            await stopping
        for connection in self.connections:
            if connection.closed_at is None:
                connection.reset()


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat stream."""
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": content, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **more}


ROLE = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
