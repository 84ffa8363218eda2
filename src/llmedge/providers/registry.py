"""All vendors: the catalogue's, then those that are plugins."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from llmedge.config import ConfigError
from llmedge.config.catalogue import VENDORS
from llmedge.config.egress import Way
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


def plugins() -> tuple[dict[str, Any], dict[str, str]]:
    """Those installed, by name; and of modules that cannot be imported, by name, why."""
    found, broken = plugged(IVendor)
    return {each.name: each for each in found}, broken


def plugged(interface: Any) -> tuple[list[Any], dict[str, str]]:
    """What plugins have that provides ``interface``; and of modules that cannot be imported, by name, why.

    They are what ``twisted.plugin`` calls plugins. Its ``getPlugins`` would write a cache beside them, and a traceback
    to standard error for each that is broken.
    """
    from twisted.plugin import IPlugin

    from llmedge import plugins as room

    found: list[Any] = []
    broken: dict[str, str] = {}
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        try:
            there = vars(importlib.import_module(module.name)).values()
        except Exception as error:  # whatever somebody else's module may do
            broken[module.name.rpartition(".")[2]] = f"{type(error).__name__}: {error}"
        else:
            found += [each for each in there if IPlugin.providedBy(each) and interface.providedBy(each)]
    return found, broken


class Vendors(Mapping[str, Any]):
    """Name → :class:`~llmedge.providers.interfaces.IVendor`. Plugins are only looked for when ours are not enough."""

    def __getitem__(self, name: str) -> Any:
        return OURS[name] if name in OURS else plugins()[0][name]

    def __iter__(self) -> Iterator[str]:
        return iter({**OURS, **plugins()[0]})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def missing(self, places: bool) -> str:
        """For whoever misses a plugin: which cannot be imported, else, with ``places``, where they are looked for."""
        from llmedge import plugins as room

        if broken := plugins()[1]:
            return "".join(f"; the plugin {name} cannot be imported: {why}" for name, why in broken.items())
        if not places:
            return ""
        there = [path for path in room.__path__ if os.path.isdir(path) and path != os.path.dirname(room.__file__)]
        seen = f", which is {', '.join(there)}" if there else ", and there is none"
        return f"; plugins are looked for in llmedge/plugins of each directory on PYTHONPATH{seen}"


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
        provider: Provider = vendor.provider(name, settings, client.by(Way.of(settings)), limits, reactor)
    except ValueError as error:
        raise ConfigError([f"providers.{name} {error}"]) from None
    return provider
