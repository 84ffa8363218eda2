"""All types of guardrails: the gateway's own, each imported where it is configured, then those that are plugins."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from llmedge.config import ConfigError
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import Checker, Detector, GuardDeps, IGuardType
from llmedge.providers.registry import plugged

DETECTORS: dict[str, str] = {"pii": "pii", "secrets": "secrets", "regex": "regex", "words": "words"}
CHECKERS: dict[str, str] = {
    "length": "length",
    "json_schema": "json_schema",
    "topics": "topics",
    "tools": "tools",
    "injection": "injection",
    "webhook": "webhook",
    "moderation": "moderation",
    "judge": "judge",
    "bedrock": "bedrock",
    "azure": "azure",
    "model_armor": "model_armor",
}
OURS = {**DETECTORS, **CHECKERS}
"""Name → the module of this room whose ``TYPE`` it is."""


class GuardTypes(Mapping[str, Any]):
    """Name → :class:`~llmedge.guards.interfaces.IGuardType`. A type is imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name in OURS:
            return importlib.import_module(f"llmedge.guards.{OURS[name]}").TYPE
        return plugins()[0][name]

    def __iter__(self) -> Iterator[str]:
        return iter([*OURS, *(name for name in plugins()[0] if name not in OURS)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def missing(self) -> str:
        """For whoever misses a plugin: which cannot be imported."""
        return "".join(f"; the plugin {name} cannot be imported: {why}" for name, why in plugins()[1].items())


def plugins() -> tuple[dict[str, Any], dict[str, str]]:
    """Those installed, by name; and of modules that cannot be imported, by name, why."""
    found, broken = plugged(IGuardType)
    return {each.name: each for each in found}, broken


def made(settings: Guardrail, deps: GuardDeps) -> Detector | Checker:
    """What ``settings`` ask for.

    :raises ConfigError: it cannot be made.
    """
    where = f"the guardrail '{settings.name}'"
    if (type := GuardTypes().get(settings.type)) is None:
        raise ConfigError([f"{where} has a type that is none, and no plugin: {settings.type!r}"])
    try:
        guard = type.make(settings, deps)
    except ValueError as error:
        raise ConfigError([f"{where} {error}"]) from None
    if not isinstance(guard, Detector if type.detects else Checker):
        raise ConfigError([f"{where} is of a type whose plugin makes no {'detector' if type.detects else 'checker'}"])
    return guard
