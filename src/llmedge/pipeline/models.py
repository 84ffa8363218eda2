"""Which targets a model name stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import attrs

from llmedge.config.settings import Model, Provider
from llmedge.model import Target


@attrs.frozen
class Match:
    """``label`` is the bounded name for metrics: a configured name or pattern, never a client's invention."""

    label: str
    targets: tuple[Target, ...]


class ModelIndex:
    """Looks a model name up: configured name, ``PROVIDER/MODEL``, configured pattern, a provider's pattern."""

    def __init__(self, models: Mapping[str, Model], providers: Mapping[str, Provider]) -> None:
        self._exact: dict[str, Match] = {}
        self._patterns: list[tuple[str, tuple[str, ...]]] = []
        self._providers = providers
        for name, model in models.items():
            if "*" in name or "?" in name or "[" in name:
                self._patterns.append((name, model.targets))
            else:
                self._exact[name] = Match(name, tuple(_target(text, name) for text in model.targets))
        self._patterns.sort(key=lambda item: -len(item[0]))  # the longest pattern says most
        vendor_patterns = [
            (pattern, (f"{name}/*",)) for name, provider in providers.items() for pattern in provider.models
        ]
        vendor_patterns.sort(key=lambda item: -len(item[0]))
        self._patterns += vendor_patterns
        self._labels = {str(target) for match in self._exact.values() for target in match.targets}

    def find(self, model: str) -> Match | None:
        """Where ``model`` goes, or ``None`` if nobody has it."""
        if match := self._exact.get(model):
            return match
        provider, slash, name = model.partition("/")
        if slash and name and provider in self._providers:
            label = model if model in self._labels else f"{provider}/*"
            return Match(label, (Target(provider, name),))
        for pattern, targets in self._patterns:
            if fnmatchcase(model, pattern):
                return Match(pattern, tuple(_target(text, model) for text in targets))
        return None

    def names(self) -> Iterable[str]:
        """The configured names, patterns left out: what ``GET /v1/models`` can truthfully list."""
        return sorted(self._exact)

    def owner(self, model: str) -> str | None:
        """The provider of the first target of ``model``."""
        match = self.find(model)
        return match.targets[0].provider if match else None


def _target(text: str, asked: str) -> Target:
    provider, _, model = text.partition("/")
    return Target(provider, asked if model == "*" else model)
