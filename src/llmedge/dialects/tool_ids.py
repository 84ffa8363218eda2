"""Ids of tool calls. Each vendor makes its own, and refuses what others make: colons, too many characters, none at all.

An id that will not do is replaced by one made of it, the same in a call and in its result, and in every request.

A client whose dialect has no field for the signature of a call gets it in the id, which clients send back unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import re

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_MARK = "_llmedge-signed_"


def short_id(identifier: str, longest: int) -> str:
    """An id of at most ``longest`` characters, at least 29."""
    return identifier if 0 < len(identifier) <= longest else _made(identifier)


def word_id(identifier: str, longest: int = 64) -> str:
    """The same, of letters, digits, ``_`` and ``-``: what Anthropic and Bedrock take."""
    return short_id(identifier, longest) if _WORD.fullmatch(identifier) else _made(identifier)


def nine_id(identifier: str) -> str:
    """Nine letters or digits: what Mistral takes."""
    return identifier if _NINE.fullmatch(identifier) else _digest(identifier)[:9]


def signed_id(identifier: str, signature: str) -> str:
    """An id of letters, digits, ``_`` and ``-`` that holds a call's signature, any text; as it is without one."""
    if not signature:
        return identifier
    if _WORD.fullmatch(identifier) and _MARK not in identifier:
        return f"{identifier}{_MARK}{_pack(signature)}"
    return f"{_MARK}{_pack(f'{len(identifier)}:{identifier}{signature}')}"


def unsigned_id(identifier: str) -> tuple[str, str]:
    """The id and the signature of which :func:`signed_id` made this; any other id as it is, and ``""``."""
    own, mark, packed = identifier.partition(_MARK)
    if not mark:
        return identifier, ""
    try:
        signature = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
        if not own:
            length, _, both = signature.partition(":")
            own, signature = both[: int(length)], both[int(length) :]
    except ValueError:
        return identifier, ""
    return (own, signature) if signed_id(own, signature) == identifier else (identifier, "")


def _pack(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _made(identifier: str) -> str:
    return f"call_{_digest(identifier)[:24]}"


def _digest(identifier: str) -> str:
    return hashlib.sha256(identifier.encode(errors="replace")).hexdigest()
