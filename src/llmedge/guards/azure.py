"""Azure AI Content Safety: harm categories and prompt shields.

Sources: learn.microsoft.com/azure/ai-services/content-safety/quickstart-text (``text:analyze``),
learn.microsoft.com/azure/ai-services/content-safety/quickstart-jailbreak (``text:shieldPrompt``),
learn.microsoft.com/azure/ai-services/content-safety/overview (10,000 characters a question).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import attrs
import msgspec
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import PASS, GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.guards.kinds import counted
from llmedge.guards.pieces import Pieces
from llmedge.guards.service import Service, together

MOST = 10_000
"""Characters of one question."""
CATEGORIES = ("Hate", "SelfHarm", "Sexual", "Violence")
USERS = ("request",)
"""What a user says: the rest of a request is shown to the shield as documents."""


@attrs.frozen
class AzureGuard(Guardrail):
    """What only the type ``azure`` has."""

    timeout: float = option(kinds.seconds, 2.0, "Seconds that it may take.")
    url: str = option(kinds.url, "", "The resource's endpoint, such as https://NAME.cognitiveservices.azure.com.")
    api_key: Secret | None = option(kinds.secret, None, "The resource's key.")
    api_version: str = option(kinds.string, "2024-09-01", "The version of its API.")
    checks: tuple[str, ...] = option(
        kinds.choices("harm", "shield"),
        ("harm", "shield"),
        "harm asks for severities by category; shield, of requests, for attacks on the prompt.",
    )
    categories: tuple[str, ...] = option(kinds.choices(*CATEGORIES), CATEGORIES, "Of harm, those that count.")
    severity: int = option(kinds.integer(1, 6), 4, "From which severity on: 2 is low, 4 medium, 6 high.")
    blocklists: tuple[str, ...] = option(kinds.strings, (), "Names of the resource's blocklists.")


class _Category(msgspec.Struct):
    category: str
    severity: int


class Analysis(msgspec.Struct, rename="camel"):
    """Of ``text:analyze``. The items of blocklists, which hold words, are only counted."""

    categories_analysis: list[_Category]
    blocklists_match: list[Any] = []


class _Attack(msgspec.Struct, rename="camel"):
    attack_detected: bool


class Shielded(msgspec.Struct, rename="camel"):
    """Of ``text:shieldPrompt``."""

    user_prompt_analysis: _Attack | None = None
    documents_analysis: list[_Attack] | None = None


_read_analysis = msgspec.json.Decoder(Analysis).decode
_read_shielded = msgspec.json.Decoder(Shielded).decode


class Azure:
    """Asks one resource. Texts are put together up to what one question may have, and looked at all at once."""

    def __init__(self, settings: AzureGuard, deps: GuardDeps) -> None:
        self._service = Service(deps, settings.name, settings.timeout)
        self._settings = settings
        assert settings.api_key is not None
        self._headers = {"ocp-apim-subscription-key": settings.api_key.reveal()}

    async def check(self, material: Material) -> Judgement:
        asking: list[Any] = []
        if "harm" in self._settings.checks:
            asking += [partial(self._analyze, text) for text in _joined([place.text for place in material.places])]
        if "shield" in self._settings.checks and material.of == "request":
            said = [place.text for place in material.places if place.where in USERS]
            read = [place.text for place in material.places if place.where not in USERS]
            asking += [partial(self._shield, "userPrompt", text) for text in _joined(said)]
            asking += [partial(self._shield, "documents", text) for text in _joined(read)]
        if not asking:
            return PASS
        found: list[list[str]] = await self._service.judge(lambda: together(asking))
        finds = counted(word for words in found for word in words)
        return Judgement("block", "azure", finds=finds) if finds else PASS

    async def _analyze(self, text: str) -> list[str]:
        settings = self._settings
        fields: dict[str, Any] = {"text": text, "categories": settings.categories, "outputType": "FourSeverityLevels"}
        if settings.blocklists:
            fields |= {"blocklistNames": settings.blocklists, "haltOnBlocklistHit": False}
        analysis = await self._service.ask(self._where("analyze"), self._headers, fields, _read_analysis)
        severities = {each.category: each.severity for each in analysis.categories_analysis}
        if missing := set(settings.categories).difference(severities):
            raise GuardFailed("answer", f"it says nothing of {', '.join(sorted(missing))}")
        over = [name for name in settings.categories if severities[name] >= settings.severity]
        return over + ["blocklist"] * len(analysis.blocklists_match)

    async def _shield(self, field: str, text: str) -> list[str]:
        fields = {field: text if field == "userPrompt" else [text]}
        shielded = await self._service.ask(self._where("shieldPrompt"), self._headers, fields, _read_shielded)
        user, documents = shielded.user_prompt_analysis, shielded.documents_analysis or []
        attacks = [user] if field == "userPrompt" and user is not None else documents if field == "documents" else []
        if len(attacks) != 1:
            raise GuardFailed("answer", "it says nothing of what was asked")
        return ["attack"] if attacks[0].attack_detected else []

    def _where(self, verb: str) -> str:
        return f"{self._settings.url}/contentsafety/text:{verb}?api-version={self._settings.api_version}"


def _joined(texts: list[str]) -> list[str]:
    """``texts``, each on a line of its own, in as few pieces as a question may hold."""
    return ["\n".join(batch) for batch in Pieces(texts, MOST, gap=1).batches]


@implementer(IGuardType)
class _Type(GuardType):
    name = "azure"
    settings = AzureGuard

    def problems(self, settings: AzureGuard) -> Iterator[tuple[str, str]]:
        if not settings.url:
            yield "", 'needs url, such as url = "https://NAME.cognitiveservices.azure.com"'
        if settings.api_key is None:
            yield "", 'needs api_key, such as api_key = "env:CONTENT_SAFETY_KEY"'
        if not re.fullmatch(r"[\w.-]+", settings.api_version):
            yield "api_version", "must be one of Azure's, such as 2024-09-01"
        if not settings.checks or not settings.categories:
            yield "checks", "must have something to check"

    def make(self, settings: AzureGuard, deps: GuardDeps) -> Azure:
        return Azure(settings, deps)


TYPE = _Type()
