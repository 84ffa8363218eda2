"""What no similarity sees: whether two questions differ in a number, a "not", a name or the order of things. Pure, some
ten microseconds a pair. Guards refuse; that they let a pair through says nothing yet."""

from __future__ import annotations

from collections.abc import Iterable

from llmedge.cache.semantic import characters
from llmedge.cache.semantic.characters import Characters
from llmedge.cache.semantic.lexed import CJK, Lexed, lex
from llmedge.cache.semantic.vocabulary import (
    BOTH_OR_NOT,
    LANGUAGES,
    NEGATING_PREFIXES,
    OPPOSITE_PREFIXES,
    SAME_OR_NOT,
    SYMMETRIC,
)

Analysis = Lexed | Characters


def analyse(text: str) -> Analysis | None:
    """``text`` as guards compare it; ``None``: in a language of which they know nothing."""
    return characters.read(text) if CJK.search(text) else lex(text)


def differing(one: Analysis, other: Analysis) -> str:
    """In what two questions differ so that no answer does for both: a word for it; ``""``: in nothing seen here."""
    if one.text == other.text:
        return ""
    if isinstance(one, Characters) or isinstance(other, Characters):
        both = isinstance(one, Characters) and isinstance(other, Characters)
        return characters.differing(one, other) if both else "language"  # type: ignore[arg-type]
    if one.language != other.language:
        return "language"
    if one.numbers != other.numbers:
        return "numbers"
    if one.negations != other.negations:
        return "negation"
    if one.symbols != other.symbols:
        return "symbols"
    if one.names - other.words or other.names - one.words or (one.first and other.first and one.first != other.first):
        return "names"
    return _kinds(one, other) or _opposites(one, other) or _order(one, other)


def strictly_same(one: Analysis, other: Analysis) -> bool:
    """Whether two questions that do not differ say the same in nearly the same words: no word of either that says what
    it is about is missing in the other, but for synonyms and how one asks."""
    if one.text == other.text:
        return True
    if isinstance(one, Characters) or isinstance(other, Characters):
        if not (isinstance(one, Characters) and isinstance(other, Characters)):
            return False
        alike = not characters.missing_in(one, other) and not characters.missing_in(other, one)
        return alike and bool(one.parts) and one.asked == other.asked
    here, there = set(one.content), set(other.content)
    if (here - there or there - here) and not _joined(one.content, other.content):
        return False
    asked, asked_too = one.says("questions") - {"manner"}, other.says("questions") - {"manner"}
    if not here or asked != asked_too:
        return False
    return not any(_contrary(one.says(kind), other.says(kind)) for kind in ("duty", "ways"))


def words_of(analysis: Analysis) -> frozenset[str]:
    """What it is about, in whatever order: the same for nearly all that are strictly the same."""
    return frozenset(analysis.parts if isinstance(analysis, Characters) else analysis.content)


def apart(one: Analysis, other: Analysis) -> int:
    """By how many words that say what it is about two questions differ on both sides: words said besides are none."""
    if isinstance(one, Characters) or isinstance(other, Characters):
        if not (isinstance(one, Characters) and isinstance(other, Characters)):
            return len(one.text)
        return min(len(characters.missing_in(one, other)), len(characters.missing_in(other, one)))
    here, there = set(one.content), set(other.content)
    return min(len(here - there), len(there - here))


def _kinds(one: Lexed, other: Lexed) -> str:
    for kind in SAME_OR_NOT:
        if one.says(kind) - {"some"} != other.says(kind) - {"some"}:
            return kind
    if _contrary(one.says("quantifiers"), other.says("quantifiers")):
        return "quantifiers"
    for kind in BOTH_OR_NOT:
        if _contrary(one.says(kind), other.says(kind)):
            return kind
    asked, asked_too = one.says("questions") - {"whether"}, other.says("questions") - {"whether"}
    if _contrary(asked, asked_too) and (asked | asked_too) != {"manner", "place"}:
        return "question"
    return ""


def _contrary(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one) and bool(other) and one != other


def _opposites(one: Lexed, other: Lexed) -> str:
    here, there = one.words - other.words, other.words - one.words
    opposites = LANGUAGES[one.language].opposites
    for word in here:
        if not opposites.get(word, frozenset()).isdisjoint(there):
            return "opposites"
        if len(word) > 3 and any(_turned(word, each) for each in there if len(each) > 3):
            return "opposites"
    return ""


def _turned(word: str, other: str) -> bool:
    """Whether only their beginnings differ, and say the contrary."""
    size = 0
    while size < min(len(word), len(other)) and word[-1 - size] == other[-1 - size]:
        size += 1
    if size < 3:
        return False
    begin, begins = word[: len(word) - size], other[: len(other) - size]
    # What the words have in common may begin within a prefix: import, export.
    for more in range(3):
        tail = word[len(word) - size : len(word) - size + more]
        pair = frozenset((begin + tail, begins + tail))
        if pair in OPPOSITE_PREFIXES:
            return True
    if size < 4:
        return False
    return (not begin and begins in NEGATING_PREFIXES) or (not begins and begin in NEGATING_PREFIXES)


def _order(one: Lexed, other: Lexed) -> str:
    """Whether the same things stand in another order."""
    if SYMMETRIC & one.words and SYMMETRIC & other.words:
        return ""
    shared = set(one.content) & set(other.content)
    if set(one.content) != set(other.content) or one.language in ("de", "nl"):
        shared &= one.names | other.names  # of others the place may be another where more is said
    here, there = one.moved & shared, other.moved & shared
    if here <= there or there <= here:
        shared -= here ^ there  # "list in Python" is a "Python list"
    return "" if _among(shared, one.content) == _among(shared, other.content) else "order"


def _among(shared: set[str], words: Iterable[str]) -> list[str]:
    return [word for word in words if word in shared]


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two words here are one there: "user name", a German verb that was taken apart."""
    here = [word for word in one if word not in other]
    there = [word for word in other if word not in one]
    if len(here) < len(there):
        here, there = there, here
    return len(here) == 2 and len(there) == 1 and there[0] in (here[0] + here[1], here[1] + here[0])
