"""What a key may do, and whatever keys belong to: models, limits, budgets."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.budgets import Budget
from llmedge.config.sections.cache import RULE, CacheRule


def _metadata(value: Any) -> dict[str, str | int | float | bool]:
    if not isinstance(value, dict) or not all(isinstance(each, str | int | float | bool) for each in value.values()):
        raise ValueError("must be a table of texts, numbers, true and false")
    return dict(value)


METADATA = kinds.simple(
    "table of texts, numbers, true and false",
    _metadata,
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
)


@attrs.frozen
class Scope:
    """What it and all below it share."""

    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models it may ask for.")
    rpm: int | None = option(kinds.integer(1), None, "Requests a minute; default: only the global limit.")
    burst: int | None = option(kinds.integer(1), None, "Requests at once; default: rate_limit.burst.")
    tpm: int | None = option(kinds.integer(1), None, "Tokens a minute; default: no limit.")
    max_concurrency: int | None = option(kinds.integer(1), None, "Calls under way; default: no limit.")
    guardrails: tuple[str, ...] = option(
        kinds.strings, (), "Guardrails that its calls go through besides those that hold for all, by name."
    )
    tags: tuple[str, ...] = option(kinds.strings, (), "Words that its calls are found by in the ledger.")
    metadata: dict[str, Any] = option(METADATA, attrs.Factory(dict), "What else is to be known of it.")
    cache: CacheRule | None = option(
        RULE, None, "What is otherwise than [cache] has it: false, or a table such as {ttl = 600}."
    )
    budgets: tuple[Budget, ...] = attrs.field(default=(), metadata={"items": Budget})
