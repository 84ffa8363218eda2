"""Whether files have changed, by what the disk says of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

FileState = tuple[tuple[int, int, int] | None, ...]
"""When each was changed, how long it is and which it is; ``None`` for one that is not there."""


def state_of(paths: Iterable[str]) -> FileState:
    """How ``paths`` are now, behind links: Kubernetes renews what it mounts by changing where a link leads."""
    return tuple(map(_state_of, paths))


def _state_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)
