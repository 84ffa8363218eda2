"""Long texts, a window at a time."""

from __future__ import annotations

from collections.abc import Iterator

WINDOW = 2048
"""Characters of a window."""
OVERLAP = 256
"""Of them, those that the window before has had."""


def windows(text: str) -> Iterator[tuple[int, str]]:
    """``text`` in windows, each with where it begins; one that is no longer than a window is itself one."""
    at = 0
    while True:
        yield at, text[at : at + WINDOW]
        if at + WINDOW >= len(text):
            return
        at += WINDOW - OVERLAP
