"""Topics that a conversation is to keep to, or out of, known by their words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import PASS, GuardDeps, GuardType, IGuardType, Judgement, Material
from llmedge.guards.looking import in_turns
from llmedge.guards.windows import WINDOW, windows

_WORDS = re.compile(r"\w+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no space between words."""
LONGEST = 128
"""Characters of a phrase: less than windows overlap by."""


@attrs.frozen
class TopicsGuard(Guardrail):
    """What only the type ``topics`` has."""

    allow: tuple[str, ...] = option(
        kinds.strings, (), "Words and phrases of which one has to be there. Default: none has to be."
    )
    deny: tuple[str, ...] = option(kinds.strings, (), "Words and phrases of which none may be there.")
    least: int = option(kinds.integer(0), 0, "How many different ones of deny it takes; 0 and 1: any one.")


class Phrases:
    """Words and phrases, whole words and whatever their case; those of scripts without spaces wherever they stand."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._within: list[str] = []
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for phrase in dict.fromkeys(each.casefold() for each in phrases):
            words = tuple(_WORDS.findall(phrase))
            if _UNSPACED.search(phrase):
                self._within.append(phrase)
            elif words:
                self._by_first.setdefault(words[0], []).append(words)

    def found(self, words: list[str], text: str) -> Iterator[object]:
        """Those among ``words``, which are the folded ``text``'s; each as often as it is there, or nearly."""
        by_first = self._by_first
        for at, word in enumerate(words):
            if word in by_first:
                for phrase in by_first[word]:
                    if len(phrase) == 1 or tuple(words[at : at + len(phrase)]) == phrase:
                        yield phrase
        for part in self._within:
            if part in text:
                yield part


class Topics:
    """Looks for the words of both lists."""

    def __init__(self, settings: TopicsGuard, clock: Any) -> None:
        self._clock = clock
        self._allow, self._deny = Phrases(settings.allow), Phrases(settings.deny)
        self._least = max(1, settings.least)
        self._needs = bool(settings.allow)

    async def check(self, material: Material) -> Judgement:
        denied: set[object] = set()
        allowed: set[object] = set()

        def look() -> Iterator[None]:
            for place in material.places:
                for at, window in windows(place.text):
                    folded = window.casefold()
                    words = _WORDS.findall(folded)
                    if at:
                        del words[0:1]  # may be the end of one, which the window before has had whole
                    if len(window) == WINDOW and at + WINDOW < len(place.text):
                        del words[-1:]
                    denied.update(self._deny.found(words, folded))
                    allowed.update(self._allow.found(words, folded))
                    yield

        await in_turns(look(), self._clock)
        if len(denied) >= self._least:
            return Judgement("block", "topic_denied", finds={"DENIED": len(denied)})
        if self._needs and not allowed and any(place.text for place in material.places):
            return Judgement("block", "topic_not_allowed")
        return PASS


@implementer(IGuardType)
class _Type(GuardType):
    name = "topics"
    settings = TopicsGuard

    def problems(self, settings: TopicsGuard) -> Iterator[tuple[str, str]]:
        if not settings.allow and not settings.deny:
            yield "", 'needs allow or deny, words and phrases such as ["interest rate", "mortgage"]'
        for option_, phrases in (("allow", settings.allow), ("deny", settings.deny)):
            if any(len(each) > LONGEST for each in phrases):
                yield option_, f"must have phrases of at most {LONGEST} characters"
            if any(not _WORDS.search(each) for each in phrases):
                yield option_, "must have phrases with a letter or figure in them"
        if settings.allow and settings.stream == "sentence":
            yield "stream", "must be hold or after with allow: not every sentence has its words"

    def make(self, settings: TopicsGuard, deps: GuardDeps) -> Topics:
        return Topics(settings, deps.reactor)


TYPE = _Type()
