"""Google Vertex AI: where it is, its access tokens, and how what Claude is told there differs from Anthropic's own API.

Sources: cloud.google.com/vertex-ai/generative-ai/docs/reference/rest,
docs.cloud.google.com/docs/authentication/application-default-credentials,
platform.claude.com/docs/en/api/claude-on-vertex-ai and, for the variables of place, the hosts of multi-regions and
counting tokens, the SDKs google-genai and anthropic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream
from llmedge.config.urls import in_the_clear
from llmedge.operations import Operation
from llmedge.providers.service_account import ServiceAccount
from llmedge.providers.signing import Signer
from llmedge.providers.spec import ProviderSpec
from llmedge.providers.vendor import HttpVendor, is_place
from llmedge.upstream.client import Client

ANTHROPIC_VERSION = "vertex-2023-10-16"
"""In the body, where Anthropic's own API has a header ``anthropic-version``."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_VERSION = msgspec.Raw(_encode(ANTHROPIC_VERSION))


@attrs.frozen
class VertexSettings(Provider):
    """What only the vendor ``vertex`` has."""

    project: str = option(
        kinds.string, "", "The Google Cloud project; default: the key's.", fallback=("GOOGLE_CLOUD_PROJECT",)
    )
    location: str = option(
        kinds.string, "", "The location, such as europe-west4 or global.", fallback=("GOOGLE_CLOUD_LOCATION",)
    )
    credentials: Secret | None = option(
        kinds.document, None, "The service account's JSON key.", fallback=("GOOGLE_APPLICATION_CREDENTIALS",)
    )
    token_url: str = option(
        kinds.url, "", "Where its access tokens come from, in the place of https://oauth2.googleapis.com/token."
    )

    def account(self) -> ServiceAccount:
        """:raises ValueError: ``credentials`` are no key of a service account; a predicate about them."""
        return ServiceAccount.parse(self.credentials.reveal() if self.credentials else "", self.token_url)


class Vertex(HttpVendor):
    """What the table does not say is taken from Google's own variables."""

    settings = VertexSettings
    base_url_example = ""

    def resolve(self, settings: VertexSettings, environ: Mapping[str, str]) -> VertexSettings:
        project, location = settings.project, settings.location
        if not project:
            try:
                project = settings.account().project
            except ValueError:
                pass  # problems() says it
        base_url = self.understood(settings) or (f"https://{_host(location)}" if is_place(location) else "")
        return attrs.evolve(settings, project=project, base_url=base_url)

    def problems(self, settings: VertexSettings) -> Iterator[tuple[str, str]]:
        if settings.api_key is not None:
            yield "api_key", "is not how Vertex knows its callers: set credentials"
        if in_the_clear(settings.token_url):
            yield "token_url", "must be https, unless it is on this machine"
        is_account = True
        if settings.credentials is None:
            variable = "the variable GOOGLE_APPLICATION_CREDENTIALS"
            yield "", f"needs credentials, the path of a service account's key, or {variable}"
        else:
            try:
                settings.account()
            except ValueError as error:
                is_account = False
                yield "credentials", str(error)
        if not settings.location or not (settings.project or settings.credentials is None or not is_account):
            yield "", 'needs project and location, such as location = "europe-west4"'
        if settings.project and not re.fullmatch(r"[a-z0-9][a-z0-9:.-]{0,62}", settings.project):
            yield "project", "is not the id or number of one"
        if settings.location and not is_place(settings.location):
            yield "location", "is not one of Google's, such as global or europe-west1"
        yield from super().problems(settings)

    def spec(self, settings: VertexSettings) -> ProviderSpec:
        spec = super().spec(settings)
        claude = {name: attrs.evolve(variant, adapt=claude_body) for name, variant in spec.variants.items()}
        return attrs.evolve(spec, variants=claude)

    def signer(self, settings: VertexSettings, client: Client, limits: Upstream, reactor: Any) -> Signer:
        """Access tokens for the service account. They are fetched over connections of ``client``, which closes them."""
        from treq.client import HTTPClient

        from llmedge.providers.google_token import VertexToken
        from llmedge.upstream.agent import UpstreamAgent

        account = settings.account()
        agent: Any = UpstreamAgent(reactor, client, limits, origins=[account.token_uri])  # mypy knows no implementer()
        http: Any = HTTPClient(agent)
        return VertexToken(reactor, account, http)


def _host(location: str) -> str:
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def claude_body(operation: Operation, body: bytes) -> bytes:
    """A body of Anthropic's API as Vertex wants it: the version in it, and the model not, which the URL names, unless
    tokens are counted. Every other value stays as it was."""
    fields = _decode_fields(body)
    if operation is not Operation.COUNT_TOKENS:
        fields.pop("model", None)
    return _encode({"anthropic_version": _VERSION, **fields})
