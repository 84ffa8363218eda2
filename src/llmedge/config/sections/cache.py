"""``[cache]``: answers that are given again, and what models and keys say of that."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option, table_schema
from llmedge.config.sections.semantic import Semantic
from llmedge.config.sizes import SIZE

_WHEN = kinds.choice("always", "deterministic", "asked")
_SCOPES = kinds.choice("key", "team", "user", "shared")
_TTL = kinds.number(0.01, 31_536_000)
_STALE = kinds.number(0, 31_536_000)


@attrs.frozen
class CacheRule:
    """What a model, a key, or what a key belongs to says of the cache. What it does not say stays as it is."""

    enabled: bool | None = option(kinds.boolean, None, "Whether answers are kept and given again.")
    ttl: float | None = option(_TTL, None, "Seconds for which an answer is given again.")
    when: str | None = option(_WHEN, None, "Which calls, as cache.when.")
    scope: str | None = option(_SCOPES, None, "Among whom answers are shared, as cache.scope.")
    tool_calls: bool | None = option(kinds.boolean, None, "Whether answers that call a tool are kept.")
    fallbacks: bool | None = option(kinds.boolean, None, "Whether answers of a fallback's targets are kept.")
    coalesce: bool | None = option(kinds.boolean, None, "Whether equal calls under way wait for one.")
    stale_while_revalidate: float | None = option(_STALE, None, "As cache.stale_while_revalidate.")
    stale_if_error: float | None = option(_STALE, None, "As cache.stale_if_error.")
    charge: str | None = option(kinds.choice("none", "full"), None, "What a hit takes of budgets, as cache.charge.")


def _rule(value: Any, environ: kinds.Environ) -> CacheRule:
    if isinstance(value, bool):
        return CacheRule(value)
    if not isinstance(value, dict):
        raise ValueError("must be true, false or a table such as {ttl = 600}")
    fields = attrs.fields_dict(CacheRule)
    said: dict[str, Any] = {}
    for name, each in value.items():
        if name not in fields:
            raise ValueError(f"has {name!r}; there is: {', '.join(fields)}")
        try:
            said[name] = fields[name].metadata["option"].kind.from_toml(each, environ)
        except ValueError as error:
            raise ValueError(f"has a {name} that {error}") from None
    return CacheRule(**said)


RULE = kinds.ValueType(
    "true, false or a table of what is to be otherwise",
    _rule,
    {"anyOf": [{"type": "boolean"}, table_schema(CacheRule)]},
    table=CacheRule,
)


@attrs.frozen
class Cache:
    """Answers that are given again. Off unless it says otherwise."""

    enabled: bool = option(
        kinds.boolean, False, "Keep answers and give them again to whoever asks the same.", env="CACHE_ENABLED"
    )
    ttl: float = option(_TTL, 3600.0, "Seconds for which an answer is given again; up to a tenth less, by chance.")
    max_bytes: int = option(SIZE, 256 << 20, "Memory of this process for answers, keys included.")
    max_entry: int = option(SIZE, 1 << 20, "Longer answers are not kept.")
    scope: str = option(
        _SCOPES,
        "key",
        "Among whom answers are shared: the same key, team, key and end user, or everybody.",
    )
    when: str = option(
        _WHEN,
        "always",
        "Which calls: all that can be, those of temperature 0 or with a seed, or those that ask for it.",
    )
    tool_calls: bool = option(kinds.boolean, False, "Keep answers that call a tool.")
    fallbacks: bool = option(kinds.boolean, False, "Keep answers of a fallback's targets.")
    coalesce: bool = option(kinds.boolean, True, "Let equal calls that are under way at once wait for one.")
    finish: bool = option(kinds.boolean, False, "Let a call that everybody has left end, to keep its answer.")
    stale_while_revalidate: float = option(
        _STALE, 0.0, "Seconds after its ttl for which an answer is given while a new one is asked for."
    )
    stale_if_error: float = option(
        _STALE, 0.0, "Seconds after its ttl for which an answer is given where every target failed."
    )
    charge: str = option(
        kinds.choice("none", "full"), "none", "What a hit takes of budgets: nothing, or what it would have cost."
    )
    embeddings: bool = option(kinds.boolean, True, "Keep embeddings one by one, and ask for those that are missing.")
    semantic: Semantic = attrs.field(factory=Semantic)
