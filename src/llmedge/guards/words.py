"""The type ``words``: an operator's list of words and phrases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.cuts import CONTEXT, lower
from llmedge.guards.interfaces import Find, GuardDeps, GuardType
from llmedge.guards.regex import KIND

_LONGEST = 200
_MOST = 5_000
"""Words: putting together as many takes a fifth of a second, once for each configuration."""


@attrs.frozen
class WordsSettings(Guardrail):
    """``type = "words"``."""

    words: tuple[str, ...] = option(kinds.strings, (), "Words and phrases; a space stands for any white space.")
    file: str = option(kinds.string, "", "A file of them, one a line; a line that begins with # is none.")
    kind: str = option(kinds.string, "WORD", "What finds are called, as in [CODENAME].")
    whole: bool = option(kinds.boolean, True, "They are whole words, not parts of others.")
    ignore_case: bool = option(kinds.boolean, True, "Capitals are like small letters.")


class Words:
    """Finds ``words``, of two that begin at the same place the longer."""

    context = CONTEXT

    def __init__(self, words: Iterable[str], kind: str = "WORD", whole: bool = True, ignore_case: bool = True) -> None:
        plain = sorted({" ".join(each.split()) for each in words} - {""}, key=lambda each: (-len(each), each))
        self._case = lower if ignore_case else _same
        self._kind = kind
        self.kinds = frozenset({kind})
        plain = [self._case(each) for each in plain]
        self.reach = len(plain[0]) + 1
        self._prefixes = frozenset(each[:size] for each in plain for size in range(1, len(each) + 1))
        """Of all words: whether what stands at a text's end may become one."""
        self._heads = tuple(sorted({each[0] for each in plain}))
        body = _alternation(plain)
        self._regex = re.compile(rf"(?<!\w){body}(?!\w)" if whole else body)
        self._first = re.compile(f"[{''.join(map(re.escape, self._heads))}]")

    def find(self, text: str, start: int = 0) -> list[Find]:
        low = self._case(text)
        if not any(head in low for head in self._heads):
            return []
        return [Find(*each.span(), self._kind) for each in self._regex.finditer(_plain(low), start)]

    def growing(self, text: str) -> int:
        low = _plain(self._case(text[-self.reach :]))
        size = len(low)
        for found in self._first.finditer(low):
            if low[found.start() :] in self._prefixes:
                return size - found.start()
        return 0


def _same(text: str) -> str:
    return text


_WHITE = re.compile(r"[\s\u00a0]")


def _plain(text: str) -> str:
    """White space is a space, each character one."""
    return _WHITE.sub(" ", text)


def _alternation(words: Sequence[str]) -> str:
    """A pattern for all of them that looks at each character once: a tree of what they begin with."""
    tree: dict[str, Any] = {}
    for word in words:
        branch = tree
        for char in word:
            branch = branch.setdefault(char, {})
        branch[""] = {}
    return _branches(tree)


def _branches(tree: dict[str, Any]) -> str:
    optional = "" in tree
    parts = [re.escape(char) + _branches(branch) for char, branch in tree.items() if char]
    if not parts:
        return ""
    body = parts[0] if len(parts) == 1 and not optional else f"(?:{'|'.join(parts)})"
    return f"{body}?" if optional else body


class WordsType(GuardType):
    name = "words"
    detects = True
    settings = WordsSettings

    def problems(self, settings: WordsSettings) -> Sequence[tuple[str, str]]:
        problems = []
        if not KIND.fullmatch(settings.kind):
            problems.append(
                ("kind", "is what stands in the find's place, as in [CODENAME]: capitals, digits and _ only")
            )
        try:
            _words(settings)
        except ValueError as error:
            problems.append(("file" if settings.file else "words", str(error)))
        return problems

    def make(self, settings: WordsSettings, deps: GuardDeps) -> Words:
        return Words(_words(settings), settings.kind, settings.whole, settings.ignore_case)


def _words(settings: WordsSettings) -> list[str]:
    """:raises ValueError: there are none, or too many, or too long ones; the message is a predicate."""
    words = list(settings.words)
    if settings.file:
        try:
            lines = Path(settings.file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read: {error}") from None
        words += [each for each in lines if not each.startswith("#")]
    words = [each for each in words if each.strip()]
    if not words:
        raise ValueError("are needed: words, or a file of them")
    if len(words) > _MOST or max(map(len, words)) > _LONGEST:
        raise ValueError(f"are to be {_MOST} at most, of {_LONGEST} characters each")
    return words


TYPE: Any = WordsType()
