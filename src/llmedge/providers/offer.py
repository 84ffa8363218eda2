"""What a vendor serves and how it is asked: its catalogue entry and its settings, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlsplit

import attrs

from llmedge.config.catalogue import OPERATIONS
from llmedge.config.secret import Secret
from llmedge.config.settings import Provider as ProviderSettings
from llmedge.config.vendors import paths_of, vendor_of
from llmedge.dialects.registry import DIALECTS


class Signer(Protocol):
    """Makes headers that depend on the request: a signature, a token that is renewed."""

    async def headers(self, method: str, url: str, body: bytes) -> list[tuple[str, str]]:
        """Header lines to add."""


@attrs.frozen
class Offer:
    """One vendor.

    :ivar paths: dialect spoken → path template from the root on, the preferred dialect first; ``{model}`` stands for
        the vendor's model name.
    :ivar stream_paths: the same for streams, where they differ.
    :ivar count_paths: dialect → path template for counting tokens.
    :ivar passthrough: operation → path template, for what is passed on unread.
    :ivar models_path: where the vendor lists its models; ``""`` if it cannot.
    :ivar headers: sent with each request: credentials, and what the operator adds. ``fixed``: what the vendor needs.
    :ivar drop: leave out of a request what the vendor's dialect cannot say.
    """

    base_url: str
    paths: Mapping[str, str]
    stream_paths: Mapping[str, str] = {}
    count_paths: Mapping[str, str] = {}
    passthrough: Mapping[str, str] = {}
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


def offer_of(settings: ProviderSettings) -> Offer:
    """The offer of a provider as it is configured."""
    vendor = vendor_of(settings)
    paths = paths_of(settings)
    streams = {name: path for name, path in vendor.stream_paths.items() if settings.paths.get(name) is None}
    headers: dict[str, Secret] = {}
    if settings.api_key is not None:
        key = settings.api_key.reveal()
        name = {"x-api-key": "x-api-key", "x-goog-api-key": "x-goog-api-key", "api-key": "api-key"}.get(vendor.auth)
        headers[name or "authorization"] = Secret(key if name else f"Bearer {key}")
    counter = next((name for name in paths if name in ("anthropic", "gemini")), "") if vendor.count_tokens else ""

    def whole(path: str) -> str:
        """The path from the host's root on, with everything filled in that is known before a call."""
        base = "" if path.startswith("{origin}") else urlsplit(settings.base_url).path
        path = path.removeprefix("{origin}")
        for name in ("api_version", "project", "location"):
            path = path.replace(f"{{{name}}}", quote(getattr(settings, name), safe=""))
        return base + path

    return Offer(
        settings.base_url,
        {name: whole(path) for name, path in paths.items() if name in DIALECTS},
        {name: whole(path) for name, path in streams.items() if name in DIALECTS and name in paths},
        {counter: whole(vendor.count_tokens)} if counter in DIALECTS else {},
        {name: whole(path) for name, path in paths.items() if name in OPERATIONS},
        whole(vendor.models_path) if vendor.models_path else "",
        headers=headers | dict(settings.headers),
        fixed=vendor.headers,
        quirks=vendor.quirks | ({"max_tokens"} if vendor.name == "openai-compatible" else set()),
        stream_usage=settings.stream_usage,
        drop=settings.on_unsupported == "drop",
    )
