"""What holds for one call: the configuration, and what its model and its caller's key and teams say otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from llmedge.config.sections.cache import Cache, CacheRule
from llmedge.model import Caller


def policy_of(settings: Cache, model: CacheRule | None, above: Iterable[CacheRule]) -> Cache:
    """:param above: of the caller's key and what that belongs to, the nearest first. Who says no there is heard,
    wherever he stands; else the nearest one counts.
    """
    rules = list(above)
    for rule in ([] if model is None else [model]) + rules[::-1]:
        settings = attrs.evolve(settings, **said(rule))
    if any(rule.enabled is False for rule in rules):
        settings = attrs.evolve(settings, enabled=False)
    return settings


def said(rule: CacheRule) -> dict[str, Any]:
    """The settings that a rule says something of, by name."""
    return attrs.asdict(rule, filter=lambda field, value: value is not None)


def rules_of(caller: Caller) -> tuple[CacheRule, ...]:
    """Those of ``caller``, the nearest first."""
    return tuple(each.cache for each in caller.limits if each.cache is not None)
