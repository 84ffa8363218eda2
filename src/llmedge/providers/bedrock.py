"""Amazon Bedrock: where it is, and how it is shown who asks.

Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html (endpoints),
docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html (``AWS_BEARER_TOKEN_BEDROCK``),
docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream
from llmedge.config.vendor_entry import Vendor
from llmedge.providers.signing import Signer
from llmedge.providers.vendor import HttpVendor, is_place
from llmedge.upstream.client import Client


@attrs.frozen
class BedrockSettings(Provider):
    """What only the vendor ``bedrock`` has."""

    region: str = option(kinds.string, "", "The AWS region.", fallback=("AWS_REGION", "AWS_DEFAULT_REGION"))
    access_key: Secret | None = option(
        kinds.secret, None, "AWS access key id, where there is no api_key; with neither, AWS's variables."
    )
    secret_key: Secret | None = option(kinds.secret, None, "AWS secret access key.")
    session_token: Secret | None = option(kinds.secret, None, "AWS session token of temporary keys.")


class Bedrock(HttpVendor):
    """An API key goes before an access key, the file before AWS's own variables."""

    settings = BedrockSettings
    base_url_example = ""

    def resolve(self, settings: BedrockSettings, environ: Mapping[str, str]) -> BedrockSettings:
        region = settings.region
        if is_place(region) and not settings.base_url:
            host = f"bedrock-runtime.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
            settings = attrs.evolve(settings, base_url=f"https://{host}")
        settings = attrs.evolve(settings, base_url=self.understood(settings))
        if settings.api_key or settings.access_key or settings.secret_key:
            return settings
        names = ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        found = (environ.get(name, "").strip() for name in names)
        key, access, secret, session = (Secret(value) if value else None for value in found)
        if key is not None:
            return attrs.evolve(settings, api_key=key)
        return attrs.evolve(settings, access_key=access, secret_key=secret, session_token=session)

    def problems(self, settings: BedrockSettings) -> Iterator[tuple[str, str]]:
        if not settings.region:
            yield "", 'needs region, such as region = "eu-central-1", or the variable AWS_REGION'
        elif not is_place(settings.region):
            yield "region", "is not one of AWS's, such as us-east-1"
        if not (settings.api_key or settings.access_key or settings.secret_key):
            yield (
                "",
                "needs api_key, or access_key and secret_key, or the variables AWS_BEARER_TOKEN_BEDROCK, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        elif (settings.access_key is None) != (settings.secret_key is None):
            yield "access_key" if settings.access_key else "secret_key", "needs both access_key and secret_key"
        if settings.api_key is None and settings.access_key and importlib.util.find_spec("botocore") is None:
            yield "", "needs botocore to sign requests: pip install 'llmedge[bedrock]', or use an api_key"
        yield from super().problems(settings)

    def entry(self, settings: BedrockSettings) -> Vendor:
        entry = super().entry(settings)
        return attrs.evolve(entry, auth="bearer") if settings.api_key is not None else entry

    def signer(self, settings: BedrockSettings, client: Client, limits: Upstream, reactor: Any) -> Signer | None:
        """By its access key, unless there is an API key. :meth:`problems` has seen to it that there is one of them."""
        if settings.api_key is not None:
            return None
        from llmedge.providers.sigv4 import AwsCredentials, SigV4

        assert settings.access_key is not None
        assert settings.secret_key is not None
        credentials = AwsCredentials(settings.access_key.reveal(), settings.secret_key, settings.session_token)
        return SigV4(reactor, credentials, settings.region)
