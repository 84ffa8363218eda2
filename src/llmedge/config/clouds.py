"""What Amazon Bedrock and Google Vertex AI need besides a base URL: a place, and credentials, which their own
environment variables may hold.

Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html (endpoints),
docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html (``AWS_BEARER_TOKEN_BEDROCK``),
docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html; cloud.google.com/vertex-ai/docs/reference/rest,
docs.cloud.google.com/docs/authentication/application-default-credentials and, for the variables of place and the hosts
of multi-regions, the SDKs google-genai and anthropic.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

import attrs

from llmedge.config.secret import Secret, read
from llmedge.config.sections.providers import Provider
from llmedge.config.service_account import ServiceAccount, is_safe

Problems = list[tuple[str, str]]
"""What is wrong: (option or ``""``, words)."""


def settle(vendor: str, provider: Provider, environ: Mapping[str, str]) -> tuple[Provider, Problems]:
    """``provider`` with what the environment says where the file is silent; other vendors' stay as they are."""
    if vendor == "bedrock":
        return _bedrock(provider, environ)
    if vendor == "vertex":
        return _vertex(provider, environ)
    return provider, []


def _bedrock(provider: Provider, environ: Mapping[str, str]) -> tuple[Provider, Problems]:
    problems: Problems = []
    region = provider.region or _first(environ, "AWS_REGION", "AWS_DEFAULT_REGION")
    if not region:
        problems.append(("", 'needs region, such as region = "eu-central-1", or the variable AWS_REGION'))
    elif not re.fullmatch(r"[a-z0-9-]{1,32}", region):
        problems.append(("region", "is not one of AWS's, such as us-east-1"))
        region = ""
    provider = attrs.evolve(provider, region=region)
    if provider.api_key is None and provider.access_key is None and provider.secret_key is None:
        if key := _first(environ, "AWS_BEARER_TOKEN_BEDROCK"):
            provider = attrs.evolve(provider, api_key=Secret(key))
        else:
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
            found = (_first(environ, name) for name in names)
            access, secret, session = (Secret(value) if value else None for value in found)
            if access is None and secret is None:
                problems.append(
                    (
                        "",
                        "needs api_key, or access_key and secret_key, or the variables "
                        "AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    )
                )
            provider = attrs.evolve(provider, access_key=access, secret_key=secret, session_token=session)
    if provider.api_key is None and provider.access_key is not None and importlib.util.find_spec("botocore") is None:
        problems.append(("", "needs botocore to sign requests: install llmedge[bedrock], or use an api_key"))
    if region and not provider.base_url:
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        provider = attrs.evolve(provider, base_url=f"https://bedrock-runtime.{region}.{suffix}")
    return provider, problems


def _vertex(provider: Provider, environ: Mapping[str, str]) -> tuple[Provider, Problems]:
    problems: Problems = []
    credentials = provider.credentials
    if provider.api_key is not None:
        problems.append(("api_key", "is not how Vertex knows its callers: set credentials"))
    if provider.token_url and not is_safe(provider.token_url):
        problems.append(("token_url", "must be https, unless it is on this machine"))
    option = "credentials" if credentials is not None else ""
    account: ServiceAccount | None = None
    try:
        if credentials is None:
            if not (path := _first(environ, "GOOGLE_APPLICATION_CREDENTIALS")):
                raise ValueError(
                    "needs credentials, the path of a service account's key, or the variable "
                    "GOOGLE_APPLICATION_CREDENTIALS"
                )
            credentials = Secret(read(f"file:{path}", environ))
        account = ServiceAccount.parse(credentials.reveal(), provider.token_url)
    except ValueError as error:
        problems.append((option, str(error)))
    project = provider.project or _first(environ, "GOOGLE_CLOUD_PROJECT") or (account.project if account else "")
    location = provider.location or _first(environ, "GOOGLE_CLOUD_LOCATION")
    if not location or not (project or account is None):
        problems.append(("", 'needs project and location, such as location = "europe-west4"'))
    if project and not re.fullmatch(r"[a-z0-9][a-z0-9:.-]{0,62}", project):
        problems.append(("project", "is not the id or number of one"))
    if location and not re.fullmatch(r"[a-z0-9-]{1,32}", location):
        problems.append(("location", "is not one of Google's, such as global or europe-west1"))
        location = ""
    base_url = provider.base_url or (f"https://{_vertex_host(location)}" if location else "")
    settled = attrs.evolve(provider, project=project, location=location, credentials=credentials, base_url=base_url)
    return settled, problems


def _vertex_host(location: str) -> str:
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")
