"""What ``*`` in a target stands for: ``targets = ["PROVIDER/*"]`` under a pattern of ``[models]``."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

T = TypeVar("T")

_OTHER_WILDCARDS = frozenset("?[")


def filled(target: str, pattern: str, asked: str) -> str:
    """``target`` for a client that asked for ``asked``, which matches ``pattern``.

    ``PROVIDER/*`` takes the whole name; under a pattern that is all below a prefix, ``srv1/*``, what stood for its
    star. ``PROVIDER/org/*`` always takes what stood for the pattern's star.

    :param pattern: ``""``: the name is the provider's own.
    """
    provider, _, model = target.partition("/")
    if "*" not in model:
        return target
    prefix, star, suffix = pattern.partition("*")
    if model == "*" and not (star and prefix.endswith("/") and not suffix and _OTHER_WILDCARDS.isdisjoint(prefix)):
        return f"{provider}/{asked}"
    return f"{provider}/{model.replace('*', asked[len(prefix) : len(asked) - len(suffix)], 1)}"


def entry_for(target: str, entries: Mapping[str, T]) -> T | None:
    """What ``entries``, by target, have for ``target``: under its name, else under the longest with a star."""
    if (entry := entries.get(target)) is not None:
        return entry
    starred = [each for each in entries if "*" in each and fnmatchcase(target, each)]
    return entries[max(starred, key=len)] if starred else None


def star_problem(name: str, target: str) -> str:
    """What is wrong with the star of ``target`` under ``[models.NAME]``, a predicate; ``""`` if nothing is."""
    model = target.partition("/")[2]
    if "*" not in model or model == "*":
        return ""
    if model.count("*") > 1:
        return f"has {target!r}, in which one * may stand"
    if name.count("*") != 1 or not _OTHER_WILDCARDS.isdisjoint(name):
        return f'has {target!r}, whose * needs exactly one in the model\'s name, as in [models."srv1/*"], and no ? or ['
    return ""
