"""How much is said: too much of a question or an answer, or too little of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import PASS, GuardDeps, GuardType, IGuardType, Judgement, Material


@attrs.frozen
class LengthGuard(Guardrail):
    """What only the type ``length`` has."""

    most: int = option(kinds.integer(0), 0, "Characters that all texts may have together; 0: any number.")
    most_each: int = option(kinds.integer(0), 0, "Characters that one text may have; 0: any number.")
    least: int = option(kinds.integer(0), 0, "Characters that an answer has to have; one that calls tools need not.")
    most_texts: int = option(kinds.integer(0), 0, "How many texts there may be; 0: any number.")


class Length:
    """Counts characters, as Unicode does."""

    def __init__(self, settings: LengthGuard) -> None:
        self._settings = settings

    async def check(self, material: Material) -> Judgement:
        settings, places = self._settings, material.places
        lengths = [len(place.text) for place in places]
        total = sum(lengths) + len(material.before)
        if settings.most and total > settings.most:
            return Judgement("block", "too_long")
        if settings.most_each and max(lengths, default=0) > settings.most_each:
            return Judgement("block", "text_too_long")
        if settings.most_texts and len(places) > settings.most_texts:
            return Judgement("block", "too_many_texts")
        if settings.least and material.of == "response" and material.position != "part" and not material.called:
            shortest = min((len(text) for text in material.answer), default=0)
            if shortest < settings.least:
                return Judgement("block", "too_short")
        return PASS


@implementer(IGuardType)
class _Type(GuardType):
    name = "length"
    settings = LengthGuard

    def problems(self, settings: LengthGuard) -> Iterator[tuple[str, str]]:
        if not (settings.most or settings.most_each or settings.least or settings.most_texts):
            yield "", "needs most, most_each, most_texts or least"
        if settings.least and "response" not in settings.on:
            yield "least", 'is about answers: have "response" in on'
        elif settings.least and settings.stream == "sentence":
            yield "stream", "must be hold or after with least: no sentence tells how long an answer gets"

    def make(self, settings: LengthGuard, deps: GuardDeps) -> Length:
        return Length(settings)


TYPE = _Type()
