"""The syntax of ``LOG_FILTER`` and ``RUST_LOG``: a default level and levels by namespace."""

from __future__ import annotations

LEVELS = {
    "trace": 0,
    "debug": 10,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "off": 100,
}
"""Level name → weight; a message passes when its weight is not below its namespace's."""


def parse_filter(text: str) -> tuple[str | None, dict[str, str]]:
    """``"info,llmedge=debug,twisted=warn"`` → ``("info", {"llmedge": "debug", "twisted": "warn"})``.

    A Rust path (``a::b``) is read as ``a.b``; a directive with a span (``a[b]=info``) names nothing of ours
    and is passed over.

    :raises ValueError: a level that is none.
    """
    default: str | None = None
    by_namespace: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        if "[" in part:
            continue
        namespace, equals, level = (piece.strip() for piece in part.rpartition("="))
        level = level.lower()
        if not equals and level not in LEVELS:
            namespace, level = part, "trace"  # a bare namespace turns on everything, as in env_logger
            if not all(c.isalnum() or c in "_.:-" for c in namespace):
                raise ValueError(f"has {part!r}, which is neither LEVEL nor NAMESPACE=LEVEL")
        if level not in LEVELS:
            raise ValueError(f"has the level {level!r}; there is: trace, debug, info, warn, error, off")
        if namespace:
            by_namespace[namespace.replace("::", ".")] = level
        else:
            default = level
    return default, by_namespace
