"""What a vendor serves and how it is asked: its catalogue entry and its settings, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import attrs

from llmedge.config.secret import Secret
from llmedge.config.settings import Provider as ProviderSettings


class Signer(Protocol):
    """Makes headers that depend on the request: a signature, a token that is renewed."""

    async def headers(self, method: str, url: str, body: bytes) -> list[tuple[str, str]]:
        """Header lines to add."""


@attrs.frozen
class Offer:
    """One vendor.

    :ivar paths: dialect spoken → path template behind ``base_url``, the preferred dialect first; ``{model}`` stands for
        the vendor's model name.
    :ivar stream_paths: the same for streams, where they differ.
    :ivar count_paths: dialect → path template for counting tokens.
    :ivar models_path: where the vendor lists its models; ``""`` if it cannot.
    :ivar headers: sent with each request: credentials, and what the operator adds. ``fixed``: what the vendor needs.
    :ivar drop: leave out of a request what the vendor's dialect cannot say.
    """

    base_url: str
    paths: Mapping[str, str]
    stream_paths: Mapping[str, str] = {}
    count_paths: Mapping[str, str] = {}
    models_path: str = ""
    headers: Mapping[str, Secret] = {}
    fixed: Mapping[str, str] = {}
    quirks: frozenset[str] = frozenset()
    stream_usage: bool = True
    drop: bool = False
    signer: Signer | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    def path(self, dialect: str, stream: bool) -> str:
        """The template for a request in ``dialect``."""
        return (stream and self.stream_paths.get(dialect)) or self.paths[dialect]


_OPENAI = {"openai_chat": "/chat/completions", "openai_text": "/completions"}


def offer_of(settings: ProviderSettings) -> Offer:
    """The offer of a provider as it is configured."""
    headers: dict[str, Secret] = {}
    if settings.api_key is not None:
        headers["authorization"] = Secret(f"Bearer {settings.api_key.reveal()}")
    return Offer(
        settings.base_url,
        _OPENAI,
        headers=headers | dict(settings.headers),
        quirks=frozenset({"max_tokens"}),
        stream_usage=settings.stream_usage,
    )
