"""What a vendor serves and how it is asked: its catalogue entry and its settings, put together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

import attrs

from llmedge.config.limits import LIMITS, Limits, limits_of
from llmedge.config.secret import Secret
from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.vendor_entry import OPERATIONS, Vendor
from llmedge.config.vendors import paths_of, vendor_of
from llmedge.dialects.registry import DIALECTS
from llmedge.operations import ENDPOINTS, Operation
from llmedge.providers.signing import Signer


@attrs.frozen
class ProviderSpec:
    """One vendor.

    :ivar paths: dialect spoken → path template from the root on, the preferred dialect first; ``{model}`` stands for
        the vendor's model name.
    :ivar stream_paths: the same for streams, where they differ.
    :ivar count_paths: dialect → path template for counting tokens.
    :ivar passthrough: operation → path template, for what is passed on unread.
    :ivar versions: path of ours → path template, of what is passed through in more than one version.
    :ivar models_path: where the vendor lists its models; ``""`` if it cannot. ``models_shape``: how.
    :ivar headers: sent with each request: credentials, and what the operator adds. ``fixed``: what the vendor needs.
    :ivar client_headers: of the client's that go on; ``show_headers``: of the vendor's that the client is shown.
    :ivar on_unsupported: what becomes of what the vendor's dialect cannot say; see
        :class:`~llmedge.dialects.rendering.RenderContext`. ``limits``: of values, by dialect.
    :ivar signer: proves who asks, where that takes more than a header.
    :ivar adapt: changes a finished body, where the vendor wants it otherwise than its dialect has it.
    :ivar variants: pattern of model names → what holds for these instead. Base URL and signer are the same.
    """

    base_url: str
    vendor: str
    paths: Mapping[str, str]
    stream_paths: Mapping[str, str] = {}
    count_paths: Mapping[str, str] = {}
    passthrough: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
    models_path: str = ""
    models_shape: str = "openai"
    headers: Mapping[str, Secret] = {}
    fixed: Mapping[str, str] = {}
    quirks: frozenset[str] = frozenset()
    client_headers: tuple[str, ...] = ()
    show_headers: tuple[str, ...] = ()
    stream_usage: bool = True
    on_unsupported: str = "hints"
    limits: Mapping[str, Limits] = LIMITS
    signer: Signer | None = None
    adapt: Callable[[Operation, bytes], bytes] | None = None
    variants: Mapping[str, ProviderSpec] = {}

    def signed(self, signer: Signer | None) -> ProviderSpec:
        """The same, with ``signer``."""
        variants = {pattern: spec.signed(signer) for pattern, spec in self.variants.items()}
        return attrs.evolve(self, signer=signer, variants=variants)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    def path(self, dialect: str, stream: bool) -> str:
        """The template for a request in ``dialect``."""
        return (stream and self.stream_paths.get(dialect)) or self.paths[dialect]


_OPERATION_AT = {endpoint.path: endpoint.operation.value for endpoint in ENDPOINTS}
_GENERATE = ":generateContent"
_OPTION = re.compile(r"\{(?!model\})(\w+)\}")


def spec_of(settings: ProviderSettings, vendor: Vendor | None = None) -> ProviderSpec:
    """The spec of a provider as it is configured, without a signer.

    :param vendor: by default what the catalogue has under its vendor's name, else what its dialect tells.
    """
    vendor = vendor or vendor_of(settings)
    spec = _spec(settings, vendor, paths_of(settings, vendor))
    variants = {
        pattern: _spec(
            settings, variant, {name: settings.paths.get(name, path) for name, path in variant.paths.items()}
        )
        for pattern, variant in vendor.variants.items()
    }
    return attrs.evolve(spec, variants=variants)


def _spec(settings: ProviderSettings, vendor: Vendor, paths: dict[str, str]) -> ProviderSpec:
    streams = {name: path for name, path in vendor.stream_paths.items() if settings.paths.get(name) is None}
    headers: dict[str, Secret] = {}
    if settings.api_key is not None and vendor.auth not in ("sigv4", "oauth"):
        key, is_bearer = settings.api_key.reveal(), vendor.auth == "bearer"
        headers["authorization" if is_bearer else vendor.auth] = Secret(f"Bearer {key}" if is_bearer else key)
    if paths.get("gemini", "").endswith(_GENERATE) and vendor.auth != "oauth":  # Vertex embeds by another API
        paths["gemini_embeddings"] = paths["gemini"].removesuffix(_GENERATE) + ":batchEmbedContents"
    counter = next((name for name in paths if name in ("anthropic", "gemini")), "") if vendor.count_tokens else ""

    def whole(path: str) -> str:
        """The path from the host's root on, with everything filled in that is known before a call."""
        base = "" if path.startswith("{origin}") else urlsplit(settings.base_url).path
        path = path.removeprefix("{origin}")
        return base + _OPTION.sub(lambda found: quote(getattr(settings, found[1], ""), safe=""), path)

    return ProviderSpec(
        settings.base_url,
        vendor.name,
        {name: whole(path) for name, path in paths.items() if name in DIALECTS},
        {name: whole(path) for name, path in streams.items() if name in DIALECTS and name in paths},
        {counter: whole(vendor.count_tokens)} if counter in DIALECTS else {},
        {name: whole(path) for name, path in paths.items() if name in OPERATIONS},
        {ours: whole(path) for ours, path in vendor.versions.items() if _OPERATION_AT[ours] not in settings.paths},
        whole(vendor.models_path) if vendor.models_path else "",
        vendor.models_shape,
        headers=headers | dict(settings.headers),
        fixed=vendor.headers,
        client_headers=settings.client_headers,
        show_headers=settings.show_headers,
        quirks=vendor.quirks,
        stream_usage=settings.stream_usage,
        on_unsupported=settings.on_unsupported,
        limits=limits_of(vendor.limits),
    )
