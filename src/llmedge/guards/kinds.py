"""Kinds of finds, of the words of services."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OTHER = re.compile(r"[^A-Z0-9]+")
_LONGEST = 32
MOST = 16
"""Kinds that one judgement tells of."""


def kind_of(word: str) -> str:
    """``hate/threatening`` → ``HATE_THREATENING``; what has no letter or figure is ``OTHER``."""
    return _OTHER.sub("_", word.upper()).strip("_")[:_LONGEST] or "OTHER"


def counted(words: Iterable[str]) -> dict[str, int]:
    """Kind → how often it is among ``words``."""
    found: dict[str, int] = {}
    for word in words:
        kind = kind_of(word)
        if kind in found or len(found) < MOST:
            found[kind] = found.get(kind, 0) + 1
    return found
