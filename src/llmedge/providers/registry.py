"""All vendors: the catalogue's, then those that are plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmedge.config import ConfigError
from llmedge.config.catalogue import VENDORS
from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.sections.upstream import Upstream
from llmedge.config.vendors import GENERIC
from llmedge.providers.azure import Azure
from llmedge.providers.bedrock import Bedrock
from llmedge.providers.interfaces import IVendor
from llmedge.providers.mock import Mock
from llmedge.providers.provider import Provider
from llmedge.providers.vendor import HttpVendor
from llmedge.providers.vertex import Vertex
from llmedge.upstream.client import Client

_OF_THEIR_OWN = {"azure": Azure, "bedrock": Bedrock, "mock": Mock, "vertex": Vertex}

OURS: dict[str, Any] = {
    entry.name: _OF_THEIR_OWN.get(entry.name, HttpVendor)(entry) for entry in (*VENDORS.values(), *GENERIC.values())
}
"""Name → :class:`~llmedge.providers.interfaces.IVendor`."""


def plugins() -> dict[str, Any]:
    """Those installed, by name. One that cannot be imported is left out, and ``twisted.plugin`` logs why."""
    from twisted.plugin import getPlugins

    from llmedge import plugins

    return {plugin.name: plugin for plugin in getPlugins(IVendor, plugins)}


class Vendors(Mapping[str, Any]):
    """Name → :class:`~llmedge.providers.interfaces.IVendor`. Plugins are only looked for when ours are not enough."""

    def __getitem__(self, name: str) -> Any:
        return OURS[name] if name in OURS else plugins()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**OURS, **plugins()})

    def __len__(self) -> int:
        return len({**OURS, **plugins()})


def vendor_behind(name: str, settings: ProviderSettings) -> Any:
    """The vendor of the provider called ``name``.

    :raises ConfigError: it is a plugin's, and the plugin is not there any more.
    """
    if (vendor := Vendors().get(settings.vendor)) is None:
        raise ConfigError([f"providers.{name}.vendor is not in the catalogue, and no plugin: {settings.vendor!r}"])
    return vendor


def provider_of(name: str, settings: ProviderSettings, client: Client, limits: Upstream, reactor: Any) -> Provider:
    """The provider called ``name``. What only some vendors need is imported when one of them is made.

    :raises ConfigError: it cannot be made.
    """
    vendor = vendor_behind(name, settings)
    try:
        provider: Provider = vendor.provider(name, settings, client, limits, reactor)
    except ValueError as error:
        raise ConfigError([f"providers.{name} {error}"]) from None
    return provider
