"""Guardrails of tests: types that do as they are told, and calls to try them on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from llmedge.call import Call, RoutingHints
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import PASS, Find, GuardDeps, GuardType, Judgement, Material
from llmedge.guards.rules import Guard
from llmedge.model import Caller, Deadline
from llmedge.operations import Operation
from llmedge.record import Record

CANARY = "canary-17@leak.example"


class Canaries:
    """Finds ``canary-17@leak.example`` and the like."""

    reach = context = 40
    pattern = re.compile(r"canary-[0-9]+@leak\.example")
    _begun = re.compile(r"(?:c|ca|can|cana|canar|canary|canary-[0-9]*|canary-[0-9]+@[a-z.]*)\Z")

    def __init__(self) -> None:
        self.looked = 0

    def find(self, text: str, start: int = 0) -> list[Find]:
        self.looked += 1
        return [Find(each.start(), each.end(), "CANARY") for each in self.pattern.finditer(text, start)]

    def growing(self, text: str) -> int:
        found = self._begun.search(text)
        return 0 if found is None else len(text) - found.start()


class CanaryType(GuardType):
    name = "canaries"
    detects = True
    settings = Guardrail

    def make(self, settings: Any, deps: GuardDeps) -> Canaries:
        return Canaries()


Says = Callable[[Material], Any]


class Told:
    """A checker that says what a test wants. ``seen``: what it was asked about."""

    def __init__(self, says: Says = lambda material: PASS) -> None:
        self.says = says
        self.seen: list[Material] = []
        self.closed = 0

    async def check(self, material: Material) -> Judgement:
        self.seen.append(material)
        said = self.says(material)
        if isinstance(said, Deferred):
            said = await said
        if isinstance(said, Exception):
            raise said
        found: Judgement = said
        return found

    def close(self) -> None:
        self.closed += 1


class ToldType(GuardType):
    name = "told"
    settings = Guardrail

    def __init__(self) -> None:
        self.made: dict[str, Told] = {}

    def make(self, settings: Any, deps: GuardDeps) -> Told:
        told = self.made[settings.name] = Told()
        return told


def patch_types(test: Any) -> ToldType:
    """Have the types ``canaries`` and ``told`` be there while ``test`` runs; the latter, with what it has made."""
    told = ToldType()
    types: dict[str, Any] = {"canaries": CanaryType(), "told": told}
    test.patch(__import__("llmedge.guards.registry", fromlist=["x"]), "plugins", lambda: (types, {}))
    return told


def guard(detector: Any = None, checker: Any = None, **settings: Any) -> Guard:
    """One guardrail, enforced unless it is said otherwise."""
    given = {"name": "g", "type": "t", "mode": "enforce", "stream": "live" if detector is not None else "hold"}
    return Guard(Guardrail(**given | settings), detector, checker)


def call(
    fields: dict[str, Any],
    dialect: str = "openai_chat",
    operation: Operation = Operation.CHAT,
    clock: Any = None,
    **more: Any,
) -> Call:
    """One that nobody has looked at yet."""
    raw = msgspec.json.decode(json.dumps(fields), type=dict[str, msgspec.Raw])
    clock = clock or Clock()
    made = Call(
        operation,
        dialect,
        more.pop("model", "m"),
        raw,
        more.pop("stream", False),
        False,
        more.pop("choices", 1),
        more.pop("caller", Caller("c")),
        Deadline(clock, 30.0),
        Record("r-1", "POST", "/", "peer", 0.0),
        hints=RoutingHints(guardrails=more.pop("adds", ())),
    )
    return made.changed(**more) if more else made


def without(settings: Guardrail, **changes: Any) -> Guardrail:
    return attrs.evolve(settings, **changes)
