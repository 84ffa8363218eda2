"""Secrets from files that have changed: the same settings, with what the files hold now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import attrs

from llmedge.config.secret import Secret

T = TypeVar("T")


def secret_files(settings: Any) -> list[str]:
    """The files that secrets in ``settings`` are from, each once."""
    return sorted({secret.file for secret in _secrets(settings) if secret.file})


def renewed(settings: T) -> T:
    """``settings`` with every secret read again that is from a file; the same object if none has changed. What was
    worked out from a secret stays.

    :raises ValueError: a file cannot be read or used; the message names it, not what it holds.
    """
    found: T = _renewed(settings)
    return found


def _renewed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.renewed()
    parts = _parts(value)
    new = {name: _renewed(part) for name, part in parts.items()}
    changed = {name: part for name, part in new.items() if part is not parts[name]}
    if not changed:
        return value
    if attrs.has(type(value)):
        return attrs.evolve(value, **changed)
    return tuple(new.values()) if isinstance(value, tuple) else {**value, **changed}


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    for part in _parts(value).values():
        yield from _secrets(part)


def _parts(value: Any) -> Mapping[Any, Any]:
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return value
    return dict(enumerate(value)) if isinstance(value, tuple) else {}
