"""``--check --ask``: what each vendor says when it is asked for its models, in an operator's words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError

from llmedge.config import ConfigError, Settings
from llmedge.config.sections.providers import Provider
from llmedge.config.vendors import vendor_of
from llmedge.errors import EdgeError, UpstreamCut
from llmedge.providers.http import HttpProvider
from llmedge.providers.provider import ListsModels, ModelInfo
from llmedge.providers.registry import provider_of
from llmedge.upstream.client import Client

PATIENCE = 10.0
"""Seconds a vendor has; all are asked at once."""
Said = tuple[str, bool]
"""What is to be said of a vendor, and whether it can be used as far as one can see."""


async def ask_all(reactor: Any, settings: Settings) -> AsyncIterator[tuple[str, str, bool]]:
    """Each provider's name, words about it without any secret, and whether it can be used."""
    client = Client(reactor, settings.upstream)
    asked = {
        name: Deferred.fromCoroutine(_ask(reactor, client, settings, name)).addTimeout(
            PATIENCE, reactor, onTimeoutCancel=_late
        )
        for name in settings.providers
    }
    try:
        for name, answer in asked.items():
            words, good = await answer
            yield name, words, good
    finally:
        client.close()


def _late(result: Any, seconds: float) -> Said:
    return f"no answer within {seconds:g} s", False


async def _ask(reactor: Any, client: Client, settings: Settings, name: str) -> Said:
    entry = settings.providers[name]
    if vendor_of(entry).rehearsal:
        return "answers by itself, nobody is asked", True
    try:
        provider: Any = provider_of(name, entry, client, settings.upstream, reactor)
    except ConfigError as error:
        return str(error), False
    wanted = _wanted(settings, name)
    try:
        if isinstance(provider, HttpProvider):
            status, body = await provider.look()
            if status == 200 and provider.checkable:
                return _listed(await provider.listed(body), wanted)
            return _answered(status, entry, provider.checkable)
        if isinstance(provider, ListsModels):
            return _listed(await provider.list_models(), wanted)
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s", False
    except EdgeError as error:
        words = error.message.removeprefix(f"The provider '{name}' ").rstrip(".")
        plain = isinstance(error, UpstreamCut) and entry.base_url.startswith("http://")
        return words + "; is it https there?" * plain, False
    except Exception as error:  # a plugin's
        return f"could not be asked: {type(error).__name__}", False
    finally:
        provider.close()
    return "has no way to be asked", True


def _answered(status: int, entry: Provider, lists: bool) -> Said:
    where = entry.base_url
    if status in (401, 403, 407):
        if entry.api_key is None and not entry.headers:
            return f"reachable, and wants a key (status {status}): it has no api_key", False
        if lists or status == 401:
            return f"reachable, key refused (status {status})", False
    if not lists:
        return f"reachable (status {status}); it has no list of models, so whether it takes the key is not known", True
    if status in (404, 405, 410) or status < 400:
        return f"reachable, path wrong: no list of models there (status {status}); check its base_url, {where}", False
    if status == 429:
        return "reachable, and limits the gateway's rate (status 429)", True
    return f"reachable, but it answers with status {status}", False


def _listed(models: list[ModelInfo], wanted: list[str]) -> Said:
    names = {model.id for model in models}
    missing = [name for name in wanted if name not in names and f"{name}:latest" not in names]
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    return f"reachable, {count}" + (f"; not in its list: {', '.join(missing)}" if missing and models else ""), True


def _wanted(settings: Settings, provider: str) -> list[str]:
    """The models of ``provider`` that ``[models]`` names."""
    targets = [str(entry).partition("/") for model in settings.models.values() for entry in model.targets]
    return sorted({name for owner, _, name in targets if owner == provider and "*" not in name})
