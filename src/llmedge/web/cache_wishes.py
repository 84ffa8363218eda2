"""What a request's head says of the cache: Cache-Control, as RFC 9111 section 5.2.1 has it, and headers of our own."""

from __future__ import annotations

import re
from functools import partial

from llmedge.call import CacheWish
from llmedge.errors import ValidationError
from llmedge.web.head import Table, header_in, values_in

CACHE_HEADERS = (
    b"Cache-Control",
    b"X-Llmedge-Cache",
    b"X-Llmedge-Cache-Ttl",
    b"X-Llmedge-Cache-Namespace",
)
_DIRECTIVE = re.compile(r'\s*([a-z-]+)\s*(?:=\s*"?(\d{1,10})"?)?\s*$')
_MODES = ("on", "off", "refresh")


def cache_wish(table: Table) -> CacheWish | None:
    """What is said; ``None``: nothing. What RFC 9111 does not know is passed over.

    :raises ValidationError: a header of our own makes no sense.
    """
    header = partial(header_in, table)
    said = _directives(b",".join(values_in(table, "cache-control")).decode("latin-1"))
    mode = (header("x-llmedge-cache") or "").strip().lower()
    ttl = header("x-llmedge-cache-ttl")
    namespace = (header("x-llmedge-cache-namespace") or "").strip()
    if mode and mode not in _MODES:
        raise ValidationError("The header x-llmedge-cache must be on, off or refresh.", param="x-llmedge-cache")
    if ttl is not None and not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", ttl.strip()):
        raise ValidationError("The header x-llmedge-cache-ttl must be seconds.", param="x-llmedge-cache-ttl")
    if len(namespace) > 128:
        raise ValidationError(
            "The header x-llmedge-cache-namespace is longer than 128 characters.", param="x-llmedge-cache-namespace"
        )
    wish = CacheWish(
        read=mode not in ("off", "refresh") and "no-cache" not in said,
        only="only-if-cached" in said,
        store=mode != "off" and "no-store" not in said,
        asked=mode in ("on", "refresh") or "max-age" in said,
        max_age=said.get("max-age"),
        min_fresh=said.get("min-fresh") or 0.0,
        max_stale=(said["max-stale"] or float("inf")) if "max-stale" in said else 0.0,
        ttl=None if ttl is None else float(ttl),
        namespace=namespace,
    )
    return None if wish == CacheWish() else wish


def _directives(value: str) -> dict[str, float | None]:
    """Name → seconds; ``None`` where it has none."""
    found: dict[str, float | None] = {}
    for part in value.lower().split(","):
        if (directive := _DIRECTIVE.match(part)) is not None:
            found[directive[1]] = None if directive[2] is None else float(directive[2])
    return found
