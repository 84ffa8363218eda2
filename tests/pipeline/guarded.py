"""The guardrails' stages around the real routing, over vendors made of scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from llmedge.call import Call
from llmedge.guards.rules import Guard, GuardRules
from llmedge.guards.stats import GuardStats
from llmedge.model import Answer, Caller, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline.guard import GuardAnswers, GuardRequests, Guards
from llmedge.pipeline.stage import StageDeps, compose
from llmedge.state.allowances import Allowances
from tests.guards import made
from tests.pipeline.harness import World

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class Guarded:
    """:param guards: in order. :param vendor: what the one vendor plays for each call, see ``harness.Vendor``."""

    def __init__(self, *guards: Guard, vendor: Any = None, models: Any = None, **world: Any) -> None:
        scripts = vendor if isinstance(vendor, list) else [vendor or (answer("fine"),)]
        self.world = World(scripts, models=models, **world)
        self.guards = Guards(GuardRules(guards), GuardStats())
        parts: Any = StageDeps(
            self.world.index,
            None,
            None,
            None,
            Allowances(self.world.clock),
            None,
            guards=self.guards,  # type: ignore[arg-type]
        )
        self.stages: list[Any] = [GuardRequests(parts), GuardAnswers(parts)]
        self.handlers = compose(self.stages, self.world.route)

    def call(self, fields: dict[str, Any] | None = None, **more: Any) -> Call:
        call = made.call(fields or CHAT, clock=self.world.clock, **more)
        call.match = self.world.index.find(call.model)
        self.world.records.append(call.record)
        return call

    def begin(self, call: Call) -> Deferred[Any]:
        async def ask() -> Any:
            return await self.handlers[call.operation](call)

        return Deferred.fromCoroutine(ask())

    def ask(self, fields: dict[str, Any] | None = None, **more: Any) -> Deferred[Any]:
        """A call on its way; the clock is turned as long as only turns of the reactor are waited for."""
        asking = self.begin(self.call(fields, **more))
        for _ in range(2000):
            if asking.called:
                break
            self.world.clock.advance(0)
        return asking

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies that the vendor got."""
        return [json.loads(msgspec.json.encode(call.fields)) for call in self.world.vendors[0].calls]

    @property
    def facts(self) -> dict[str, Any]:
        """What the last call's record has of guardrails, as it is logged."""
        facts = {fact.name: value for fact, value in self.world.record.facts.items()}
        shown: dict[str, Any] = json.loads(msgspec.json.encode(facts))
        return shown

    @property
    def verdicts(self) -> list[tuple[str, str, str]]:
        return [(each["name"], each["on"], each["verdict"]) for each in self.facts.get("guardrails", [])]


USED = Usage(3, 4)


def answer(text: str = "fine", usage: Usage | None = USED, **message: Any) -> Answer:
    """A whole answer of a chat."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
    return Answer(json.dumps(document).encode(), usage)


def text_of(reply: Answer) -> Any:
    return json.loads(reply.body)["choices"][0]["message"]["content"]


async def frames(stream: Any, take: Callable[[list[Event]], None] | None = None) -> list[Event]:
    """All events of a stream."""
    found: list[Event] = []
    while not found or found[-1].kind is not EventKind.DONE:
        events = await stream.read()
        if take is not None:
            take(events)
        found += events
    return found


def named(name: str, *guardrails: str) -> Caller:
    return Caller(name, guardrails=guardrails)


TEXT = Operation.TEXT
