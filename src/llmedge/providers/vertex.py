"""Google Vertex AI: its access tokens, and how what Claude is told there differs from Anthropic's own API.

Sources: cloud.google.com/vertex-ai/generative-ai/docs/reference/rest,
platform.claude.com/docs/en/api/claude-on-vertex-ai and, for counting
tokens, Anthropic's SDK (``anthropic/lib/vertex``).
"""

from __future__ import annotations

from typing import Any

import msgspec
from treq.client import HTTPClient

from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream
from llmedge.config.service_account import ServiceAccount
from llmedge.operations import Operation
from llmedge.providers.google_token import VertexToken
from llmedge.upstream.agent import UpstreamAgent
from llmedge.upstream.client import Client

ANTHROPIC_VERSION = "vertex-2023-10-16"
"""In the body, where Anthropic's own API has a header ``anthropic-version``."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_VERSION = msgspec.Raw(_encode(ANTHROPIC_VERSION))


def claude_body(operation: Operation, body: bytes) -> bytes:
    """A body of Anthropic's API as Vertex wants it: the version in it, and the model not, which the URL names, unless
    tokens are counted. Every other value stays as it was."""
    fields = _decode_fields(body)
    if operation is not Operation.COUNT_TOKENS:
        fields.pop("model", None)
    return _encode({"anthropic_version": _VERSION, **fields})


def signer(reactor: Any, settings: Provider, client: Client, limits: Upstream) -> VertexToken:
    """Access tokens for the service account of ``settings``, which the configuration has seen to be there.

    They are fetched over connections of ``client``, which closes them.
    """
    assert settings.credentials is not None
    account = ServiceAccount.parse(settings.credentials.reveal(), settings.token_url)
    agent: Any = UpstreamAgent(reactor, client, limits, origins=[account.token_uri])  # mypy knows no implementer()
    http: Any = HTTPClient(agent)
    return VertexToken(reactor, account, http)
