"""Vendors that are plugins. Only looked for when a provider names a vendor the catalogue does not have."""

from __future__ import annotations

from typing import Any

from llmedge.config import ConfigError
from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.sections.upstream import Upstream
from llmedge.providers.interfaces import IVendor
from llmedge.providers.provider import Provider
from llmedge.upstream.client import Client


def vendors() -> dict[str, Any]:
    """Those installed, by name. One that cannot be imported is left out, and ``twisted.plugin`` logs why."""
    from twisted.plugin import getPlugins

    from llmedge import plugins

    return {plugin.name: plugin for plugin in getPlugins(IVendor, plugins)}


def make(name: str, settings: ProviderSettings, client: Client, limits: Upstream, reactor: Any) -> Provider:
    """The provider called ``name``, by its plugin.

    :raises ConfigError: it cannot be made.
    """
    try:
        plugin = vendors()[settings.vendor]
        provider: Provider = plugin.provider(name, settings, client, limits, reactor)
    except KeyError:
        raise ConfigError(
            [f"providers.{name}.vendor is not in the catalogue, and no plugin: {settings.vendor!r}"]
        ) from None
    except ValueError as error:
        raise ConfigError([f"providers.{name} {error}"]) from None
    return provider
