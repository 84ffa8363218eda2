"""What differs between two settings, for the log. Shows no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from llmedge.config.secret import Secret


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """``["server.timeout: 30.0 → 10.0", "providers.local: added", …]``."""
    if old == new:
        return []
    if attrs.has(type(old)) and type(old) is type(new):
        old, new = attrs.asdict(old, recurse=False), attrs.asdict(new, recurse=False)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines: list[str] = []
        for name in {**old, **new}:
            here = f"{path}.{name}" if path else name
            if name not in old:
                lines.append(f"{here}: added")
            elif name not in new:
                lines.append(f"{here}: removed")
            else:
                lines += differences(old[name], new[name], here)
        return lines
    if isinstance(old, Secret | bytes) or isinstance(new, Secret | bytes) or _holds_objects(old) or _holds_objects(new):
        return [f"{path}: changed"]
    return [f"{path}: {_show(old)} → {_show(new)}"]


def _holds_objects(value: Any) -> bool:
    return attrs.has(type(value)) or (isinstance(value, tuple) and any(attrs.has(type(item)) for item in value))


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
