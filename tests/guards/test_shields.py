"""Whatever a service does, in whatever order: what is closed lets nothing pass without a verdict, what is open lets all
pass that is not blocked, and the record says which it was."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.verdicts import GUARDRAILS
from tests.effort import examples
from tests.fakes import CHAT, Edge, Transport, request
from tests.guards.asking import CANARY

GUARD = """
[[guardrails]]
name = "{name}"
type = "webhook"
mode = "enforce"
url = "http://127.0.0.1:8100"
timeout = 2
models = ["{name}"]
on_failure = "{name}"
"""
TOML = """
[rate_limit]
enabled = false
[providers.v]
base_url = "http://127.0.0.1:9/v1"
models = ["*"]
""" + "".join(GUARD.format(name=name) for name in ("closed", "open"))
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}
ANSWER = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}).encode()
TEXTS = st.none() | st.lists(st.sampled_from([CANARY, "x", ""]), max_size=3)
VERDICT = st.fixed_dictionaries(
    {"action": st.sampled_from(["NONE", "NONE", "BLOCKED", "GUARDRAIL_INTERVENED", "?", None])},
    optional={"texts": TEXTS, "blocked_reason": st.just(CANARY), "images": st.none() | st.just([])},
)
ACT = st.one_of(
    st.tuples(st.just("answers"), st.sampled_from([200, 200, 200, 500, 400, 302]), VERDICT.map(json.dumps)),
    st.tuples(st.just("answers"), st.just(200), st.text(max_size=30)),
    st.sampled_from([("is silent",), ("is cut",), ("stalls",)]),
    st.tuples(st.just("rests"), st.sampled_from([0.5, 1.5, 30.0])),
)


class World:
    """The gateway, a vendor that answers, and a service that does what it is told."""

    def __init__(self) -> None:
        self.edge = Edge(TOML)
        self.kept: dict[int, list[Transport]] = {8100: [], 9: []}

    def heard(self, port: int) -> Transport | None:
        """A connection on which something was asked there."""
        self.edge.reactor.pump([0.0] * 9)  # on a slow machine others have a turn in between
        clients = self.edge.reactor.tcpClients
        while clients:
            factory = clients[0][2]
            where = clients.pop(0)[1]
            transport = Transport()
            transport.protocol = protocol = factory.buildProtocol(None)
            protocol.makeConnection(transport)
            self.kept[where].append(transport)
        return next((each for each in self.kept[port] if each.value() and not each.gone), None)

    def say(self, transport: Transport, status: int, body: bytes) -> None:
        transport.clear()
        head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        transport.protocol.dataReceived(head + body)

    def ask(self, model: str, act: tuple[Any, ...]) -> tuple[int, dict[str, Any], str | None, bool]:
        """Status, what the record says, what the vendor was asked, and whether the service was."""
        wire = self.edge.wire()
        body = CHAT | {"model": model, "messages": [{"role": "user", "content": CANARY}]}
        wire.send(request(body=body))
        service = self.heard(8100)
        if service is not None:
            self.play(service, act)
        asked = None
        if (vendor := self.heard(9)) is not None:
            asked = json.loads(vendor.value().partition(b"\r\n\r\n")[2])["messages"][0]["content"]
            self.say(vendor, 200, ANSWER)
        self.edge.reactor.pump([0.0] * 9)
        response = wire.response()
        (told,) = self.edge.records[-1].facts[GUARDRAILS]
        assert CANARY.encode() not in response.body
        return response.status, msgspec.to_builtins(told), asked, service is not None

    def play(self, service: Transport, act: tuple[Any, ...]) -> None:
        if act[0] == "answers":
            self.say(service, act[1], act[2].encode())
            return
        service.clear()
        if act[0] == "is cut":
            service.abortConnection()
        elif act[0] == "stalls":
            service.protocol.dataReceived(b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"action": "NONE"')
        self.edge.reactor.advance(2)


def verdict_of(act: tuple[Any, ...]) -> str:
    """What it says, by the contract: ``pass``, ``block``, ``change``; ``""`` for nothing that counts."""
    try:
        said = json.loads(act[2])
        action, texts = said["action"], said.get("texts")
    except (IndexError, ValueError, TypeError, KeyError):
        return ""
    if act[1] != 200 or action not in ("NONE", "BLOCKED", "GUARDRAIL_INTERVENED"):
        return ""
    if action == "BLOCKED":
        return "block"
    if not texts:
        return "pass" if action == "NONE" else ""
    if len(texts) != 1:
        return ""
    return "pass" if texts == [CANARY] else "change"


class Shields(SynchronousTestCase):
    @settings(max_examples=examples(60), deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["closed", "open"]), ACT), max_size=12))
    def test_any_order(self, acts: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Also while it is left alone, and when it is asked again."""
        world = World()
        for model, act in acts:
            if act[0] == "rests":
                world.edge.reactor.advance(act[1])
                continue
            status, told, asked, was_asked = world.ask(model, act)
            verdict = verdict_of(act) if was_asked else ""
            if verdict:
                self.assertEqual(told["verdict"], verdict)
                self.assertEqual(status, 400 if verdict == "block" else 200)
            elif model == "closed":
                self.assertEqual((status, told["verdict"]), (503, "unavailable"))
            else:
                self.assertEqual((status, told["verdict"]), (200, "open"))
            if status != 200:
                self.assertIsNone(asked)
            elif verdict == "change":
                self.assertEqual(asked, json.loads(act[2])["texts"][0])
            else:
                self.assertEqual(asked, CANARY)
