"""How much deployments are given at most, as configured."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.routing import Routing
from llmedge.model import Clock
from llmedge.pipeline.standings import UNLIMITED
from llmedge.state.concurrency import FixedLimit, LearnedLimit, Limit


def most_at_once(entry: TargetEntry | None) -> int:
    """Calls at once at a target of that entry."""
    return UNLIMITED if entry is None or entry.max_concurrency is None else min(entry.max_concurrency, UNLIMITED)


def limit_of(entry: TargetEntry | None, routing: Routing, clock: Clock) -> Limit:
    """The limit of them, learned or not."""
    return LearnedLimit(clock, most_at_once(entry)) if routing.adaptive else FixedLimit(most_at_once(entry))


def strictest(models: Mapping[str, Model]) -> dict[str, TargetEntry]:
    """The limits of each target. Where several models name it, the lowest of each kind holds: it is one deployment."""
    found: dict[str, TargetEntry] = {}
    for model in models.values():
        for entry in model.targets:
            known = found.get(entry.target)
            if known is not None:
                entry = TargetEntry(
                    entry.target,
                    max_concurrency=_least(known.max_concurrency, entry.max_concurrency),
                    rpm=_least(known.rpm, entry.rpm),
                    tpm=_least(known.tpm, entry.tpm),
                )
            found[entry.target] = entry
    return found


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
