"""Google Cloud Model Armor, asked by ``sanitizeUserPrompt`` and ``sanitizeModelResponse``
(docs.cloud.google.com/model-armor/sanitize-prompts-responses,
docs.cloud.google.com/model-armor/reference/rest/v1/SanitizationResult).

Where only Sensitive Data Protection has found something, and has masked it, its text stands in the place of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import attrs
import msgspec
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.urls import in_the_clear
from llmedge.errors import TargetError
from llmedge.guards.interfaces import PASS, GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.guards.kinds import counted
from llmedge.guards.pieces import Pieces
from llmedge.guards.service import Service, failed, together
from llmedge.providers.service_account import ServiceAccount

MOST = 40_000
"""Characters of one question: about 10,000 tokens, which all of its filters look at."""
_TEMPLATE = re.compile(r"projects/[a-z0-9][a-z0-9:.-]{0,62}/locations/([a-z0-9-]{1,32})/templates/[\w-]{1,63}")


@attrs.frozen
class ModelArmorGuard(Guardrail):
    """What only the type ``model_armor`` has."""

    timeout: float = option(kinds.seconds, 2.0, "Seconds that it may take.")
    template: str = option(kinds.string, "", "projects/PROJECT/locations/LOCATION/templates/NAME.")
    credentials: Secret | None = option(
        kinds.document, None, "The service account's JSON key.", fallback=("GOOGLE_APPLICATION_CREDENTIALS",)
    )
    token_url: str = option(
        kinds.url, "", "Where its access tokens come from, in the place of https://oauth2.googleapis.com/token."
    )
    url: str = option(kinds.url, "", "Where it is asked, in the place of the location's own endpoint.")

    def account(self) -> ServiceAccount:
        """:raises ValueError: ``credentials`` are no key of a service account; a predicate about them."""
        return ServiceAccount.parse(self.credentials.reveal() if self.credentials else "", self.token_url)


class _Result(msgspec.Struct, rename="camel"):
    filter_match_state: Literal["MATCH_FOUND", "NO_MATCH_FOUND"]
    invocation_result: str
    filter_results: dict[str, Any] | list[dict[str, Any]] = {}


class Sanitized(msgspec.Struct, rename="camel"):
    """What it answers with. What was found is not read."""

    sanitization_result: _Result


_read = msgspec.json.Decoder(Sanitized).decode


class ModelArmor:
    """Asks with one template: a question a text."""

    def __init__(self, settings: ModelArmorGuard, deps: GuardDeps) -> None:
        from treq.client import HTTPClient

        from llmedge.providers.google_token import VertexToken
        from llmedge.upstream.agent import UpstreamAgent

        account = settings.account()
        agent: Any = UpstreamAgent(deps.reactor, deps.client, deps.limits, origins=[account.token_uri])
        http: Any = HTTPClient(agent)
        self._signer = VertexToken(deps.reactor, account, http)
        self._service = Service(deps, settings.name, settings.timeout)
        found = _TEMPLATE.fullmatch(settings.template)
        assert found is not None
        self._url = f"{settings.url or f'https://modelarmor.{found[1]}.rep.googleapis.com'}/v1/{settings.template}"

    def close(self) -> None:
        """Its token is not renewed any more."""
        self._signer.close()

    async def check(self, material: Material) -> Judgement:
        pieces = Pieces([place.text for place in material.places], MOST, 1)
        verb, field = ("sanitizeUserPrompt", "userPromptData")
        if material.of == "response":
            verb, field = ("sanitizeModelResponse", "modelResponseData")
        asking = [partial(self._ask, verb, field, batch[0]) for batch in pieces.batches]
        if not asking:
            return PASS
        found = await self._service.judge(lambda: together(asking))
        words = [word for filters, _ in found for word in filters]
        if not words:
            return PASS
        masked = [text for _, text in found if text is not None]
        if len(masked) < len(found):
            return Judgement("block", "model_armor", finds=counted(words))
        return Judgement("change", "model_armor", finds=counted(words), texts=pieces.whole(masked))

    async def _ask(self, verb: str, field: str, text: str) -> tuple[list[str], str | None]:
        """What was found, and what may stand in the place of ``text``; ``None`` where nothing may."""
        url, fields = f"{self._url}:{verb}", {field: {"text": text}}
        try:
            headers = dict(await self._signer.headers("POST", url, b""))
        except TargetError as error:
            raise failed(error) from None
        sanitized = await self._service.ask(url, headers, fields, _read, len(text))
        result = sanitized.sanitization_result
        if result.filter_match_state == "MATCH_FOUND":
            return _found(result)
        if result.invocation_result != "SUCCESS":
            raise GuardFailed("answer", "not all of its filters have looked")
        return [], text


def _found(result: _Result) -> tuple[list[str], str | None]:
    results = result.filter_results
    tables = results.items() if isinstance(results, dict) else [pair for each in results for pair in each.items()]
    words, masked = [], None
    for name, table in tables:
        if not _matches(table):
            continue
        words.append(name.removesuffix("FilterResult"))
        text = _within(_within(table, "deidentifyResult"), "text")
        masked = text if isinstance(text, str) and len(words) == 1 else None
    if result.invocation_result != "SUCCESS":
        masked = None  # who has not looked might have found more
    return words or ["other"], masked


def _matches(value: Any) -> bool:
    """A table of any depth that says so."""
    if not isinstance(value, dict):
        return False
    return value.get("matchState") == "MATCH_FOUND" or any(map(_matches, value.values()))


def _within(value: Any, name: str) -> Any:
    """What is called ``name``, in ``value`` or a table in it."""
    if not isinstance(value, dict):
        return None
    return value[name] if name in value else next(filter(None, (_within(each, name) for each in value.values())), None)


@implementer(IGuardType)
class _Type(GuardType):
    name = "model_armor"
    settings = ModelArmorGuard

    def problems(self, settings: ModelArmorGuard) -> Iterator[tuple[str, str]]:
        if _TEMPLATE.fullmatch(settings.template) is None:
            yield "template", "must be projects/PROJECT/locations/LOCATION/templates/NAME"
        if in_the_clear(settings.token_url):
            yield "token_url", "must be https, unless it is on this machine"
        if settings.credentials is None:
            yield "", "needs credentials, the path of a service account's key"
        else:
            try:
                settings.account()
            except ValueError as error:
                yield "credentials", str(error)

    def make(self, settings: ModelArmorGuard, deps: GuardDeps) -> ModelArmor:
        return ModelArmor(settings, deps)


TYPE = _Type()
