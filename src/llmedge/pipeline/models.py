"""Which targets a model name stands for, and how they are to be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import attrs

from llmedge.call import Candidate, Match
from llmedge.config.capabilities import Capabilities
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.server import Server
from llmedge.config.stars import filled
from llmedge.config.vendors import capabilities_at
from llmedge.model import Target

_REMEMBERED = 1000
"""Names found by pattern that are kept: clients can ask for any."""


class ModelIndex:
    """Looks a model name up: configured name, ``PROVIDER/MODEL``, configured pattern, a provider's pattern.

    :param server: how long is waited where neither model nor provider says.
    :ivar timed: some of them do.
    """

    def __init__(
        self, models: Mapping[str, Model], providers: Mapping[str, Provider], server: Server | None = None
    ) -> None:
        self._server = server or Server()
        sections: list[Model | Provider] = [*models.values(), *providers.values()]
        self.timed = any(each.timeout is not None or each.stream_timeout is not None for each in sections)
        self._exact: dict[str, Match] = {}
        self._found: dict[str, Match | None] = {}
        self._patterns: list[tuple[str, Model, str]] = []
        self._providers = providers
        for name, model in models.items():
            if "*" in name or "?" in name or "[" in name:
                self._patterns.append((name, model, name))
            else:
                self._exact[name] = self._match(name, name, model, name)
        self._patterns.sort(key=lambda item: -len(item[0]))  # the longest pattern says most
        vendor_patterns = [
            (pattern, Model(targets=(TargetEntry(f"{name}/*"),)), "")
            for name, provider in providers.items()
            for pattern in provider.models
        ]
        vendor_patterns.sort(key=lambda item: -len(item[0]))
        self._patterns += vendor_patterns
        self._labels = {str(target) for match in self._exact.values() for target in match.targets}

    def find(self, model: str) -> Match | None:
        """Where ``model`` goes, or ``None`` if nobody has it."""
        match = self._exact.get(model)
        if match is None:
            try:
                return self._found[model]
            except KeyError:
                match = self._search(model)
                if len(self._found) >= _REMEMBERED:
                    self._found.clear()
                self._found[model] = match
        return match

    def _search(self, model: str) -> Match | None:
        provider, slash, name = model.partition("/")
        if slash and name and provider in self._providers:
            label = model if model in self._labels else f"{provider}/*"
            return self._match(label, model, Model(targets=(TargetEntry(model),)), None)
        for pattern, settings, starred in self._patterns:
            if fnmatchcase(model, pattern):
                return self._match(pattern, model, settings, starred)
        return None

    def _match(self, label: str, asked: str, model: Model, starred: str | None) -> Match:
        candidates = tuple(self._candidate(entry, asked, model, starred) for entry in model.targets)
        if not self.timed:
            return Match(label, candidates, model)
        timeout = self._longest("timeout", model, candidates)
        return Match(label, candidates, model, timeout, self._longest("stream_timeout", model, candidates))

    def _longest(self, limit: str, model: Model, candidates: Iterable[Candidate]) -> float | None:
        """What ``model`` says, else the longest of its targets, of which one that says nothing has the server's."""
        if (said := getattr(model, limit)) is not None:
            return float(said)
        told = [getattr(self._providers.get(each.target.provider), limit, None) for each in candidates]
        if all(each is None for each in told):
            return None
        usual: float = getattr(self._server, limit)
        return max(usual if each is None else each for each in told)

    def _candidate(self, entry: TargetEntry, asked: str, model: Model, starred: str | None) -> Candidate:
        """:param starred: the pattern that ``asked`` matches, whose star a target may have; ``None``: not."""
        target = entry.target if starred is None else filled(entry.target, starred, asked)
        if target != entry.target:
            entry = attrs.evolve(entry, target=target)
        provider, _, name = target.partition("/")
        settings = self._providers.get(provider)
        known = Capabilities() if settings is None else capabilities_at(settings, name, model)
        timeout = None if settings is None or model.timeout is not None else settings.timeout
        limits = timeout, model.first_token_timeout
        kept = "" if model.prompt_cache == "off" else model.prompt_cache_ttl
        return Candidate(Target(provider, name, model.on_unsupported, known, *limits, kept), entry)

    def leads_to(self, model: str, provider: str) -> bool:
        """Whether asking for ``model`` asks ``provider`` for a model of that very name first. Cheaper than
        :meth:`find`: lists may hold thousands."""
        if (match := self._exact.get(model)) is not None:
            target = match.candidates[0].target
            return (target.provider, target.model) == (provider, model)
        before, slash, name = model.partition("/")
        if slash and name and before in self._providers:
            return False
        for pattern, settings, starred in self._patterns:
            if fnmatchcase(model, pattern):
                return filled(settings.targets[0].target, starred, model) == f"{provider}/{model}"
        return False

    def names(self) -> Iterable[str]:
        """The configured names, patterns left out."""
        return sorted(self._exact)
