"""A moderation endpoint of a vendor that is configured here, asked as any model is.

Sources: platform.openai.com/docs/api-reference/moderations, docs.mistral.ai/api/#tag/classifiers (which has no
``flagged``).
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import msgspec
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.errors import EdgeError
from llmedge.guards.interfaces import GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.guards.kinds import counted
from llmedge.guards.pieces import Pieces
from llmedge.guards.service import failed
from llmedge.operations import Operation

MOST = 100_000
"""Characters of one question: what a model of 32,000 tokens reads."""


@attrs.frozen
class ModerationGuard(Guardrail):
    """What only the type ``moderation`` has."""

    timeout: float = option(kinds.seconds, 3.0, "Seconds that it may take.")
    model: str = option(
        kinds.string,
        "omni-moderation-latest",
        "The model asked, as a caller would name it: PROVIDER/MODEL, or by alias.",
    )
    categories: tuple[str, ...] = option(
        kinds.strings, (), "Categories that count, in the vendor's words; default: all that it flags."
    )
    threshold: float = option(
        kinds.number(0, 1), 0.0, "From which score on a category counts; default: what the vendor flags."
    )


class _Result(msgspec.Struct):
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None] = {}
    flagged: bool | None = None


class Moderated(msgspec.Struct):
    """What the endpoint answers with."""

    results: list[_Result]


_read = msgspec.json.Decoder(Moderated).decode
_encode = msgspec.json.Encoder().encode


class Moderation:
    """Asks one model."""

    def __init__(self, settings: ModerationGuard, deps: GuardDeps) -> None:
        self._settings, self._ask = settings, deps.ask

    async def check(self, material: Material) -> Judgement:
        settings, spent, results = self._settings, 0, []
        for batch in Pieces([place.text for place in material.places], MOST).batches:
            fields = {"input": msgspec.Raw(_encode(batch))}
            try:
                answer, cost = await self._ask(
                    Operation.MODERATIONS, "passthrough", settings.model, fields, material, settings.timeout
                )
            except EdgeError as error:
                raise failed(error) from None
            try:
                found = _read(answer.body).results
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise GuardFailed("answer", "it is no moderation") from None
            if len(found) != len(batch):
                raise GuardFailed("answer", f"it has {len(found)} results for {len(batch)} texts")
            spent += cost or 0
            results += found
        words = [word for result in results for word in self._over(result)]
        scores = [score for result in results for score in result.category_scores.values() if score is not None]
        return Judgement(
            "block" if words else "pass",
            "moderation" if words else "",
            score=max(scores, default=None),
            finds=counted(words),
            cost=spent or None,
        )

    def _over(self, result: _Result) -> Iterator[str]:
        settings = self._settings
        flagged = [name for name, is_so in result.categories.items() if is_so]
        if settings.threshold:
            flagged = [name for name, score in result.category_scores.items() if (score or 0) >= settings.threshold]
        elif result.flagged and not flagged:
            flagged = ["flagged"]  # without a word why
        for name in flagged:
            if not settings.categories or name in settings.categories or name == "flagged":
                yield name


@implementer(IGuardType)
class _Type(GuardType):
    name = "moderation"
    settings = ModerationGuard

    def make(self, settings: ModerationGuard, deps: GuardDeps) -> Moderation:
        return Moderation(settings, deps)


TYPE = _Type()
