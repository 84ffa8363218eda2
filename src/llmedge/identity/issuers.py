"""The issuers of a configuration, each with its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llmedge.config.sections.jwt import Jwt
from llmedge.identity.jwks import Fetch, Fetches, KeySource


class Issuers:
    """:param fetch: how they are asked.

    :param previous: those of the configuration before, whose keys are taken over.
    :ivar fetches: how often they were asked, in this process.
    """

    def __init__(
        self,
        settings: Iterable[Jwt],
        clock: Any,
        fetch: Fetch,
        previous: Issuers | None = None,
        fetches: Fetches | None = None,
    ) -> None:
        known = {} if previous is None else {source.place: source for _, source in previous.sources}
        self._fetch = fetch
        self.fetches = fetches or Fetches()
        made = ((each, KeySource(each, clock, self.fetches)) for each in settings)
        self.sources: list[tuple[Jwt, KeySource]] = [(each, known.get(source.place, source)) for each, source in made]

    def start(self) -> None:
        """Keep their keys current from now on."""
        for _, source in self.sources:
            source.start(self._fetch)

    def retire(self, successor: Issuers | None = None) -> None:
        """Stop; those that ``successor`` has go on."""
        kept = [] if successor is None else [source for _, source in successor.sources]
        for _, source in self.sources:
            if source not in kept:
                source.stop()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called, and nothing else, when there are other keys than before."""
        for _, source in self.sources:
            source.changed = changed
