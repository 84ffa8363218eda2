"""Values that must not be seen, and how to refer to them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path


class Secret:
    """A credential. Shows nothing in ``repr``, ``str`` or a format; :meth:`reveal` is easy to grep for.

    :ivar file: the file it is from, ``""`` if it is from none.
    """

    __slots__ = ("_read", "_value", "file")

    def __init__(self, value: str, file: str = "", read: Callable[[], str] | None = None) -> None:
        self._value = value
        self._read = read
        self.file = file

    def reveal(self) -> str:
        return self._value

    def renewed(self) -> Secret:
        """What its file holds now; the same object if that has not changed.

        :raises ValueError: it cannot be read or used; the message shows nothing of it.
        """
        if self._read is None or (value := self._read()) == self._value:
            return self
        return Secret(value, self.file, self._read)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def secret_of(reference: str, read: Callable[[], str], document: bool = False) -> Secret:
    """The secret behind ``reference``, which ``read`` reads: again, where that is a file.

    :param document: a path by itself is a file.
    :raises ValueError: as ``read`` does.
    """
    scheme, _, rest = reference.strip().partition(":")
    value = read()
    if scheme == "file" or (document and scheme != "env"):
        return Secret(value, os.path.expanduser(rest if scheme == "file" else reference.strip()), read)
    return Secret(value)


def read(reference: str, environ: Mapping[str, str]) -> str:
    """The text of a secret document: behind ``env:NAME``, else in the file ``file:/path`` or ``/path``.

    :raises ValueError: nothing there, or it is empty; the message never shows what it holds.
    """
    scheme, _, rest = reference.strip().partition(":")
    if scheme == "env":
        return variable(rest, environ)
    return _file(rest if scheme == "file" else reference.strip())


def variable(name: str, environ: Mapping[str, str]) -> str:
    """:raises ValueError: it is not set, or empty."""
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


def resolve(reference: str, environ: Mapping[str, str], inside: str = "") -> str:
    """The value behind ``env:NAME`` or ``file:/path``; anything else is the value itself.

    :param inside: characters it may hold beside visible ASCII.
    :raises ValueError: nothing there, it is empty, or what is there is no value but another way to refer to one; the
        message never shows a value.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = variable(rest, environ)
    elif scheme == "file":
        value = _file(rest)
    elif not (value := reference.strip()):
        raise ValueError("must not be empty")
    where = f"refers to {reference}, which " if scheme in ("env", "file") else ""
    if hint := reference_hint(value):
        raise ValueError(where + hint)
    if any((ord(char) < 0x21 or ord(char) > 0x7E) and char not in inside for char in value):
        what = "a character that no header may hold" if inside else "a space or another character that no key has"
        raise ValueError(f"{where}holds {what} (only visible ASCII{', spaces and tabs inside' if inside else ''})")
    if value[0] in _QUOTES or value[-1] in _QUOTES:
        raise ValueError(f"{where}still has its quotes: leave them out")
    return value


_QUOTES = "'\"`"
_REFERENCES = re.compile(
    r"""(?x)
    (?: [\w-]+ \s )? \$\{ (?P<shell>\w+) [^}]* \}                # ${NAME}, ${NAME:-default}, Bearer ${NAME}
    | \$ (?P<variable>[A-Z_][A-Z0-9_]*)                           # $NAME
    | %(?P<windows>[A-Z_][A-Z0-9_]*)%
    | (?:os\.environ|process\.env|ENV|Env|env)[/.](?P<slash>\w+)  # LiteLLM's, Node's
    | os\.(?:environ\[|environ\.get\(|getenv\()["'](?P<python>\w+)["'].*
    | \{+ \s* \.? env [:. ] \s* ["']? (?P<braces>\w+) ["']? \s* \}+      # {env:NAME}, {{ env "NAME" }}
    | (?:ENV|Env|environ?ment|\$env) : (?P<scheme>\w+)
    """
)


def reference_hint(text: str) -> str:
    """What is wrong with a ``text`` that means a variable and is none of our ways to say so, ``""`` if it is not that.

    Shows the name it has, which is no secret.
    """
    found = _REFERENCES.fullmatch(text)
    if found is None:
        return ""
    name = next(group for group in found.groups() if group)
    whole = "" if found["shell"] is None or text == f"${{{name}}}" else ", and the whole value in the variable"
    return f'looks like a reference to the variable {name}, and nothing replaces it: write "env:{name}"{whole}'
