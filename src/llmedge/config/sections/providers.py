"""``[providers.NAME]``: the vendors that are asked."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmedge.config import header_lists, kinds
from llmedge.config.option import option
from llmedge.config.pem import Certificates
from llmedge.config.proxy import Proxy
from llmedge.config.secret import Secret

SPOKEN = ("openai", "openai_responses", "anthropic", "gemini", "bedrock", "vertex", "mock")
"""What ``dialect`` may say: ``openai`` is chat, legacy completions and embeddings."""


@attrs.frozen
class Provider:
    """One vendor, or one server of yours: what all of them have. What only some have stands with these vendors."""

    vendor: str = option(
        kinds.string, "", "Its entry in the catalogue; a provider called as one, and without base_url, is that one."
    )
    dialect: str = option(
        kinds.choice(*SPOKEN), "", "What it speaks: of a vendor's dialects this one only; else openai."
    )
    base_url: str = option(
        kinds.base_url, "", 'Where it is, such as "https://api.openai.com/v1"; the catalogue knows it for most vendors.'
    )
    api_key: Secret | None = option(kinds.secret, None, "Its key, shown the way the vendor wants it.")
    headers: Mapping[str, Secret] = option(kinds.header_table, attrs.Factory(dict), "More headers to send.")
    client_headers: tuple[str, ...] = option(
        header_lists.passed_on, (), "Headers of the client's that are sent on, by name; others never are."
    )
    show_headers: tuple[str, ...] = option(
        header_lists.shown, (), "Headers of the vendor's that the client is shown; a trailing * shows any ending."
    )
    stream_usage: bool = option(
        kinds.boolean, True, "Ask for usage in streams; off for servers that refuse stream_options."
    )
    timeout: float | None = option(
        kinds.seconds,
        None,
        "Seconds an answer may take where client and model do not say; default: server.timeout.",
    )
    stream_timeout: float | None = option(
        kinds.seconds, None, "Seconds a whole stream of it may take; default: server.stream_timeout."
    )
    first_token_timeout: float | None = option(
        kinds.seconds, None, "Seconds to a stream's first content; default: upstream.first_token_timeout."
    )
    models: tuple[str, ...] = option(
        kinds.strings,
        (),
        "Patterns of model names that go here without a [models] entry; default: the catalogue's, of a provider that "
        "is called as its vendor.",
    )
    on_unsupported: str = option(
        kinds.choice("hints", "refuse", "drop"),
        "hints",
        "What the vendor cannot be told: hints are left out and the rest is a 400; all of it is a 400; or left out.",
    )
    paths: Mapping[str, str] = option(
        kinds.path_table, attrs.Factory(dict), "Paths that differ, by dialect (openai_chat) or operation (rerank)."
    )
    proxy: Proxy | None = option(
        kinds.proxy, None, 'HTTP proxy to ask it through, "off" for none; else what [upstream] says.'
    )
    ca_file: Certificates | None = option(
        kinds.trusted, None, "Whom to trust that this is it, in the place of everybody else: PEM certificates."
    )
    client_cert: Certificates | None = option(
        kinds.certificates, None, "Certificate to show it, in PEM, those between it and its authority behind it."
    )
    client_key: Secret | None = option(
        kinds.private_key, None, "The certificate's key, in PEM; default: the one in client_cert's file."
    )
