"""Settings meet the catalogue: which vendor a provider is, where it is, and which are on when nothing is configured."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from llmedge.config import clouds, kinds
from llmedge.config.capabilities import Capabilities
from llmedge.config.catalogue import DIALECTS, OPERATIONS, VENDORS, Vendor, capabilities
from llmedge.config.nearest import nearest
from llmedge.config.secret import Secret, resolve
from llmedge.config.sections.models import Model
from llmedge.config.sections.providers import Provider


def _compatible(name: str, like: str, *dialects: str) -> Vendor:
    """A server that speaks ``dialects`` the way ``like`` does; nothing is known of its models."""
    vendor = VENDORS[like]
    return Vendor(
        name=name,
        base_url="",
        source=vendor.source,
        auth=vendor.auth,
        dialects={dialect: vendor.dialects[dialect] for dialect in dialects},
        stream_paths={dialect: path for dialect, path in vendor.stream_paths.items() if dialect in dialects},
        passthrough=vendor.passthrough,
        count_tokens=vendor.count_tokens,
        models_path=vendor.models_path,
        models_shape=vendor.models_shape,
        headers=vendor.headers,
        capabilities=Capabilities(),
        anywhere=True,
    )


GENERIC: Mapping[str, Vendor] = {
    "openai": _compatible("openai-compatible", "openai", "openai_chat", "openai_text", "openai_embeddings"),
    "openai_responses": _compatible("openai-responses-compatible", "openai", "openai_responses"),
    "anthropic": _compatible("anthropic-compatible", "anthropic", "anthropic"),
    "gemini": _compatible("gemini-compatible", "gemini", "gemini"),
    "bedrock": VENDORS["bedrock"],
    "vertex": VENDORS["vertex"],
}
"""By ``dialect``: what a provider is that the catalogue does not have."""

_BY_NAME = {vendor.name: vendor for vendor in (*GENERIC.values(), *VENDORS.values())}
_SPEAKS = {
    "openai": ("openai_chat", "openai_text", "openai_embeddings"),
    "openai_responses": ("openai_responses",),
    "anthropic": ("anthropic",),
    "gemini": ("gemini",),
    "bedrock": ("bedrock",),
    "vertex": ("gemini",),
    "mock": ("openai_chat", "openai_text", "openai_embeddings"),
}


Plugged = Callable[[], Mapping[str, Any]]
"""Finds the vendors that are plugins, by name: ``llmedge.providers.interfaces.IVendor``. Only called for a name that
the catalogue does not have."""


def is_plugged(provider: Provider) -> bool:
    """Whether the vendor of a provider that has been through :func:`settle` is a plugin."""
    return provider.vendor not in _BY_NAME and provider.vendor != ""


def vendor_of(provider: Provider) -> Vendor:
    """The vendor of a provider, whose settings have been through :func:`settle`."""
    return _BY_NAME.get(provider.vendor) or GENERIC.get(provider.dialect, GENERIC["openai"])


def paths_of(provider: Provider) -> dict[str, str]:
    """Dialect or operation → path, all ``provider`` speaks: the catalogue's, ``api_version`` and ``paths`` heeded."""
    vendor = vendor_of(provider)
    if provider.api_version and vendor.versioned:
        paths = dict(vendor.versioned)
    else:
        paths = {**vendor.dialects, **vendor.passthrough}
    paths |= provider.paths
    if provider.dialect:
        paths = {name: path for name, path in paths.items() if name in _SPEAKS[provider.dialect] or name in OPERATIONS}
    return paths


def capabilities_at(provider: Provider, upstream_model: str, model: Model | None = None) -> Capabilities:
    """What ``upstream_model`` can do at ``provider``; what the file says of ``model`` counts more."""
    known = capabilities(vendor_of(provider).name, upstream_model)
    return known if model is None else model.capabilities.over(known)


def settle(
    name: str, provider: Provider, environ: Mapping[str, str], plugged: Plugged = dict
) -> tuple[Provider, list[tuple[str, str]]]:
    """``provider`` with its vendor and base URL filled in, and what is wrong: (option or ``""``, words)."""
    if provider.dialect == "mock":
        return provider, [("vendor", 'is not for the dialect "mock"')] if provider.vendor else []
    if provider.vendor and provider.vendor not in _BY_NAME:
        plugins = plugged()
        if (plugin := plugins.get(provider.vendor)) is not None:
            return provider, list(plugin.problems(provider))
        known = (*VENDORS, *(vendor.name for vendor in GENERIC.values()), *plugins)
        what = f"is not in the catalogue, and no plugin: {provider.vendor!r}" + nearest(provider.vendor, known)
        return provider, [("vendor", what + (f" (plugins: {', '.join(sorted(plugins))})" if plugins else ""))]
    if provider.vendor:
        vendor = _BY_NAME[provider.vendor]
    elif (called := VENDORS.get(name)) is not None and _is(called, provider):
        vendor = called
    else:
        vendor = GENERIC[provider.dialect or "openai"]
    provider, problems = clouds.settle(vendor.name, provider, environ)
    settled = attrs.evolve(provider, vendor=vendor.name, base_url=provider.base_url or vendor.base_url)
    if "no_stream_options" in vendor.quirks:
        settled = attrs.evolve(settled, stream_usage=False)
    return settled, problems + list(_problems(name, vendor, settled))


def _is(vendor: Vendor, provider: Provider) -> bool:
    """Whether a provider called as ``vendor`` is it, as far as its dialect and base URL tell."""
    if provider.dialect:
        return False
    return vendor.anywhere or provider.base_url in ("", vendor.base_url)


def _problems(name: str, vendor: Vendor, provider: Provider) -> Iterator[tuple[str, str]]:
    if not provider.base_url and vendor.name not in ("bedrock", "vertex"):  # those are where region or location says
        azure = vendor.name == "azure"
        example = "https://RESOURCE.openai.azure.com" if azure else "http://127.0.0.1:8000/v1"
        meant = difflib.get_close_matches(name, VENDORS, 1, 0.7) if not azure else []
        hint = f"; did you mean [providers.{meant[0]}]?" if meant and meant[0] != name else ""
        yield "", f'needs base_url, such as base_url = "{example}"{hint}'
    for option in set(provider.paths) - {*DIALECTS, *OPERATIONS}:
        yield "paths", f"names {option!r}, which is no dialect or operation" + nearest(option, (*DIALECTS, *OPERATIONS))
    if provider.dialect and not any(dialect in paths_of(provider) for dialect in _SPEAKS[provider.dialect]):
        yield "dialect", f"is not spoken by {vendor.name}, which speaks {', '.join(vendor.dialects)}"
    if provider.api_version and not vendor.versioned:
        yield "api_version", 'is for the vendor "azure" only'
    for option, owner in (
        *(("region", "bedrock"), ("access_key", "bedrock"), ("secret_key", "bedrock"), ("session_token", "bedrock")),
        *(("project", "vertex"), ("location", "vertex"), ("credentials", "vertex"), ("token_url", "vertex")),
    ):
        if getattr(provider, option) and vendor.name != owner:
            yield option, f'is for the vendor "{owner}" only'
    if provider.options:
        yield "options", "is for vendors that are plugins only"
    if (provider.access_key is None) != (provider.secret_key is None):
        yield "access_key" if provider.access_key else "secret_key", "needs both access_key and secret_key"


def from_environment(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Providers by name, never empty: vendors whose key is there and who need nothing else, else ``mock``.

    :raises ValueError: a variable is set to something unusable; the message names it, not its value.
    """
    found: dict[str, Provider] = {}
    for vendor in VENDORS.values():
        variable = next((name for name in vendor.env if environ.get(name, "").strip()), None)
        if variable is None or not vendor.base_url:
            continue
        try:
            key = Secret(resolve(f"env:{variable}", environ))
        except ValueError as error:
            raise ValueError(f"environment variable {variable}: {error}") from None
        provider, _ = settle(vendor.name, Provider(api_key=key, models=vendor.models), environ)
        found[vendor.name] = provider
    if host := environ.get("OLLAMA_HOST", "").strip():
        try:
            base_url = kinds.url.from_text(_ollama_url(host), environ)
        except ValueError as error:
            raise ValueError(f"environment variable OLLAMA_HOST {error}") from None
        # Ollama's models have any name: it takes what nobody else does.
        ollama = Provider(base_url=f"{base_url}/v1", models=VENDORS["ollama"].models)
        found["ollama"], _ = settle("ollama", ollama, environ)
    if not found:
        found["mock"] = Provider(dialect="mock", models=("*",))
    return found


def variables() -> list[str]:
    """The environment variables that switch a vendor on."""
    keyed = [name for vendor in VENDORS.values() if vendor.base_url for name in vendor.env]
    return [*keyed, "OLLAMA_HOST"]


def _ollama_url(host: str) -> str:
    """``OLLAMA_HOST`` may be a host, host:port or URL; the port is 11434 by default (docs.ollama.com/faq)."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    rest = rest.replace("0.0.0.0", "127.0.0.1", 1)  # noqa: S104 - what a server binds is not where to call it
    if ":" not in rest.rpartition("]")[2] and not separator:
        rest += ":11434"
    return f"{scheme}://{rest}"
