"""A service that speaks LiteLLM's generic guardrail API: those written for LiteLLM work unchanged.

Sources: docs.litellm.ai/docs/adding_provider/generic_guardrail_api (requests, answers, headers), and LiteLLM's client
of it, ``litellm/proxy/guardrails/guardrail_hooks/generic_guardrail_api`` (``x-api-key``, and fields that are null where
nothing is to be said). Ours are ``stream_position``, and that an answer which is no clear verdict is a failure: LiteLLM
takes one without an action for ``NONE``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
import msgspec
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import PASS, GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.guards.service import Service

PATH = "/beta/litellm_basic_guardrail_api"
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key"}
BLOCKED = Judgement("block", "webhook")


@attrs.frozen
class WebhookGuard(Guardrail):
    """What only the type ``webhook`` has."""

    timeout: float = option(kinds.seconds, 2.0, "Seconds that it may take.")
    url: str = option(kinds.url, "", f"Where the service is; {PATH} follows, where the URL does not end with it.")
    api_key: Secret | None = option(kinds.secret, None, "Sent as x-api-key.")
    headers: Mapping[str, Secret] = option(kinds.header_table, {}, "Headers that are sent with every question.")
    extra_headers: tuple[str, ...] = option(
        kinds.strings, (), "Names of the caller's headers that the service is told, in request_headers."
    )
    params: Mapping[str, Any] = option(
        kinds.option_table, {}, "What the service is told besides (additional_provider_specific_params)."
    )


class Verdict(msgspec.Struct):
    """What the service answers with. Its ``blocked_reason`` may repeat what was said, and is not read."""

    action: Literal["NONE", "BLOCKED", "GUARDRAIL_INTERVENED"]
    texts: list[str] | None = None
    images: list[str] | None = None
    tools: list[Any] | None = None
    structured_messages: list[Any] | None = None


_read = msgspec.json.Decoder(Verdict).decode


class Webhook:
    """Asks one service.

    :cvar reads: media that it is told of.
    """

    reads = ("image",)

    def __init__(self, settings: WebhookGuard, deps: GuardDeps) -> None:
        self._service = Service(deps, settings.name, settings.timeout)
        self._url = settings.url if settings.url.endswith(PATH) else settings.url + PATH
        self._headers = {name: value.reveal() for name, value in settings.headers.items()}
        if settings.api_key is not None:
            self._headers["x-api-key"] = settings.api_key.reveal()
        self._told = settings.extra_headers
        self._params = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in settings.params.items()
        }

    async def check(self, material: Material) -> Judgement:
        texts = [place.text for place in material.places]
        if not texts and not material.called and not material.media and not material.offered:
            return PASS
        return await self._service.judge(lambda: self._ask(texts, material))

    async def _ask(self, texts: list[str], material: Material) -> Judgement:
        fields = question(texts, material, self._told, self._params)
        size = 2 * sum(map(len, texts)) + sum(map(len, fields["images"] or ()))
        verdict = await self._service.ask(self._url, self._headers, fields, _read, size)
        return judgement(verdict, texts, fields)


def question(texts: list[str], material: Material, told: tuple[str, ...], params: Mapping[str, Any]) -> dict[str, Any]:
    """The body: all of LiteLLM's fields, null where there is nothing, and ``stream_position`` of a stream's answer."""
    call, asked = material.call, material.of == "request"
    record, account = call.record, call.caller.account
    found = {name: value for name in told if (value := call.hints.header(name)) is not None}
    fields = {
        "texts": texts,
        "input_type": material.of,
        "images": [each.url for each in material.media if each.kind == "image" and each.url] or None,
        "tools": [_tool(each) for each in material.offered] or None if asked else None,
        "tool_calls": [_called(each) for each in material.called] or None,
        "structured_messages": list(_messages(material)) or None if asked else None,
        "request_data": {
            "user_api_key_hash": account.key_id or None,
            "user_api_key_alias": call.caller.name,
            "user_api_key_user_id": account.user or None,
            "user_api_key_user_email": None,
            "user_api_key_team_id": account.team or None,
            "user_api_key_team_alias": None,
            "user_api_key_end_user_id": record.end_user or None,
            "user_api_key_org_id": account.organization or None,
        },
        "request_headers": found or None,
        "litellm_version": None,
        "litellm_call_id": record.request_id,
        "litellm_trace_id": record.trace.trace_id if record.trace is not None else None,
        "additional_provider_specific_params": params,
        "model": call.model,
    }
    if material.position:
        fields["stream_position"] = material.position
    return fields


def _tool(tool: Any) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.schema:
        function["parameters"] = msgspec.Raw(tool.schema)
    return {"type": "function", "function": function}


def _called(tool: Any) -> dict[str, Any]:
    return {"id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}


def _messages(material: Material) -> Iterator[dict[str, Any]]:
    """The texts that are judged, by message. What a guardrail is not ``on`` is in none of them."""
    last, message = -1, {"role": "", "content": ""}
    for place in material.places:
        if place.message < 0 or place.kind not in ("text", "input"):
            continue
        if place.message != last:
            if message["role"]:
                yield message
            last, message = place.message, {"role": place.role or "user", "content": place.text}
        else:
            message["content"] += f"\n{place.text}"
    if message["role"]:
        yield message


def judgement(verdict: Verdict, texts: list[str], sent: Mapping[str, Any]) -> Judgement:
    """What ``verdict`` means where ``sent`` was asked. As with LiteLLM's client, what is not there or empty changes
    nothing, and what comes back as it was sent neither; changed texts count whatever the action says.

    :raises GuardFailed: it is no verdict, or changes what cannot be changed here.
    """
    if verdict.action == "BLOCKED":
        return BLOCKED
    if verdict.texts and len(verdict.texts) != len(texts):
        raise GuardFailed("answer", f"it has {len(verdict.texts)} texts for {len(texts)}")
    if verdict.texts and verdict.texts != texts:
        return Judgement("change", "webhook", texts=verdict.texts)
    for name in ("images", "tools", "structured_messages"):
        said = getattr(verdict, name)
        if said and _plain(said) != _plain(sent[name]):
            raise GuardFailed("answer", f"it changes {name}, and no texts")
    if verdict.action == "GUARDRAIL_INTERVENED" and not verdict.texts:
        raise GuardFailed("answer", "it changes something, and does not say what")
    return PASS


def _plain(value: Any) -> Any:
    """As the service had it, without what is null."""
    if isinstance(value, msgspec.Raw):
        return _plain(msgspec.json.decode(value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@implementer(IGuardType)
class _Type(GuardType):
    name = "webhook"
    settings = WebhookGuard

    def problems(self, settings: WebhookGuard) -> Iterator[tuple[str, str]]:
        if not settings.url:
            yield "", 'needs url, such as url = "http://127.0.0.1:8100"'
        for name in settings.extra_headers:
            if name.lower() in _SECRET_HEADERS:
                yield "extra_headers", f"must not have {name}, which holds secrets"

    def make(self, settings: WebhookGuard, deps: GuardDeps) -> Webhook:
        return Webhook(settings, deps)


TYPE = _Type()
