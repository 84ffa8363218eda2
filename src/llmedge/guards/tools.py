"""Tools that may be offered and called, by patterns of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate

import attrs
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import ON, Guardrail
from llmedge.guards.interfaces import PASS, GuardDeps, GuardType, IGuardType, Judgement, Material


@attrs.frozen
class ToolsGuard(Guardrail):
    """What only the type ``tools`` has. ``on``: ``tools`` are those offered, ``tool_calls`` those called in the
    conversation, ``response`` those that the answer calls."""

    on: tuple[str, ...] = option(ON, ("tools", "tool_calls", "response"), "Where, as with all guardrails.")
    allow: tuple[str, ...] = option(kinds.strings, (), "Patterns of names; others are not allowed. Default: all are.")
    deny: tuple[str, ...] = option(kinds.strings, (), "Patterns of names that are not allowed, whatever allow says.")


class Tools:
    """Compares names, whole and with their case."""

    def __init__(self, settings: ToolsGuard) -> None:
        self._on = settings.on
        self._allowed = _matcher(settings.allow or ("*",))
        self._denied = _matcher(settings.deny)

    async def check(self, material: Material) -> Judgement:
        offered = [tool.name for tool in material.offered] if "tools" in self._on and material.of == "request" else []
        called = [tool.name for tool in material.called if tool.where in self._on]
        finds = {kind: n for kind, names in (("OFFERED", offered), ("CALLED", called)) if (n := self._wrong(names))}
        return Judgement("block", "tools", finds=finds) if finds else PASS

    def _wrong(self, names: Iterable[str]) -> int:
        return sum(1 for name in names if not self._allowed(name) or self._denied(name))


def _matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


@implementer(IGuardType)
class _Type(GuardType):
    name = "tools"
    settings = ToolsGuard

    def problems(self, settings: ToolsGuard) -> Iterator[tuple[str, str]]:
        if not settings.allow and not settings.deny:
            yield "", 'needs allow or deny, patterns of names such as ["get_*"]'
        if not {"tools", "tool_calls", "response"}.intersection(settings.on):
            yield "on", "must have tools, tool_calls or response: no tool is offered or called elsewhere"
        if settings.stream == "sentence":
            yield "stream", "must be hold or after: a call of a tool is no sentence"

    def make(self, settings: ToolsGuard, deps: GuardDeps) -> Tools:
        return Tools(settings)


TYPE = _Type()
