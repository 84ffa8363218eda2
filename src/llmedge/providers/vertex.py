"""Google Vertex AI: its access tokens, and how what Claude is told there differs from Anthropic's own API.

Sources: cloud.google.com/vertex-ai/generative-ai/docs/reference/rest,
platform.claude.com/docs/en/api/claude-on-vertex-ai and, for counting
tokens, Anthropic's SDK (``anthropic/lib/vertex``).
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from treq.client import HTTPClient
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from llmedge.config.service_account import ServiceAccount
from llmedge.config.settings import Provider
from llmedge.model import Operation
from llmedge.providers.google_token import VertexToken

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


def signer(reactor: Any, settings: Provider, connect_timeout: float) -> VertexToken:
    """Access tokens for the service account of ``settings``, which the configuration has seen to be there.

    The agent keeps no connections, so there is nothing of it to close: a token is fetched once an hour.
    """
    assert settings.credentials is not None
    account = ServiceAccount.parse(settings.credentials.reveal(), settings.token_url)
    policy: Any = BrowserLikePolicyForHTTPS  # twisted has no types here
    agent: Any = cast(Any, Agent)(reactor, policy(), connectTimeout=connect_timeout)
    http: Any = HTTPClient(agent)
    return VertexToken(reactor, account, http)
