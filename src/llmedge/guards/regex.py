"""The type ``regex``: what fits an operator's own patterns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.cuts import CONTEXT
from llmedge.guards.interfaces import Find, GuardDeps, GuardType
from llmedge.guards.patterns import MOST, Pattern, read

KIND = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_NO_KIND = "is what stands in the find's place, as in [PROJECT]: capitals, digits and _ only"


@attrs.frozen
class RegexSettings(Guardrail):
    """``type = "regex"``."""

    patterns: tuple[str, ...] = option(
        kinds.strings,
        (),
        f"Python's regular expressions. * and + repeat up to {MOST} times; what could take long is refused.",
    )
    kind: str = option(kinds.string, "MATCH", "What finds are called, as in [PROJECT].")
    ignore_case: bool = option(kinds.boolean, False, "Capitals are like small letters.")


class Regex:
    """Finds what fits one of ``patterns``."""

    context = CONTEXT

    def __init__(self, patterns: Sequence[Pattern], kind: str) -> None:
        self.reach = max(each.reach for each in patterns)
        self._patterns = patterns
        self._kind = kind
        self.kinds = frozenset({kind})

    def find(self, text: str, start: int = 0) -> list[Find]:
        """The first match of any, the longest of those that begin there, and on from its end."""
        matches = [(one, one.regex.search(text, start)) for one in self._patterns]
        finds: list[Find] = []
        while found := [match for _, match in matches if match is not None]:
            first = min(found, key=lambda match: (match.start(), -match.end()))
            finds.append(Find(*first.span(), self._kind))
            end = first.end()
            matches = [
                (one, one.regex.search(text, end) if match is not None and match.start() < end else match)
                for one, match in matches
            ]
        return finds

    def growing(self, text: str) -> int:
        """A pattern that begins with a text is waited for where that text is, or begins; another from where its first
        character may be, as long as its longest match could go on."""
        return max(_growing(each, text) for each in self._patterns)


def _growing(pattern: Pattern, text: str) -> int:
    size = len(text)
    at = max(0, size - pattern.reach)
    begins = pattern.begins
    while found := pattern.first.search(text, at):
        at = found.start()
        if not begins or text.startswith(begins, at) or begins.startswith(text[at:]):
            return size - at
        at += 1
    return 0


class RegexType(GuardType):
    name = "regex"
    detects = True
    settings = RegexSettings

    def problems(self, settings: RegexSettings) -> Sequence[tuple[str, str]]:
        problems = [] if KIND.fullmatch(settings.kind) else [("kind", _NO_KIND)]
        if not settings.patterns:
            problems.append(("patterns", "are needed"))
        for source in settings.patterns:
            try:
                read(source, settings.ignore_case)
            except ValueError as error:
                problems.append(("patterns", f"have {source!r}, which {error}"))
        return problems

    def make(self, settings: RegexSettings, deps: GuardDeps) -> Regex:
        return Regex([read(each, settings.ignore_case) for each in settings.patterns], settings.kind)


TYPE: Any = RegexType()
