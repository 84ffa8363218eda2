"""``[providers.NAME]``: the vendors that are asked."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret

SPOKEN = ("openai", "openai_responses", "anthropic", "gemini", "bedrock", "vertex", "mock")
"""What ``dialect`` may say: ``openai`` is chat, legacy completions and embeddings."""
FAULTS = ("none", "status", "cut", "stall", "malformed")


@attrs.frozen
class Provider:
    """One vendor, or one server of yours."""

    vendor: str = option(
        kinds.string, "", "Its entry in the catalogue; a provider called as one, and without base_url, is that one."
    )
    dialect: str = option(
        kinds.choice(*SPOKEN), "", "What it speaks: of a vendor's dialects this one only; else openai."
    )
    base_url: str = option(
        kinds.url, "", 'Where it is, such as "https://api.openai.com/v1"; the catalogue knows it for most vendors.'
    )
    api_key: Secret | None = option(kinds.secret, None, "Its key, shown the way the vendor wants it.")
    headers: Mapping[str, Secret] = option(kinds.header_table, attrs.Factory(dict), "More headers to send.")
    stream_usage: bool = option(
        kinds.boolean, True, "Ask for usage in streams; off for servers that refuse stream_options."
    )
    models: tuple[str, ...] = option(
        kinds.strings, (), "Patterns of model names that go here without a [models] entry."
    )
    on_unsupported: str = option(
        kinds.choice("refuse", "drop"), "refuse", "What the vendor cannot be told: a 400 that names it, or left out."
    )
    paths: Mapping[str, str] = option(
        kinds.path_table, attrs.Factory(dict), "Paths that differ, by dialect (openai_chat) or operation (rerank)."
    )
    api_version: str = option(kinds.string, "", "azure: the api-version of deployments; without it the v1 API.")
    options: Mapping[str, str | int | float | bool | Secret] = option(
        kinds.option_table, attrs.Factory(dict), "A plugin's own settings: whatever the plugin knows."
    )
    region: str = option(kinds.string, "", "bedrock: the AWS region; default: AWS_REGION, else AWS_DEFAULT_REGION.")
    access_key: Secret | None = option(
        kinds.secret, None, "bedrock: AWS access key id, where there is no api_key; with neither, AWS's variables."
    )
    secret_key: Secret | None = option(kinds.secret, None, "bedrock: AWS secret access key.")
    session_token: Secret | None = option(kinds.secret, None, "bedrock: AWS session token of temporary keys.")
    project: str = option(
        kinds.string, "", "vertex: the Google Cloud project; default: GOOGLE_CLOUD_PROJECT, else the key's."
    )
    location: str = option(
        kinds.string, "", "vertex: the location, such as europe-west4 or global; default: GOOGLE_CLOUD_LOCATION."
    )
    credentials: Secret | None = option(
        kinds.document, None, "vertex: the service account's JSON key; default: GOOGLE_APPLICATION_CREDENTIALS, a path."
    )
    token_url: str = option(
        kinds.url, "", "vertex: where its access tokens come from, in the place of https://oauth2.googleapis.com/token."
    )
    latency: float = option(kinds.number(0, 3600), 0.0, "mock: seconds before the answer begins.")
    chunk_interval: float = option(kinds.number(0, 3600), 0.0, "mock: seconds between the events of a stream.")
    fault: str = option(kinds.choice(*FAULTS), "none", "mock: the failure to rehearse.")
    fault_status: int = option(kinds.integer(400, 599), 503, "mock: the status of the fault 'status'.")
    fault_after: int = option(kinds.integer(0, 10**6), 3, "mock: events of a stream before the fault.")
    fault_rate: float = option(
        kinds.number(0, 1), 1.0, "mock: share of calls that fail, spread evenly: 0.25 is each fourth."
    )
