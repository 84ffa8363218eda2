"""Amazon Bedrock: how it is shown who asks."""

from __future__ import annotations

from typing import Any

from llmedge.config.sections.providers import Provider
from llmedge.providers.signing import BearerToken, Signer
from llmedge.providers.sigv4 import AwsCredentials, SigV4


def signer(reactor: Any, settings: Provider) -> Signer:
    """By its API key, which goes before an access key. The configuration has seen to it that there is one of them."""
    if settings.api_key is not None:
        return BearerToken(settings.api_key)
    assert settings.access_key is not None
    assert settings.secret_key is not None
    credentials = AwsCredentials(settings.access_key.reveal(), settings.secret_key, settings.session_token)
    return SigV4(reactor, credentials, settings.region)
