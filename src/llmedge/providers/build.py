"""A provider from its settings. What only some vendors need is imported when one of them is configured."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config.sections.providers import Provider as ProviderSettings
from llmedge.config.sections.upstream import Upstream
from llmedge.config.vendors import is_plugged
from llmedge.providers.http import HttpProvider
from llmedge.providers.mock import MockProvider
from llmedge.providers.offer import Offer, offer_of
from llmedge.providers.provider import Provider
from llmedge.upstream.client import Client


def provider_of(name: str, settings: ProviderSettings, client: Client, limits: Upstream, reactor: Any) -> Provider:
    """The provider called ``name``.

    :raises ConfigError: it is a plugin's, and the plugin cannot make it.
    """
    if settings.dialect == "mock":
        return MockProvider(name, settings, limits, reactor)
    if is_plugged(settings):
        from llmedge.providers import plugged

        return plugged.make(name, settings, client, limits, reactor)
    offer = _signed(offer_of(settings), settings, client, limits, reactor)
    return HttpProvider(name, offer, client, limits, reactor)


def _signed(offer: Offer, settings: ProviderSettings, client: Client, limits: Upstream, reactor: Any) -> Offer:
    if offer.vendor == "bedrock":
        from llmedge.providers import bedrock

        return offer.signed(bedrock.signer(reactor, settings))
    if offer.vendor == "vertex":
        from llmedge.providers import vertex

        claude = {name: attrs.evolve(variant, adapt=vertex.claude_body) for name, variant in offer.variants.items()}
        offer = attrs.evolve(offer, variants=claude)
        return offer.signed(vertex.signer(reactor, settings, client, limits))
    return offer
