"""Amazon Bedrock: where it is, and which of AWS's credentials are used there.

Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html (endpoints), API_runtime_Converse (paths),
docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html (``AWS_BEARER_TOKEN_BEDROCK``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from llmedge.config.secret import Secret
from llmedge.errors import NotFound
from llmedge.providers.signing import BearerToken, Signer
from llmedge.providers.sigv4 import AwsCredentials, SigV4


def region_of(environ: Mapping[str, str], region: str = "") -> str:
    """The region set, else the environment's.

    :raises ValueError: there is none, or it is not one.
    """
    region = region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    if not region:
        raise ValueError("needs a region: set it, or the environment variable AWS_REGION")
    if not re.fullmatch(r"[a-z0-9-]{1,32}", region):
        raise ValueError("has a region that is not one of AWS's, such as us-east-1")
    return region


def base_url(region: str) -> str:
    """The endpoint of Bedrock's runtime in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{suffix}"


def path(model: str, *, stream: bool) -> str:
    """The path of a call. Colons and slashes, of versions and ARNs, are quoted: the signature is over this form.

    :raises NotFound: the name could mean another path.
    """
    if model in ("", ".", ".."):
        raise NotFound(f"There is no model '{model}'.", param="model")
    return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"


def signer(
    reactor: Any,
    region: str,
    environ: Mapping[str, str],
    *,
    api_key: Secret | None = None,
    access_key: str = "",
    secret_key: Secret | None = None,
    session_token: Secret | None = None,
) -> Signer:
    """How to sign: with what is set, else with what the environment has; an API key goes before an access key.

    :raises ValueError: there are no credentials, or only half of them.
    """
    if api_key is None and not access_key and secret_key is None:
        if token := environ.get("AWS_BEARER_TOKEN_BEDROCK", "").strip():
            api_key = Secret(token)
        access_key = environ.get("AWS_ACCESS_KEY_ID", "").strip()
        secret = environ.get("AWS_SECRET_ACCESS_KEY", "").strip()
        session = environ.get("AWS_SESSION_TOKEN", "").strip()
        secret_key, session_token = Secret(secret) if secret else None, Secret(session) if session else None
    if api_key is not None:
        return BearerToken(api_key)
    if not access_key and secret_key is None:
        raise ValueError(
            "has no credentials: set api_key, or access_key and secret_key, or the environment variables "
            "AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not access_key or secret_key is None:
        raise ValueError("has only one of access_key and secret_key; they belong together")
    return SigV4(reactor, AwsCredentials(access_key, secret_key, session_token), region)
