"""The real routing over vendors made of scripts, on a clock that is turned by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from llmedge.call import Call, RoutingHints
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing as Settings
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline.deployment import Deployment
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.route import Route
from llmedge.pipeline.strategies import Strategies
from llmedge.record import Attempt, Record
from llmedge.streams import AwaitedStream

ANSWER = Answer(b"{}", Usage(3, 4))
DONE = Event(EventKind.DONE, b"data: [DONE]\n\n")


def chunk(text: str | None = None, finish: str | None = None) -> Event:
    """One chunk of a chat stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}
    return Event(EventKind.CONTENT, b"data: " + json.dumps(document).encode() + b"\n\n")


ROLE = Event(
    EventKind.LIFECYCLE,
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"up",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
)
END = [chunk(finish="stop"), DONE]


class Stream(AwaitedStream):
    """Steps: a batch of events, an error, a Deferred to wait for, or seconds."""

    def __init__(self, clock: Clock, *script: Any, usage: Usage | None = None) -> None:
        self.clock = clock
        self.script = list(script)
        self.aborted = False
        self.told = usage or Usage(1, 2)

    @property
    def usage(self) -> Usage:
        return self.told

    async def next_batch(self) -> list[Event]:
        while True:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, list):
                return list(step)
            await (step if isinstance(step, Deferred) else pause(self.clock, step))

    def abort(self) -> None:
        super().abort()
        self.aborted = True


def pause(clock: Clock, seconds: float) -> Deferred[None]:
    timer: list[Any] = []
    done: Deferred[None] = Deferred(lambda _: timer[0].cancel())
    timer.append(clock.callLater(seconds, done.callback, None))
    return done


class Vendor:
    """Plays a script for each call: seconds or a Deferred to wait for, then an answer, a stream, an error,
    or a function of the call that gives one of these.

    :param scripts: a script for every call, or a list of them for one call after the other, the last one for the rest.
    """

    def __init__(self, name: str, clock: Clock, scripts: tuple[Any, ...] | list[tuple[Any, ...]]) -> None:
        self.name = name
        self.clock = clock
        self.scripts = scripts if isinstance(scripts, list) else [scripts]
        self.calls: list[Call] = []
        self.at: list[float] = []
        self.under_way = 0

    async def complete(self, call: Call, attempt: Attempt) -> Any:
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(call)
        self.at.append(self.clock.seconds())
        self.under_way += 1
        try:
            for step in script:
                if isinstance(step, int | float):
                    await pause(self.clock, step)
                elif isinstance(step, Deferred):
                    await step
                else:
                    reply = step(call) if callable(step) else step
                    if isinstance(reply, Exception):
                        raise reply
                    return reply
            raise AssertionError("the script has no end")
        finally:
            self.under_way -= 1


class World:
    """A route to ``vendors``. A model ``m`` has all of them as targets unless ``models`` says otherwise.

    :param settings: of ``[routing]``; ``model``: of the model ``m``. ``clock``: another one than twisted's.
    """

    def __init__(
        self,
        *vendors: tuple[Any, ...] | list[tuple[Any, ...]],
        models: dict[str, Model] | None = None,
        settings: dict[str, Any] | None = None,
        entries: tuple[TargetEntry, ...] | None = None,
        seed: int = 1,
        clock: Any = None,
        **model: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.random = Random(seed)
        self.vendors = [Vendor(f"p{number}", self.clock, scripts) for number, scripts in enumerate(vendors)]
        providers: dict[str, Any] = {vendor.name: vendor for vendor in self.vendors}
        targets = entries or tuple(TargetEntry(f"{name}/x") for name in providers)
        models = {"m": Model(targets, **model)} | (models or {})
        self.index = ModelIndex(models, dict.fromkeys(providers, Provider()))
        self.settings = Settings(**settings or {})
        self.deployments = Deployments(self.clock, self.random)
        self.deployments.configure(self.settings, models)
        self.strategies = Strategies(self.deployments, None, self.random)
        self.deps = RouteDeps(
            self.index, providers, self.deployments, self.strategies, self.settings, self.clock, self.random
        )
        self.route = Route(self.deps)
        self.records: list[Record] = []

    def call(self, stream: bool = False, seconds: float = 30.0, caller: str = "c", **more: Any) -> Call:
        fields = {"messages": msgspec.Raw(b'[{"role":"user","content":"hi"}]')} | more.pop("fields", {})
        record = Record(f"id-{len(self.records)}", "POST", "/", "peer", self.clock.seconds())
        self.records.append(record)
        hints = more.pop("hints", RoutingHints())
        model = more.pop("model", "m")
        return Call(
            Operation.CHAT,
            more.pop("dialect", "openai_chat"),
            model,
            fields,
            stream,
            False,
            1,
            Caller(caller),
            Deadline(self.clock, seconds),
            record,
            hints=hints,
            match=self.index.find(model),
        )

    def ask(self, stream: bool = False, seconds: float = 30.0, **more: Any) -> Deferred[Any]:
        call = self.call(stream, seconds, **more)
        asking: Deferred[Any] = Deferred.fromCoroutine(self.route(call))
        return asking

    def deployment(self, name: str = "p0/x") -> Deployment:
        return self.deployments.get(name)

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        self.clock.pump([step] * round(seconds / step))

    @property
    def record(self) -> Record:
        return self.records[-1]

    def attempts(self) -> list[tuple[str, str, str]]:
        return [(each.target.provider, each.kind, each.cause or each.outcome) for each in self.record.routing.attempts]

    def at_rest(self) -> bool:
        """No slot taken, nobody waiting, no timer, no vendor at work, no probe under way."""
        return (
            not any(each.queue.in_flight or each.queue.waiting for each in self.deployments.all())
            and not any(vendor.under_way for vendor in self.vendors)
            and not self.clock.getDelayedCalls()
            and not any(each.breaker._probe for each in self.deployments.all())
            and not any(record.routing.waiting for record in self.records)
        )


async def read(stream: Any, take: Callable[[list[Event]], None] | None = None) -> str:
    """The text of a whole stream."""
    text = ""
    while True:
        events = await stream.read()
        if take is not None:
            take(events)
        text += said(events)
        if events[-1].kind is EventKind.DONE:
            return text


def said(events: list[Event]) -> str:
    text = ""
    for event in events:
        for line in event.frame.decode().splitlines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["delta"].get("content") or ""
    return text
