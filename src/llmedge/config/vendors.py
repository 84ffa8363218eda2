"""Settings meet the catalogue: which vendor a provider is, where it is, and which are on when nothing is configured."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.base_urls import is_at, of_catalogue
from llmedge.config.capabilities import Capabilities
from llmedge.config.catalogue import VENDORS, capabilities
from llmedge.config.nearest import nearest
from llmedge.config.sections.models import Model
from llmedge.config.sections.providers import Provider
from llmedge.config.vendor_entry import OPERATIONS, Vendor

_COMPATIBLE = "-compatible"
"""Behind the names of :data:`GENERIC`, which are for logs: a file says ``dialect``."""
Vendors = Mapping[str, Any]
"""Name → :class:`~llmedge.providers.interfaces.IVendor`, plugins too, which know the configuration and not it them."""


def _compatible(name: str, like: str, *dialects: str, quirks: str = "") -> Vendor:
    """A server that speaks ``dialects`` the way ``like`` does; nothing is known of its models."""
    vendor = VENDORS[like]
    return attrs.evolve(
        vendor,
        name=name,
        price_name="",
        otel_name="",
        base_url="",
        env=(),
        models=(),
        anywhere=True,
        paths={dialect: vendor.paths[dialect] for dialect in dialects} | vendor.passthrough,
        stream_paths={dialect: path for dialect, path in vendor.stream_paths.items() if dialect in dialects},
        quirks=frozenset(quirks.split()),
        limits={"max_tokens": 1},
        capabilities=Capabilities(),
    )


GENERIC: Mapping[str, Vendor] = {
    "openai": _compatible(
        "openai-compatible",
        "openai",
        *("openai_chat", "openai_text", "openai_embeddings"),
        quirks="max_tokens no_developer_role",  # most refuse the role: github.com/can1357/oh-my-pi/issues/843
    ),
    "openai_responses": _compatible("openai-responses-compatible", "openai", "openai_responses"),
    "anthropic": _compatible("anthropic-compatible", "anthropic", "anthropic"),
    "gemini": _compatible("gemini-compatible", "gemini", "gemini"),
    "bedrock": VENDORS["bedrock"],
    "vertex": VENDORS["vertex"],
    "mock": Vendor("mock", "", "", price_name="free", otel_name="", rehearsal=True),
}
"""By ``dialect``: what a provider is that the catalogue does not have."""

_BY_NAME = {vendor.name: vendor for vendor in (*GENERIC.values(), *VENDORS.values())}


def vendor_of(provider: Provider) -> Vendor:
    """The vendor of a provider, whose settings are settled."""
    return _BY_NAME.get(provider.vendor) or GENERIC.get(provider.dialect, GENERIC["openai"])


def paths_of(provider: Provider, vendor: Vendor | None = None) -> dict[str, str]:
    """Dialect or operation → path, all ``provider`` speaks: those of ``vendor``, its own by default, and ``paths``."""
    vendor = vendor or vendor_of(provider)
    paths = {**vendor.paths, **provider.paths}
    if provider.dialect:
        spoken = GENERIC[provider.dialect].paths
        paths = {name: path for name, path in paths.items() if name in spoken or name in OPERATIONS}
    return paths


def capabilities_at(provider: Provider, upstream_model: str, model: Model | None = None) -> Capabilities:
    """What ``upstream_model`` can do at ``provider``; what the file says of ``model`` counts more."""
    known = capabilities(vendor_of(provider).name, upstream_model)
    return known if model is None else model.capabilities.over(known)


def choose(name: str, provider: Provider, vendors: Vendors) -> tuple[Any, str]:
    """The vendor of the table ``[providers.NAME]``; else ``None``, and what is wrong with ``vendor``."""
    if provider.vendor:
        if (vendor := vendors.get(provider.vendor)) is not None:
            return vendor, ""
        plugins = sorted(set(vendors).difference(_BY_NAME))
        written = [each for each in vendors if not each.endswith(_COMPATIBLE)]
        near = nearest(provider.vendor, written)
        what = f"is not in the catalogue, and no plugin: {provider.vendor!r}{near}"
        missing = getattr(vendors, "missing", None)  # where plugins are looked for, and which are broken
        said = "" if missing is None else missing(near.startswith("; there is") and not plugins)
        return None, what + (f" (plugins: {', '.join(plugins)})" if plugins else "") + said
    called = None if provider.dialect else VENDORS.get(name)
    if called is None or not (called.anywhere or provider.base_url in ("", called.base_url)):
        called = GENERIC[provider.dialect or "openai"]  # it is called so, and something else
    return vendors[called.name], ""


def known_patterns(name: str, vendor: str, rehearsed: bool) -> tuple[str, ...]:
    """Patterns of model names that go to the provider ``name`` whose table says nothing of ``models``: the catalogue's,
    where it is called as its vendor, or rehearses it."""
    return VENDORS[name].models if name in VENDORS and (vendor == name or rehearsed) else ()


def meant(name: str) -> str:
    """A hint for a table that may have wanted to be called as a vendor."""
    close = difflib.get_close_matches(name, VENDORS, 1, 0.7)
    return f"; did you mean [providers.{close[0]}]?" if close and close[0] != name else ""


def from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Tables of ``[providers]`` where the file has none: vendors whose key is there and who need nothing else, else
    ``mock``. What has any name, Ollama's models and the mock's, takes what nobody else does.

    :raises ValueError: a variable is set to something unusable; the message names it, not its value.
    """
    found: dict[str, dict[str, Any]] = {}
    for vendor in VENDORS.values():
        variable = next((name for name in vendor.env if environ.get(name, "").strip()), "")
        if variable and vendor.base_url:
            found[vendor.name] = {"api_key": f"env:{variable}", "models": list(vendor.models)}
            for base in base_variables(vendor):
                if environ.get(base, "").strip():
                    found[vendor.name] |= _elsewhere(vendor, base, environ)
                    break
    if host := environ.get("OLLAMA_HOST", "").strip():
        try:
            base_url = kinds.url.from_text(_ollama_url(host), environ)
        except ValueError as error:
            raise ValueError(f"environment variable OLLAMA_HOST {error}") from None
        found["ollama"] = {"base_url": f"{base_url}/v1", "models": ["*"]}
    return found or {"mock": {"dialect": "mock", "models": ["*"]}}


def variables() -> list[str]:
    """The environment variables that switch a vendor on."""
    keyed = [name for vendor in VENDORS.values() if vendor.base_url for name in vendor.env]
    return [*keyed, "OLLAMA_HOST"]


def base_variables(vendor: Vendor) -> tuple[str, ...]:
    """The variables that say where a vendor is, beside its key; the first that is set counts."""
    return (f"{vendor.name.upper()}_BASE_URL", *_BASE_URLS.get(vendor.name, ()))


_BASE_URLS = {"openai": ("OPENAI_API_BASE",), "gemini": ("GOOGLE_GEMINI_BASE_URL",)}
"""Other names in SDKs: openai before its version 1, google-genai."""


def _elsewhere(vendor: Vendor, variable: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Where ``variable`` says that ``vendor`` is. At another host it is a server that speaks the vendor's dialect; what
    else is the vendor's, nobody can know."""
    try:
        base_url = of_catalogue(kinds.url.from_text(environ[variable].strip(), environ), vendor)
    except ValueError as error:
        raise ValueError(f"environment variable {variable} {error}") from None
    if is_at(base_url, vendor):
        return {"base_url": base_url, "vendor": vendor.name}
    dialect = next(iter(vendor.dialects))
    return {"base_url": base_url, "dialect": "openai" if dialect == "openai_chat" else dialect}


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
