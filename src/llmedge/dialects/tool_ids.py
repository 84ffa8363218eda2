"""Ids of tool calls. Each vendor makes its own, and refuses what others make: colons, too many characters, none at all.

An id that will not do is replaced by one made of it, the same in a call and in its result, and in every request.
"""

from __future__ import annotations

import hashlib
import re

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_NINE = re.compile(r"[A-Za-z0-9]{9}")


def short_id(identifier: str, longest: int) -> str:
    """An id of at most ``longest`` characters, at least 29."""
    return identifier if 0 < len(identifier) <= longest else _made(identifier)


def word_id(identifier: str, longest: int = 64) -> str:
    """The same, of letters, digits, ``_`` and ``-``: what Anthropic and Bedrock take."""
    return short_id(identifier, longest) if _WORD.fullmatch(identifier) else _made(identifier)


def nine_id(identifier: str) -> str:
    """Nine letters or digits: what Mistral takes."""
    return identifier if _NINE.fullmatch(identifier) else _digest(identifier)[:9]


def _made(identifier: str) -> str:
    return f"call_{_digest(identifier)[:24]}"


def _digest(identifier: str) -> str:
    return hashlib.sha256(identifier.encode(errors="replace")).hexdigest()
