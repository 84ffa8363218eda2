"""Where a text may be cut so that no find of ours is cut: behind a word that is whole, and not within a spaced number.

A find is part of one word (no white space, quotation marks, ``<``, ``>``, backquote or CJK character is in it), or of
groups of digits and capitals with single spaces between them (:data:`SPACED` characters at most). So what may still
become one is the last word, and the groups that it continues. Whatever a detector makes of a place is decided by
:data:`CONTEXT` characters before it and by what is up to the next cut: it says the same of a text in pieces.
"""

from __future__ import annotations

import re

from llmedge.guards.interfaces import Find

CONTEXT = 96
"""Characters before a find that a detector looks at, at most."""
SPACED = 64
"""Characters of a find with spaces in it, and of what has to be seen behind it, at most."""
WORD = "A-Za-z0-9_\u00c0-\u024f"
"""For classes of characters: what a number or a key is not part of. CJK characters may stand right beside either."""
SPACE = " \u00a0\u202f"
"""What may stand between groups of digits, one at a time."""

ENDS = r"\s\"<>`\u2e80-\uffef"
"""For classes of characters: what no word goes on over."""
_BREAKS = '\n"<>`\t\r' + SPACE
_CJK = re.compile(r"[\u2e80-\uffef](?=[^\u2e80-\uffef]*\Z)")
_DIGITS = frozenset("0123456789")
_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_AFTER_DIGIT = _DIGITS | _CAPITALS | frozenset("(/-\u2013+")


def unfinished(text: str, reach: int) -> int:
    """How many characters at the end of ``text`` may be, or become, part of a find that has ``reach`` at most."""
    end = len(text)
    start = _word_start(text, end)
    while end - start < SPACED and start >= 2 and _may_join(text, start):
        before = _word_start(text, start - 1)
        if start - before > SPACED:
            break
        start = before
    return min(end - start, reach)


def _word_start(text: str, end: int) -> int:
    start = max([text.rfind(each, 0, end) for each in _BREAKS]) + 1
    if not text.isascii() and (found := _CJK.search(text, start, end)):
        return found.end()
    return start


def _may_join(text: str, start: int) -> bool:
    """Whether a number may have a space right before ``start``, where a word begins or is to begin."""
    if text[start - 1] not in SPACE:
        return False
    before, after = text[start - 2], text[start : start + 1]
    if before in _DIGITS or before == ")":
        return not after or after in _AFTER_DIGIT
    if before in "/-\u2013":
        return not after or after in _DIGITS
    if before in _CAPITALS:
        return not after or after in _DIGITS or (after in _CAPITALS and _is_group(text[start - 7 : start - 1]))
    return False


def _is_group(text: str) -> bool:
    """Four capitals behind a digit and a space: an IBAN may have two such groups, one after the other."""
    return len(text) == 6 and text[0] in _DIGITS and text[1] in SPACE and text[2:].isalpha() and text.isupper()


def resolved(candidates: list[Find]) -> list[Find]:
    """Those of ``candidates`` that stay where some lie over others: the first, of these the longest."""
    if len(candidates) < 2:
        return candidates
    candidates.sort(key=lambda each: (each.start, -each.end))
    finds, done = [], -1
    for each in candidates:
        if each.start >= done:
            finds.append(each)
            done = each.end
    return finds


_LEFT = re.compile(rf"(?:[{WORD}$€£#]|[{WORD}][-/]|[0-9][.,])\Z")
_RIGHT = re.compile(rf"[{WORD}]|[-/][{WORD}]|[.,:][0-9]")


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether what is there is no part of a longer number, name, path or amount."""
    return begins(text, start) and ends(text, end)


def begins(text: str, start: int) -> bool:
    """Whether what begins at ``start`` did not begin before."""
    return not _LEFT.search(text[max(0, start - 2) : start])


def ends(text: str, end: int) -> bool:
    """Whether what is before ``end`` does not go on there."""
    return not _RIGHT.match(text, end)


def lower(text: str) -> str:
    """``text`` in lower case, character for character."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(each.lower() if len(each.lower()) == 1 else each for each in text)
