"""Which questions may be answered by what was said to another one at all."""

from __future__ import annotations

import re

from llmedge.cache.semantic import characters
from llmedge.cache.semantic.lexed import CJK, folded
from llmedge.cache.semantic.vocabulary import LANGUAGES

_CODE = re.compile(
    r"`|```|[{}]|;\s*$|;\s*\n|</|/>|<\w+>|\(\)|==|!=|=>|->|::|&&|\|\||\\|\$\(|\^.*\$|"
    r"\b(?i:select\b.{1,80}\bfrom|insert into|update \w+ set|delete from|create table)\b|"
    r"^\s*(?:def|class|import|from|#include) \w",
    re.MULTILINE,
)
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def unfit(text: str) -> str:
    """Why a last message is left alone whatever it is compared with: a word for it; ``""``: it is not."""
    if not text.strip():
        return "empty"
    if _CODE.search(text):
        return "code"
    if "://" in text or "@" in text:
        return "address"
    if is_relative(text):
        return "relative"
    return ""


def is_relative(text: str) -> bool:
    """Whether what it asks moves with the day, in whatever language."""
    if CJK.search(text):
        return characters.is_relative(text)
    small = folded(text)
    words = set(_WORDS.findall(small))
    for vocabulary in LANGUAGES.values():
        if words & vocabulary.relative and (words & vocabulary.common or len(words) < 3):
            return True
        if vocabulary.relative_phrases.search(small):
            return True
    return False
