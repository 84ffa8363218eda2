"""One question to a Twisted transport that has no public answer."""

from __future__ import annotations

from typing import Any


def unsent(transport: Any) -> int:
    """Bytes given to a transport that the kernel has not taken.

    Where Twisted's names are not what they were, 0, which claims nothing.
    """
    transport = getattr(transport, "transport", None) or transport  # below TLS
    held = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    waiting: int = getattr(transport, "_tempDataLen", 0)
    return held + waiting
