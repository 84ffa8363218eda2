"""``[models.NAME]``: where calls for a model go."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.capabilities import Capabilities
from llmedge.config.option import option, table_schema
from llmedge.config.sections.cache import RULE, CacheRule


@attrs.frozen
class TargetEntry:
    """One of a model's targets."""

    target: str = option(kinds.string, "", 'Where: "PROVIDER/MODEL".')
    weight: float = option(kinds.number(0, 1e6), 1.0, "Its share where targets share the load.")
    max_concurrency: int | None = option(kinds.integer(1), None, "Calls at once; default: no limit.")
    rpm: int | None = option(kinds.integer(1), None, "Requests a minute; default: no limit.")
    tpm: int | None = option(kinds.integer(1), None, "Tokens a minute; default: no limit.")
    tags: tuple[str, ...] = option(kinds.strings, (), 'What clients may ask for with x-llmedge-tags, such as "eu".')

    def __str__(self) -> str:
        return self.target


def _target_list(value: Any, environ: kinds.Environ) -> tuple[TargetEntry, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of "PROVIDER/MODEL" texts or tables')
    if not value:
        raise ValueError("must name at least one target")
    entries = tuple(_target(item, environ) for item in value)
    names = [entry.target for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name!r} twice")
    return entries


def _target(item: Any, environ: kinds.Environ) -> TargetEntry:
    table = {"target": item} if isinstance(item, str) else item
    if not isinstance(table, dict) or not isinstance(table.get("target"), str):
        raise ValueError('must hold "PROVIDER/MODEL" texts, or tables such as {target = "openai/gpt-4o", weight = 3}')
    table = table | {"target": kinds.referred(table["target"], environ)}
    provider, slash, model = table["target"].strip().partition("/")
    if not (provider and slash and model):
        raise ValueError(f'must hold "PROVIDER/MODEL" texts, not {table["target"]!r}')
    fields = attrs.fields_dict(TargetEntry)
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in fields:
            raise ValueError(f"has a target with {name!r}; there is: {', '.join(sorted(fields))}")
        try:
            values[name] = fields[name].metadata["option"].kind.from_toml(value, environ)
        except ValueError as error:
            raise ValueError(f"has a target whose {name} {error}") from None
    return TargetEntry(**values)


_NAME = {"type": "string", "pattern": "^env:|.+/.+"}
_TARGETS = kinds.ValueType(
    'list of "PROVIDER/MODEL" or of tables',
    _target_list,
    {"type": "array", "minItems": 1, "items": {"anyOf": [_NAME, table_schema(TargetEntry) | {"required": ["target"]}]}},
    table=TargetEntry,
)


@attrs.frozen
class Model:
    """One model name clients may ask for."""

    targets: tuple[TargetEntry, ...] = option(
        _TARGETS, (), 'Where it goes: "PROVIDER/MODEL", or {target = "PROVIDER/MODEL", weight = 3, rpm = 600}.'
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
    fallback_on: tuple[int, ...] | None = option(
        kinds.statuses, None, "Statuses of a vendor's refusals after which the next target is asked."
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
    prompt_cache: str = option(
        kinds.choice("off", "auto"),
        "off",
        "Have vendors keep the beginnings of prompts: marks for those that want them, and calls that begin alike go "
        "where that is kept.",
    )
    prompt_cache_ttl: str = option(
        kinds.choice("5m", "1h"), "5m", "How long, from its last use on. Writing for an hour costs more."
    )
    timeout: float | None = option(
        kinds.seconds, None, "Seconds an answer may take, as server.timeout; default: what its targets' providers say."
    )
    stream_timeout: float | None = option(
        kinds.seconds, None, "Seconds a whole stream may take; default: what its targets' providers say."
    )
    first_token_timeout: float | None = option(
        kinds.seconds, None, "As upstream.first_token_timeout, for this model; default: what the provider says."
    )
    shadow: str = option(kinds.string, "", "A target that gets a copy of calls; its answers are only recorded.")
    shadow_share: float = option(kinds.number(0, 1), 1.0, "Share of the calls that are copied.")
    on_unsupported: str = option(
        kinds.choice("hints", "refuse", "drop"),
        "",
        "As the provider's, for this model; default: what the provider says.",
    )
    cache: CacheRule | None = option(
        RULE, None, "What is otherwise than [cache] has it: true, false, or a table such as {ttl = 600}."
    )
    capabilities: Capabilities = attrs.field(factory=Capabilities)
