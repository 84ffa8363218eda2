"""A score for texts that try to have a model follow somebody else than whom it should: a hint, not a wall.

Each of :data:`SIGNS` is evidence of some weight; independent ones add up (a noisy OR), so that no single phrase, which
people quote, translate and ask about, reaches the threshold. Some count only where text comes from outside, such as in
the result of a tool, which has no business to address the model (Greshake et al., "Not what you've signed up for",
2023; OWASP LLM01). Who knows the signs writes around them: paraphrases, other languages, pictures and texts in pieces
are not seen. What helps is to limit what tools may do (``tools``), and not to act on what a page says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import attrs
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import ON, Guardrail
from llmedge.guards.interfaces import GuardDeps, GuardType, IGuardType, Judgement, Material
from llmedge.guards.looking import in_turns
from llmedge.guards.signs import SIGNS
from llmedge.guards.windows import windows

OUTSIDE = ("tool_results", "tools")
"""Where text is of neither the operator nor the user."""
_HIDDEN = re.compile("[\U000e0000-\U000e007f]{10,}")
"""Letters of the tag block, which nobody sees and models read; flags of regions have seven at most."""
_UNSEEN = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_MANY_UNSEEN = 16
_SPACES = re.compile(r"[^\S\n]{2,}|[\t\r]")


@attrs.frozen
class InjectionGuard(Guardrail):
    """What only the type ``injection`` has."""

    on: tuple[str, ...] = option(ON, ("tool_results",), "Where, as with all guardrails: texts from outside first.")
    threshold: float = option(kinds.number(0, 1), 0.9, "From which score on it is one.")


def score(said: str, outside: bool) -> tuple[float, list[str]]:
    """How likely a text is an injection, from 0 to 1, and the kinds of signs it has.

    :param outside: it is of neither the operator nor the user.
    """
    kinds_found, innocent = [], 1.0
    if not said.isascii():
        if _HIDDEN.search(said):
            kinds_found.append("HIDDEN_TEXT")
            innocent *= 0.04
        seen = said.translate(_UNSEEN)
        if len(said) - len(seen) >= _MANY_UNSEEN:
            kinds_found.append("UNSEEN_CHARACTERS")
            innocent *= 0.7
        said = unicodedata.normalize("NFKC", seen)
    said = _SPACES.sub(" ", said.casefold())
    for sign in SIGNS:
        if sign.outside and not outside:
            continue
        if any(word in said for word in sign.words) and sign.pattern.search(said) is not None:
            kinds_found.append(sign.kind)
            innocent *= 1.0 - sign.weight
    return 1.0 - innocent, kinds_found


class Injection:
    """Scores each text by itself; the highest counts."""

    def __init__(self, settings: InjectionGuard, clock: Any) -> None:
        self._threshold, self._clock = settings.threshold, clock

    async def check(self, material: Material) -> Judgement:
        scores = [(0.0, list[str]())]

        def look() -> Iterator[None]:
            for place in material.places:
                for _, window in windows(place.text):
                    scores.append(score(window, place.where in OUTSIDE))
                    yield

        await in_turns(look(), self._clock)
        highest, signs = max(scores, key=lambda each: each[0])
        if highest >= self._threshold:
            return Judgement("block", "injection", score=round(highest, 3), finds=dict.fromkeys(signs, 1))
        return Judgement(score=round(highest, 3))


@implementer(IGuardType)
class _Type(GuardType):
    name = "injection"
    settings = InjectionGuard

    def make(self, settings: InjectionGuard, deps: GuardDeps) -> Injection:
        return Injection(settings, deps.reactor)


TYPE = _Type()
