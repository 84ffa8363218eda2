"""Values that must not be seen, and how to refer to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


class Secret:
    """A credential. Shows nothing in ``repr``, ``str`` or a format; :meth:`reveal` is easy to grep for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def read(reference: str, environ: Mapping[str, str]) -> str:
    """The text of a secret document: behind ``env:NAME``, else in the file ``file:/path`` or ``/path``.

    :raises ValueError: nothing there, or it is empty; the message never shows what it holds.
    """
    scheme, _, rest = reference.strip().partition(":")
    if scheme == "env":
        return _variable(rest, environ)
    return _file(rest if scheme == "file" else reference.strip())


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not (text := environ.get(name, "").strip()):
        raise ValueError(f"refers to the environment variable {name}, which is not set")
    return text


def _file(path: str) -> str:
    try:
        text = Path(os.path.expanduser(path)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"refers to the file {path}, which cannot be read: {reason}") from None
    if not text:
        raise ValueError(f"refers to the file {path}, which is empty")
    return text


def resolve(reference: str, environ: Mapping[str, str]) -> str:
    """The value behind ``env:NAME`` or ``file:/path``; anything else is the value itself.

    :raises ValueError: nothing there, or it is empty; the message never shows a value.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = _variable(rest, environ)
    elif scheme == "file":
        value = _file(rest)
    elif not (value := reference.strip()):
        raise ValueError("must not be empty")
    if any(ord(char) < 0x21 or ord(char) > 0x7E for char in value):
        where = f"refers to {reference}, which " if scheme in ("env", "file") else ""
        raise ValueError(f"{where}holds a space or another character that no key has (only visible ASCII)")
    return value
