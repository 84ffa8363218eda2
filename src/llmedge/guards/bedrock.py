"""Amazon Bedrock Guardrails, asked by ``ApplyGuardrail``
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html).

Where it only masks, the texts that it gives stand in the place of ours; where it blocks, its message to the user is not
shown.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

import attrs
import msgspec
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.guardrails import Guardrail
from llmedge.errors import TargetError
from llmedge.guards.interfaces import PASS, GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.guards.kinds import counted
from llmedge.guards.pieces import Pieces
from llmedge.guards.service import Service, failed, together
from llmedge.providers.vendor import is_place

MOST = 25_000
"""Characters of one question: 25 text units, what a guardrail takes a second unless AWS was asked for more."""


@attrs.frozen
class BedrockGuard(Guardrail):
    """What only the type ``bedrock`` has."""

    timeout: float = option(kinds.seconds, 2.0, "Seconds that it may take.")
    guardrail: str = option(kinds.string, "", "Id or ARN of the guardrail at AWS.")
    version: str = option(kinds.string, "DRAFT", "Its version.")
    region: str = option(kinds.string, "", "The AWS region.", fallback=("AWS_REGION", "AWS_DEFAULT_REGION"))
    api_key: Secret | None = option(kinds.secret, None, "A Bedrock API key, in the place of access_key and secret_key.")
    access_key: Secret | None = option(kinds.secret, None, "AWS access key id.")
    secret_key: Secret | None = option(kinds.secret, None, "AWS secret access key.")
    session_token: Secret | None = option(kinds.secret, None, "AWS session token of temporary keys.")
    url: str = option(kinds.url, "", "Where it is asked, in the place of the region's own endpoint.")


class _Output(msgspec.Struct):
    text: str


class _Characters(msgspec.Struct):
    guarded: int
    total: int


class _Coverage(msgspec.Struct, rename="camel"):
    text_characters: _Characters | None = None


class Applied(msgspec.Struct, rename="camel"):
    """What ``ApplyGuardrail`` answers with."""

    action: Literal["NONE", "GUARDRAIL_INTERVENED"]
    outputs: list[_Output] = []
    assessments: list[dict[str, Any]] = []
    guardrail_coverage: _Coverage | None = None


_read = msgspec.json.Decoder(Applied).decode


class Bedrock:
    """Asks one guardrail of AWS's."""

    def __init__(self, settings: BedrockGuard, deps: GuardDeps) -> None:
        """:raises ValueError: botocore is missing."""
        self._service = Service(deps, settings.name, settings.timeout)
        where = settings.url or f"https://bedrock-runtime.{settings.region}.amazonaws.com"
        if settings.region.startswith("cn-") and not settings.url:
            where += ".cn"
        name, version = quote(settings.guardrail, safe=""), quote(settings.version, safe="")
        self._url = f"{where}/guardrail/{name}/version/{version}/apply"
        self._signer: Any = None
        self._headers: dict[str, str] = {}
        if settings.api_key is not None:
            self._headers["authorization"] = f"Bearer {settings.api_key.reveal()}"
        else:
            from llmedge.providers.sigv4 import AwsCredentials, SigV4

            assert settings.access_key is not None
            assert settings.secret_key is not None
            keys = AwsCredentials(settings.access_key.reveal(), settings.secret_key, settings.session_token)
            self._signer = SigV4(deps.reactor, keys, settings.region)

    async def check(self, material: Material) -> Judgement:
        pieces = Pieces([place.text for place in material.places], MOST)
        if not pieces.batches:
            return PASS
        source = "INPUT" if material.of == "request" else "OUTPUT"
        asking = [partial(self._apply, batch, source) for batch in pieces.batches]
        found = await self._service.judge(lambda: _all(asking, pieces.batches))
        return judgement(found, pieces)

    async def _apply(self, batch: list[str], source: str) -> Applied:
        body = msgspec.json.encode({"source": source, "content": [{"text": {"text": piece}} for piece in batch]})
        headers = self._headers
        if self._signer is not None:
            try:
                headers = dict(await self._signer.headers("POST", self._url, body))
            except TargetError as error:
                raise failed(error) from None
        return await self._service.send(self._url, headers, body, _read)


async def _all(asking: list[Any], batches: list[list[str]]) -> list[Applied]:
    found: list[Applied] = await together(asking)
    for each, batch in zip(found, batches, strict=True):
        _verify(each, batch)
    return found


def _verify(applied: Applied, batch: list[str]) -> None:
    """:raises GuardFailed: it says that it has not looked at all."""
    coverage = applied.guardrail_coverage
    characters = None if coverage is None else coverage.text_characters
    if characters is not None and characters.guarded < characters.total:
        raise GuardFailed("answer", "it has looked at a part only")
    if applied.action != "NONE" and not _blocks(applied) and len(applied.outputs) != len(batch):
        raise GuardFailed("answer", f"it has {len(applied.outputs)} texts for {len(batch)}")


def _actions(applied: Applied) -> Iterator[tuple[str, str]]:
    """What was looked for and what became of it, of all assessments: a word and an action each."""
    for assessment in applied.assessments:
        for policy, lists in assessment.items():
            if not isinstance(lists, dict):
                continue
            for each in (entry for entries in lists.values() if isinstance(entries, list) for entry in entries):
                if isinstance(each, dict) and isinstance(action := each.get("action"), str) and action != "NONE":
                    word = each.get("type") if policy != "topicPolicy" else "topic"
                    yield (word if isinstance(word, str) else policy.removesuffix("Policy")), action


def _blocks(applied: Applied) -> bool:
    """Something else was done than to mask, or it does not say what."""
    actions = [action for _, action in _actions(applied)]
    return not actions or any(action != "ANONYMIZED" for action in actions)


def judgement(found: list[Applied], pieces: Pieces) -> Judgement:
    """What the answers to all ``pieces`` mean together."""
    acted = [each for each in found if each.action != "NONE"]
    if not acted:
        return PASS
    finds = counted(word for each in acted for word, _ in _actions(each))
    if any(_blocks(each) for each in acted):
        return Judgement("block", "bedrock", finds=finds)
    texts = []
    for each, batch in zip(found, pieces.batches, strict=True):
        texts += [output.text for output in each.outputs] if each.action != "NONE" else batch
    return Judgement("change", "bedrock", finds=finds, texts=pieces.whole(texts))


@implementer(IGuardType)
class _Type(GuardType):
    name = "bedrock"
    settings = BedrockGuard

    def problems(self, settings: BedrockGuard) -> Iterator[tuple[str, str]]:
        if not settings.guardrail:
            yield "", "needs guardrail, its id or ARN at AWS"
        if not is_place(settings.region):
            yield "region", "must be one of AWS's, such as us-east-1"
        if settings.api_key is None and not (settings.access_key and settings.secret_key):
            yield "", "needs access_key and secret_key, or api_key"
        elif settings.api_key is None and importlib.util.find_spec("botocore") is None:
            yield "", "needs botocore to sign requests: pip install 'llmedge[bedrock]', or use an api_key"

    def make(self, settings: BedrockGuard, deps: GuardDeps) -> Bedrock:
        return Bedrock(settings, deps)


TYPE = _Type()
