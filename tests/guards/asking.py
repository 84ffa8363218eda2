"""A checker of a guardrail, what it judges, and a service that it asks, in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call, RoutingHints
from llmedge.config.sections.upstream import Upstream
from llmedge.guards.interfaces import GuardDeps, GuardFailed, Judgement, Material, Place
from llmedge.guards.registry import GuardTypes
from llmedge.model import Account, Answer, Caller, Deadline
from llmedge.operations import Operation
from llmedge.record import Record
from llmedge.upstream.client import Client
from tests.fakes import Reactor, Transport, settings

CANARY = "canary-4921"
"""What is said, and must not be told."""


class Service:
    """What the next connection to it brought."""

    def __init__(self, reactor: Reactor) -> None:
        host, port, factory = reactor.tcpClients.pop(0)[:3]
        self.where = f"{host}:{port}"
        self.transport = Transport()
        self.transport.protocol = self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    @property
    def head(self) -> tuple[str, dict[str, str]]:
        line, *fields = self.transport.value().partition(b"\r\n\r\n")[0].decode().split("\r\n")
        return line, dict(field.split(": ", 1) for field in fields)

    @property
    def asked(self) -> Any:
        return json.loads(self.transport.value().partition(b"\r\n\r\n")[2])

    def answer(self, document: Any, status: int = 200) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.transport.clear()
        self.protocol.dataReceived(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data))


@lru_cache
def guardrail(toml: str) -> Any:
    """The settings of the one table ``[[guardrails]]`` that ``toml`` is."""
    vendor = '[providers.v]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["*"]\n'
    return settings(f"{vendor}[[guardrails]]\nname = 'g'\n{toml}").guardrails[0]


def place(text: str, where: Any = "request", **more: Any) -> Place:
    return Place(where, text, **{"role": "user", "message": 0} | more)


class Checking(SynchronousTestCase):
    """Asks one checker; ``self.asked`` are the models that it asked by way of the gateway."""

    def begin(self, toml: str, ask: Callable[..., Any] | None = None) -> None:
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        self.asked: list[tuple[Any, ...]] = []
        self.client = Client(self.reactor, Upstream())

        async def in_thread(work: Callable[..., Any], *args: Any) -> Any:
            return work(*args)

        async def ask_model(*args: Any) -> Any:
            self.asked.append(args)
            assert ask is not None
            found = ask(*args)
            if isinstance(found, Exception):
                raise found
            return Answer(found if isinstance(found, bytes) else json.dumps(found).encode()), 7

        self.deps = GuardDeps(self.reactor, self.client, Upstream(), in_thread, ask_model)
        self.settings = guardrail(toml)
        self.checker: Any = GuardTypes()[self.settings.type].make(self.settings, self.deps)

    def call(self, fields: Mapping[str, Any] | None = None, **more: Any) -> Call:
        body = {"messages": [{"role": "user", "content": "hi"}], **(fields or {})}
        raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in body.items()}
        account = Account("key-1", "team-1", "", "org-1", "user-1")
        record = Record("req-1", "POST", "/", "peer", self.reactor.seconds(), end_user="end-1")
        hints = more.pop("hints", RoutingHints())
        return Call(
            more.pop("operation", Operation.CHAT),
            more.pop("dialect", "openai_chat"),
            "m",
            raw,
            False,
            False,
            1,
            Caller("alice", account=account),
            Deadline(self.reactor, 30.0),
            record,
            hints=hints,
        )

    def material(self, *places: Place, **more: Any) -> Material:
        return Material(more.pop("of", "request"), list(places), more.pop("call", None) or self.call(), **more)

    def check(self, *places: Place, **more: Any) -> Deferred[Judgement]:
        material = self.material(*places, **more)

        async def check() -> Judgement:
            found: Judgement = await self.checker.check(material)
            return found

        return Deferred.fromCoroutine(check())

    def judged(self, *places: Place, **more: Any) -> Judgement:
        """For a checker that waits for nobody but the reactor's next turn."""
        judging = self.check(*places, **more)
        for _ in range(10_000):
            if judging.called:
                break
            self.reactor.advance(0)
        return self.successResultOf(judging)

    def service(self) -> Service:
        """The newest connection to it."""
        if self.reactor.tcpClients:
            self.last = Service(self.reactor)
        return self.last

    def fails(self, judging: Deferred[Judgement], cause: str = "") -> None:
        error = self.failureResultOf(judging, GuardFailed).value
        if cause:
            self.assertEqual(error.cause, cause)
        self.assertNotIn(CANARY, repr(error) + str(error))
