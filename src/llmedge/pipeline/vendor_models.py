"""What vendors say they have: fetched when somebody asks, renewed in the background, the last good list kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger

from llmedge.errors import EdgeError
from llmedge.pipeline.models import ModelIndex
from llmedge.providers.provider import ListsModels, ModelInfo, Provider

log = Logger()

FIRST_WAIT = 2.0
"""Seconds the first who asks waits for vendors that have not answered yet."""
FETCH_TIMEOUT = 30.0
RETRY = 30.0
"""Seconds after which a failed fetch is tried again, if that is sooner than the next one would be."""


@attrs.define(eq=False)
class _List:
    """One provider's list.

    :ivar due: when it is to be fetched again; ``fetching`` while it is.
    """

    models: tuple[ModelInfo, ...] = ()
    due: float = 0.0
    tried: bool = False
    fetching: Deferred[None] | None = None


class VendorModels:
    """The lists of all providers that can tell what they have.

    :param refresh: seconds after which a list is old; 0: nobody is asked.
    :param reactor: ``IReactorTime``.
    :ivar version: changes whenever a list does.
    """

    def __init__(self, providers: Mapping[str, Provider], index: ModelIndex, refresh: float, reactor: Any) -> None:
        able = {name: each for name, each in providers.items() if isinstance(each, ListsModels)} if refresh else {}
        self.version = 0
        self._providers: Mapping[str, ListsModels] = able
        self._lists = {name: _List() for name in able}
        self._index = index
        self._refresh = refresh
        self._reactor = reactor
        self._waiting: list[Deferred[None]] = []
        self._names: tuple[int, dict[str, tuple[str, ModelInfo]]] = (-1, {})

    def keep(self, previous: VendorModels, names: Collection[str]) -> None:
        """Go on from the lists another configuration has, of the providers ``names``, which are the same in both."""
        for name in names:
            if name in self._lists and name in previous._lists:
                known = previous._lists[name]
                settled = bool(known.models) and known.fetching is None  # what is under way ends with its configuration
                self._lists[name] = _List(known.models, known.due if settled else 0.0, tried=bool(known.models))

    async def ready(self) -> None:
        """Have what is old fetched; wait for what was never there, :data:`FIRST_WAIT` seconds at most."""
        now = self._reactor.seconds()
        for name, known in self._lists.items():
            if known.fetching is None and now >= known.due:
                self._fetch(name, known)
        if all(known.tried for known in self._lists.values()):
            return
        turn: Deferred[None] = Deferred(self._waiting.remove)  # who leaves does not stop the others' lists
        self._waiting.append(turn)
        turn.addTimeout(FIRST_WAIT, self._reactor)
        try:
            await turn
        except TimeoutError:
            pass  # what is there will do; the next who asks may get more

    def names(self) -> Mapping[str, tuple[str, ModelInfo]]:
        """Name → its provider, and what is known: the bare id where asking for it leads there, else
        ``PROVIDER/ID``."""
        if self._names[0] != self.version:
            found: dict[str, tuple[str, ModelInfo]] = {}
            for provider, known in self._lists.items():
                for model in known.models:
                    bare = self._index.leads_to(model.id, provider)
                    found.setdefault(model.id if bare else f"{provider}/{model.id}", (provider, model))
            self._names = (self.version, found)
        return self._names[1]

    def close(self) -> None:
        """Stop what is under way. Harmless when repeated."""
        for known in self._lists.values():
            if known.fetching is not None:
                known.fetching.cancel()

    def _fetch(self, name: str, known: _List) -> None:
        fetching = Deferred.fromCoroutine(self._ask(name, known))
        if not fetching.called:
            known.fetching = fetching

    async def _ask(self, name: str, known: _List) -> None:
        known.due = self._reactor.seconds() + self._refresh
        asking: Deferred[list[ModelInfo]] = Deferred.fromCoroutine(self._providers[name].list_models())
        try:
            models = tuple(await asking.addTimeout(FETCH_TIMEOUT, self._reactor))
        except CancelledError:
            pass
        except Exception as error:
            known.due = min(known.due, self._reactor.seconds() + RETRY)
            if isinstance(error, TimeoutError):
                reason = f"The provider '{name}' did not list its models within {FETCH_TIMEOUT:g} s."
            else:
                reason = error.message if isinstance(error, EdgeError) else type(error).__name__
            log.warn("the models of {provider} could not be listed: {reason}", provider=name, reason=reason)
        else:
            if models != known.models:
                known.models = models
                self.version += 1
        finally:
            known.tried = True
            known.fetching = None
            if all(each.tried for each in self._lists.values()):
                waiting, self._waiting = self._waiting, []
                for turn in waiting:
                    turn.callback(None)
