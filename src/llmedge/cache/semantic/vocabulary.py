"""What is known of a language's words: ``words/LANGUAGE.toml``. A text in a language without one is left alone."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

SAME_OR_NOT = ("quantifiers", "relations", "units")
"""Kinds of words that two questions have to share."""
BOTH_OR_NOT = ("spans", "forms", "whose", "third", "tenses", "categories")
"""Kinds in which two questions may not differ where both say something."""
KINDS = (*SAME_OR_NOT, *BOTH_OR_NOT, "questions", "duty", "ways", "numbers", "calendar", "languages")
_FOLDER = Path(__file__).with_name("words")


@attrs.frozen(eq=False)
class Vocabulary:
    """One language's.

    :ivar common: words that say nothing of what a question is about.
    :ivar known: words by which the language is known. ``letters``: those it has besides a to z.
    :ivar auxiliaries: words that begin a question of yes or no.
    :ivar relative: what moves with the day, such as "today"; ``relative_phrases``: of several words.
    :ivar kinds: kind → word → what it says, such as ``units`` → ``metres`` → ``m``.
    :ivar opposites: word → those that say the contrary.
    :ivar synonyms: word → the one that stands for all that say the same.
    :ivar frames: how questions are asked, and what stands for it: politeness is nothing, "the way to" is "how".
    """

    common: frozenset[str]
    known: frozenset[str]
    auxiliaries: frozenset[str]
    letters: frozenset[str]
    negations: frozenset[str]
    relative: frozenset[str]
    relative_phrases: re.Pattern[str]
    kinds: Mapping[str, Mapping[str, str]]
    opposites: Mapping[str, frozenset[str]]
    synonyms: Mapping[str, str]
    frames: tuple[tuple[re.Pattern[str], str], ...]


def _read(name: str) -> dict[str, Any]:
    """As texts are compared: what is written with a capital or an ß there is folded."""
    return tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text("utf-8").replace("ß", "ss"))


def _vocabulary(name: str, everywhere: Mapping[str, Any]) -> Vocabulary:
    said = _read(name)
    kinds = {
        kind: {
            word: value
            for table in (everywhere.get(kind, {}), said.get(kind, {}))
            for value, words in table.items()
            for word in words.split()
        }
        for kind in KINDS
    }
    return Vocabulary(
        frozenset(said["common"].split()),
        frozenset(said["common"].split()) | frozenset(said["openers"].split()) | kinds["numbers"].keys(),
        frozenset(said["auxiliaries"].split()),
        frozenset(said["letters"]),
        frozenset(said["negations"].split()),
        frozenset(said["relative"].split()),
        re.compile("|".join(said.get("relative_phrases", ())) or r"(?!)"),
        kinds,
        _opposites(said["opposites"].split()),
        _synonyms(said["synonyms"].split()),
        tuple((re.compile(pattern), instead) for pattern, instead in said["frames"]),
    )


def _opposites(pairs: Iterable[str]) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        one, other = pair.split("/")
        found[one].add(other)
        found[other].add(one)
    return {word: frozenset(others) for word, others in found.items()}


def _synonyms(groups: Iterable[str]) -> dict[str, str]:
    return {word: group.partition("/")[0] for group in groups for word in group.split("/")}


_everywhere = _read("all")
LANGUAGES: Mapping[str, Vocabulary] = {
    name: _vocabulary(name, _everywhere) for name in ("en", "de", "fr", "es", "it", "pt", "nl", "ru")
}
"""Japanese and Chinese are read otherwise: :mod:`.characters`."""

OPPOSITE_PREFIXES = frozenset(frozenset(pair.split("/")) for pair in _everywhere["opposite_prefixes"].split())
"""Beginnings that turn a word round where another stands in its place."""
NEGATING_PREFIXES = frozenset(_everywhere["negating_prefixes"].split())
"""Beginnings that turn a word round where it has none otherwise."""
SYMMETRIC = frozenset(_everywhere["symmetric"].split())
"""In a question with such a word either of two things may come first."""
DEGREES = frozenset(_everywhere["degrees"].split())
"""Behind "how" they ask for a measure."""
OPPOSITE_CHARACTERS = tuple(frozenset(pair) for pair in _everywhere["opposite_characters"].split())
"""Of Japanese and Chinese."""
