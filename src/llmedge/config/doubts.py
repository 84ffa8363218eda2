"""What can be used and is hardly meant: told at the start and by ``--check``, refused by nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from llmedge.config import misspelt
from llmedge.config.catalogue import VENDORS
from llmedge.config.locate import Path as KeyPath
from llmedge.config.reader import Reader
from llmedge.config.sections.models import Model
from llmedge.config.sections.providers import Provider
from llmedge.config.settings import Settings
from llmedge.config.vendors import base_variables, paths_of, vendor_of

SHORTEST_KEY = 16
"""Characters. What is shorter was thought up, and can be found by trying."""


def look(reader: Reader, settings: Settings) -> None:
    """Tell ``reader`` what is doubtful in good ``settings``."""
    if ("providers",) not in reader.lines:
        _environment(reader, settings)
    _unread(reader, misspelt.of_settings(reader.environ, reader.lines))
    for name, provider in settings.providers.items():
        _provider(reader, name, provider)
        _nameless(reader, name, provider, settings)
    _keys(reader, settings)
    for index, guardrail in enumerate(settings.guardrails):
        if guardrail.mode == "enforce" and not guardrail.samples:
            words = "is enforced and names no samples: try it on lines of yours (llmedge guard test FILE) before"
            reader.doubt(("guardrails", index), words)
    for name, model in settings.models.items():
        _model(reader, name, model, settings)
    rules = [each.cache for each in settings.models.values()] + [each.cache for each in settings.auth.keys]
    if settings.cache.semantic.mode != "off" and not settings.cache.enabled and not any(rules):
        reader.doubt(("cache", "semantic", "mode"), "does nothing while cache.enabled is false")


def _environment(reader: Reader, settings: Settings) -> None:
    """Vendors are on by their variables: those that nobody reads, and that look as if somebody should."""
    environ = reader.environ
    _unread(reader, misspelt.of_vendors(environ))
    for vendor in VENDORS.values():
        keyed = [name for name in vendor.env if environ.get(name, "").strip()]
        if keyed and not vendor.base_url:
            _tell(reader, f"{keyed[0]} alone does not switch {vendor.name} on: it needs [providers.{vendor.name}]")
        base = next((name for name in base_variables(vendor) if environ.get(name, "").strip()), "")
        if base and vendor.env and vendor.base_url and not keyed:
            _tell(reader, f"{base} is set, but not {vendor.env[0]}, which switches {vendor.name} on")
    if all(vendor_of(each).rehearsal for each in settings.providers.values()):
        _tell(
            reader,
            "only the mock provider is on, and answers every model: set OPENAI_API_KEY or another vendor's key, or "
            'write [providers] in a config file (dialect = "mock" there, if that is meant)',
        )


def _unread(reader: Reader, names: Iterable[tuple[str, str]]) -> None:
    for name, other in names:
        _tell(reader, f"the variable {name} is set, and nothing reads it: did you mean {other}?")


def _tell(reader: Reader, words: str) -> None:
    reader.doubts.append((float("inf"), words))


def _provider(reader: Reader, name: str, provider: Provider) -> None:
    path: KeyPath = ("providers", name)
    entry = vendor_of(provider)
    if entry.rehearsal:
        return
    header = "authorization" if entry.auth == "bearer" else entry.auth
    shown = provider.api_key is not None or header in provider.headers or entry.auth in ("sigv4", "oauth")
    if entry.env and not shown:
        reader.doubt(path, f'has no api_key, such as api_key = "env:{entry.env[0]}": {entry.name} asks for one')
    dialects = [dialect for dialect in paths_of(provider) if dialect.startswith("openai_")]
    called = VENDORS.get(name)
    if called and provider.vendor == "openai-compatible" and "openai_chat" not in called.paths and dialects:
        said = f'is asked in OpenAI\'s dialect, not as {name}, because of its base_url: vendor = "{name}" if it is that'
        if (*path, "dialect") not in reader.lines:
            reader.doubt((*path, "base_url"), said)
    host = re.fullmatch(r"https?://[^/]+", provider.base_url)
    if host and provider.vendor == "openai-compatible" and not provider.paths:
        reader.doubt((*path, "base_url"), "has no path; most servers have OpenAI's API behind /v1")


def _nameless(reader: Reader, name: str, provider: Provider, settings: Settings) -> None:
    """It is called as a vendor of the catalogue, and its ``base_url`` makes it another server, which has no names."""
    path: KeyPath = ("providers", name)
    called = VENDORS.get(name)
    if called is None or not called.models or "openai_chat" not in called.paths or provider.models:
        return
    written = any((*path, option) in reader.lines for option in ("models", "dialect"))
    targets = (str(entry) for model in settings.models.values() for entry in model.targets)
    aimed = any(each.startswith(f"{name}/") for each in targets)
    if provider.vendor == "openai-compatible" and not written and not aimed:
        shown = called.models[0]
        said = f"makes it another server, to which no name such as {shown} leads, only {name}/MODEL: write models = "
        reader.doubt((*path, "base_url"), f'{said}["{shown}"], or vendor = "{name}" if it is that')


def _keys(reader: Reader, settings: Settings) -> None:
    environment = ("auth", "keys") in reader.variables
    available = [
        *settings.models,
        *(pattern for each in settings.providers.values() for pattern in each.models),
        *(f"{name}/*" for name in settings.providers),
    ]
    for index, key in enumerate(settings.auth.keys):
        path: KeyPath = ("auth", "keys") if environment else ("auth", "keys", index)
        for value in (each.reveal() for each in key.key):
            if len(value) < SHORTEST_KEY and not value.startswith("sha256:"):
                count = "1 character" if len(value) == 1 else f"{len(value)} characters"
                said = f"holds a key of {count}" if environment else f"is {count} long"
                where = path if environment else (*path, "key")
                reader.doubt(where, f"{said}, which can be found by trying: secrets.token_urlsafe(32) makes a good one")
        for pattern in key.models:
            if not any(meet(pattern, each) for each in available):
                reader.doubt((*path, "models"), f"has {pattern!r}, which no model here is called")


def _model(reader: Reader, name: str, model: Model, settings: Settings) -> None:
    path: KeyPath = ("models", name)
    if model.strategy == "cost":
        for entry in model.targets:
            provider = entry.target.partition("/")[0]
            vendor = reader.vendors.get(settings.providers[provider].vendor)
            listed = vendor is not None and bool(vendor.price_name)
            if not listed and not any(fnmatchcase(entry.target, pattern) for pattern in settings.prices):
                said = f'is "cost", and nobody knows what {entry.target} costs: write [prices."{entry.target}"]'
                reader.doubt((*path, "strategy"), said)
    if (*path, "prompt_cache_ttl") in reader.lines and model.prompt_cache == "off":
        reader.doubt((*path, "prompt_cache_ttl"), 'does nothing without prompt_cache = "auto"')
    circle = _circle(name, settings.models)
    if circle and min(circle, key=list(settings.models).index) == name:
        shown = " → ".join([*circle, name])
        reader.doubt((*path, "fallbacks"), f"go in a circle, and each is asked once: {shown}")


def _circle(start: str, models: Any) -> list[str]:
    """The names from ``start`` on, by fallbacks, that lead back to it; empty if none do."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop(0)
        for other in models[way[-1]].fallbacks:
            if other == start:
                return way
            if other in models and other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def meet(one: str, other: str) -> bool:
    """Whether some name matches both patterns. ``[ab]`` counts as any character."""
    a, b = list(_parts(one)), list(_parts(other))

    @cache
    def from_(i: int, j: int) -> bool:
        if i < len(a) and a[i] == "*":
            return from_(i + 1, j) or (j < len(b) and from_(i, j + 1))
        if j < len(b) and b[j] == "*":
            return from_(i, j + 1) or (i < len(a) and from_(i + 1, j))
        if i == len(a) or j == len(b):
            return i == len(a) and j == len(b)
        return (a[i] == b[j] or "?" in (a[i], b[j])) and from_(i + 1, j + 1)

    return from_(0, 0)


def _parts(pattern: str) -> Iterator[str]:
    """``*``, ``?`` (which any ``[…]`` becomes), and characters by themselves."""
    for found in re.finditer(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        yield "?" if len(found[0]) > 1 else found[0]
