"""A vendor that is asked over HTTP in one of the dialects: most are nothing else, the others say where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from zope.interface import implementer

from llmedge.config import base_urls
from llmedge.config.catalogue import DIALECTS
from llmedge.config.nearest import nearest
from llmedge.config.pem import key_problem
from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.sections.upstream import Upstream
from llmedge.config.vendor_entry import OPERATIONS, Vendor
from llmedge.config.vendors import GENERIC, paths_of, vendor_of
from llmedge.providers.http import HttpProvider
from llmedge.providers.interfaces import IVendor
from llmedge.providers.provider import Provider
from llmedge.providers.signing import Signer
from llmedge.providers.spec import ProviderSpec, spec_of
from llmedge.upstream.client import Client


@implementer(IVendor)
class HttpVendor:
    """One that needs a base URL and a key, at most.

    :param entry: what the catalogue knows of it; a plugin's class says ``name``, and the others as it wants, itself.
    """

    name: str
    settings: type[ProviderSettings] = ProviderSettings
    price_name = ""
    otel_name = ""
    base_url_example = "http://127.0.0.1:8000/v1"
    """For whoever forgot it; ``""`` where the base URL follows from other options."""

    def __init__(self, entry: Vendor | None = None) -> None:
        if entry is not None:
            self.name, self.price_name, self.otel_name = entry.name, entry.price_name, entry.otel_name

    def entry(self, settings: Any) -> Vendor:
        """What the catalogue knows of it, as ``settings`` make it. Of a plugin's, what its dialect tells."""
        return vendor_of(settings)

    def resolve(self, settings: Any, environ: Mapping[str, str]) -> Any:
        entry = self.entry(settings)
        asks_usage = settings.stream_usage and "no_stream_options" not in entry.quirks
        base_url = self.understood(settings) or entry.base_url
        return attrs.evolve(settings, base_url=base_url, stream_usage=asks_usage)

    def understood(self, settings: Any) -> str:
        """The base URL, without what the vendor's own paths have; as it is where the table has paths."""
        if not settings.base_url or settings.paths:
            return str(settings.base_url)
        return base_urls.without_paths(settings.base_url, self.entry(settings))

    def problems(self, settings: Any) -> Iterator[tuple[str, str]]:
        if not settings.base_url and self.base_url_example:
            yield "", f'needs base_url, such as base_url = "{self.base_url_example}"'
        known = (*DIALECTS, *OPERATIONS)
        for option in set(settings.paths).difference(known):
            yield "paths", f"names {option!r}, which is no dialect or operation" + nearest(option, known)
        entry = self.entry(settings)
        if settings.base_url and not settings.paths and (words := base_urls.problem(settings.base_url, entry)):
            yield "base_url", words
        generic = GENERIC.get(settings.dialect)
        if generic and not any(dialect in paths_of(settings, entry) for dialect in generic.dialects):
            yield "dialect", f"is not spoken by {entry.name}, which speaks {', '.join(entry.dialects)}"
        if problem := key_problem(settings.client_cert, settings.client_key):
            yield "client_key", problem

    def spec(self, settings: Any) -> ProviderSpec:
        """What is sent where."""
        return spec_of(settings, self.entry(settings))

    def signer(self, settings: Any, client: Client, limits: Upstream, reactor: Any) -> Signer | None:
        """What proves who asks, where that takes more than a header."""
        return None

    def provider(self, name: str, settings: Any, client: Client, limits: Upstream, reactor: Any) -> Provider:
        spec = self.spec(settings).signed(self.signer(settings, client, limits, reactor))
        return HttpProvider(name, spec, client, limits, reactor)


def is_place(text: str) -> bool:
    """Whether it can be a cloud's region: it becomes a part of a host's name."""
    return re.fullmatch(r"[a-z0-9-]{1,32}", text) is not None
