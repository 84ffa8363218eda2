"""``[models.NAME]``: where calls for a model go."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.capabilities import Capabilities
from llmedge.config.kinds import TargetEntry
from llmedge.config.option import option


@attrs.frozen
class Model:
    """One model name clients may ask for."""

    targets: tuple[TargetEntry, ...] = option(
        kinds.targets, (), 'Where it goes: "PROVIDER/MODEL", or {target = "PROVIDER/MODEL", weight = 3, rpm = 600}.'
    )
    strategy: str = option(
        kinds.choice("priority", "weighted", "round_robin", "least_busy", "latency", "cost"),
        "priority",
        "Which target is asked first; the others follow when it fails.",
    )
    fallbacks: tuple[str, ...] = option(kinds.strings, (), "Models to ask when all targets are out, in order.")
    context_fallbacks: tuple[str, ...] = option(
        kinds.strings, (), "Models to ask when the prompt is too long for the targets, in order."
    )
    hedge: str | float | None = option(kinds.hedge, None, "Ask the next target as well when one is slow.")
    stream_recovery: str | None = option(
        kinds.choice("off", "splice", "continue", "buffer"),
        None,
        "What becomes of a stream that breaks after its first token; default: splice where another target is left.",
    )
    sticky: str = option(
        kinds.string, "", 'Keeps calls that belong together on one target: "prompt", or "header:NAME" of the client\'s.'
    )
    shadow: str = option(kinds.string, "", "A target that gets a copy of calls; its answers are only recorded.")
    shadow_share: float = option(kinds.number(0, 1), 1.0, "Share of the calls that are copied.")
    on_unsupported: str = option(
        kinds.choice("refuse", "drop"), "", "As the provider's, for this model; default: what the provider says."
    )
    capabilities: Capabilities = attrs.field(factory=Capabilities)
