"""Vendors of four dialects: one aimock (``vendor.mjs``), and for each a wire in front of it that keeps what came."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from tests.e2e.service import CANARY_VENDOR, Process
from tests.e2e.tools import find, node_module

reactor: Any = _reactor
DIALECTS = {
    "chat": ('vendor = "openai"\ndialect = "openai"', "/v1", "gpt-5"),
    "responses": ('vendor = "openai"\ndialect = "openai_responses"', "/v1", "gpt-5"),
    "anthropic": ('vendor = "anthropic"', "", "claude-sonnet-4-5"),
    "gemini": ('vendor = "gemini"', "", "gemini-2.5-flash"),
}
"""Name → (settings of the provider, its path, the model): a model that thinks, whose limits the catalogue has."""
FAMILIES = ("m", "gpt-5.5", "gpt-5.6-sol")
"""A model of each vendor is there under a name for each, ``m-chat``: Codex knows a model by how its name begins."""


class Aimock(Protocol):
    """The connection to aimock behind one of a vendor's: all that comes goes on."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def dataReceived(self, data: bytes) -> None:
        self._wire.transport.write(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self._wire.transport.loseConnection()  # type: ignore[union-attr]


class Wire(Protocol):
    """A connection of the gateway's: bytes go on to aimock, and requests are read on their way."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._read = b""
        self._waiting = b""
        self._behind: Aimock | None = None

    def connectionMade(self) -> None:
        self._vendor.wires.append(self)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._vendor.behind)
        connectProtocol(endpoint, Aimock(self)).addCallbacks(self._connected, lambda _: self.transport.loseConnection())  # type: ignore[union-attr]

    def _connected(self, behind: Aimock) -> None:
        self._behind = behind
        behind.transport.write(self._waiting)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if self._behind is None:
            self._waiting += data
        else:
            self._behind.transport.write(data)  # type: ignore[union-attr]
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, rest = self._read.partition(b"\r\n\r\n")
            sized = re.search(rb"(?im)^content-length: *(\d+)", head)
            length = int(sized[1]) if sized else 0
            if len(rest) < length:
                return
            self._read = rest[length:]
            if length:
                self._vendor.got.append(json.loads(rest[:length]))

    def connectionLost(self, reason: Any = None) -> None:
        if self._behind is not None:
            self._behind.transport.loseConnection()  # type: ignore[union-attr]


class Vendor(Factory):
    """One vendor, on a free loopback port. ``got``: the bodies that came, in order."""

    noisy = False

    def __init__(self, name: str, behind: int) -> None:
        self.name = name
        self.behind = behind
        self.got: list[dict[str, Any]] = []
        self.wires: list[Wire] = []
        self.listening = reactor.listenTCP(0, self, interface="127.0.0.1")

    def buildProtocol(self, addr: Any) -> Wire:
        return Wire(self)

    @property
    def toml(self) -> str:
        settings, path, model = DIALECTS[self.name]
        return (
            f'[providers.{self.name}]\n{settings}\napi_key = "{CANARY_VENDOR}"\n'
            f'base_url = "http://127.0.0.1:{self.listening.getHost().port}{path}"\n'
            + "".join(f'[models."{family}-{self.name}"]\ntargets = ["{self.name}/{model}"]\n' for family in FAMILIES)
        )

    async def stop(self) -> None:
        await self.listening.stopListening()
        for wire in self.wires:
            wire.transport.abortConnection()  # type: ignore[union-attr]


@attrs.define
class Vendors:
    """All of them. ``toml`` has a provider for each with default settings, and a model for each."""

    process: Process = attrs.field(factory=lambda: Process("listening on "))
    each: dict[str, Vendor] = attrs.field(factory=dict)

    async def start(self) -> Vendors:
        script = str(Path(__file__).with_name("vendor.mjs"))
        modules = node_module("@copilotkit/aimock").removesuffix("/@copilotkit/aimock")
        self.process.start([find("node"), script, modules], {})
        line = await self.process.ready
        port = int(line.rpartition(" ")[2])
        self.each = {name: Vendor(name, port) for name in DIALECTS}
        return self

    async def stop(self) -> None:
        for vendor in self.each.values():
            await vendor.stop()
        await self.process.stop()

    @property
    def toml(self) -> str:
        return "".join(vendor.toml for vendor in self.each.values())
