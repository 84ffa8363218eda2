"""What ``[cache.semantic]`` and the rest of a configuration say of each other."""

from __future__ import annotations

from collections.abc import Callable

from llmedge.config.locate import Path as KeyPath
from llmedge.config.reader import Reader
from llmedge.config.settings import Settings


def by_meaning(reader: Reader, settings: Settings, leads: Callable[[str], bool]) -> list[tuple[KeyPath, str]]:
    """Tell ``reader`` the problems.

    :param leads: whether a client may ask for a model.
    :returns: settings that name a model that nobody has.
    """
    semantic, path = settings.cache.semantic, ("cache", "semantic")
    if semantic.mode == "off":
        return []
    if semantic.mode == "verified" and not semantic.judge:
        reader.problem(
            (*path, "mode"), 'is "verified" and needs judge, a chat model such as judge = "openai/gpt-4o-mini"'
        )
    rules: list[tuple[KeyPath, str | None]] = [(("cache", "scope"), settings.cache.scope)]
    rules += [(("models", name, "cache"), each.cache.scope) for name, each in settings.models.items() if each.cache]
    keys = enumerate(settings.auth.keys)
    rules += [(("auth", "keys", index, "cache"), each.cache.scope) for index, each in keys if each.cache]
    for place, scope in rules:
        if scope == "shared":
            words = 'is "shared": with cache.semantic similar questions of strangers would be answered; take "team"'
            reader.problem(place, words)
    named: list[tuple[KeyPath, str]] = [((*path, name), getattr(semantic, name)) for name in ("judge", "embeddings")]
    return [(place, model) for place, model in named if model and not leads(model)]
