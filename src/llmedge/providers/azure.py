"""Azure OpenAI: the v1 API, or deployments with an ``api-version`` each
(learn.microsoft.com/azure/foundry/openai/api-version-lifecycle)."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.catalogue import AUDIO, paths
from llmedge.config.option import option
from llmedge.config.sections.providers import Provider
from llmedge.config.vendor_entry import Vendor
from llmedge.config.vendors import vendor_of
from llmedge.providers.vendor import HttpVendor

_PLACE = {"before": "/openai/deployments/{model}", "after": "?api-version={api_version}"}
_RESPONSES = "/openai/responses?api-version={api_version}"
_DEPLOYMENTS = paths(
    f"chat text embeddings images_generations images_edits {AUDIO}", openai_responses=_RESPONSES, **_PLACE
)


@attrs.frozen
class AzureSettings(Provider):
    """What only the vendor ``azure`` has."""

    api_version: str = option(kinds.string, "", "The api-version of deployments; without it the v1 API.")


class Azure(HttpVendor):
    """Its paths depend on ``api_version``."""

    settings = AzureSettings
    base_url_example = "https://RESOURCE.openai.azure.com"

    def entry(self, settings: AzureSettings) -> Vendor:
        entry = vendor_of(settings)
        return attrs.evolve(entry, paths=_DEPLOYMENTS) if settings.api_version else entry
