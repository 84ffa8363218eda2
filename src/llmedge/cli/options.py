"""What the subcommands have in common."""

from __future__ import annotations

import getopt
import json
import os
from collections.abc import Sequence
from typing import Any, TextIO

from twisted.python.usage import Options, UsageError

from llmedge.cli.client import DEFAULT_URL, Client, Problem
from llmedge.cli.tables import plain


def _arguments(options: Options, names: Sequence[str], given: Sequence[str]) -> None:
    """What stands behind the options, by name; a name in brackets may be missing.

    :raises UsageError: too many, or too few.
    """
    needed = [name for name in names if not name.startswith("[")]
    if not len(needed) <= len(given) <= len(names):
        raise UsageError(f"give {' '.join(names)}" if names else f"there is no argument {given[0]!r}")
    for name, value in zip(names, given, strict=False):
        options[name.strip("[]")] = value


class Answering(Options):
    """What all subcommands have that say something themselves."""

    optFlags = [["json", None, "Print the answer as JSON."]]
    arguments: tuple[str, ...] = ()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Options may stand behind arguments, too."""
        try:
            found, rest = getopt.gnu_getopt(list(options or ()), self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise UsageError(str(error)) from None
        in_front = [f"{name}={value}" if name.startswith("--") and value else name + value for name, value in found]
        super().parseOptions([*in_front, "--", *rest])  # type: ignore[no-untyped-call]

    def parseArgs(self, *given: str) -> None:
        _arguments(self, self.arguments, given)


class Asking(Answering):
    """What all subcommands have that ask a gateway."""

    optParameters: list[list[Any]] = [
        ["url", "u", None, f"Where the admin API is (default: the variable LLMEDGE_URL, else {DEFAULT_URL})."],
    ]

    def client(self, variable: str = "LLMEDGE_ADMIN_KEY") -> Client:
        """:param variable: of the environment, that has the key.

        :raises Problem: there is no key.
        """
        if not (key := os.environ.get(variable, "").strip()):
            raise Problem(f"set {variable} to a key that may do this (no option: lists of processes show those)")
        return Client(self["url"] or os.environ.get("LLMEDGE_URL", "").strip() or DEFAULT_URL, key, variable)


class Printer:
    """Says what was found: as a table, or as JSON where that was asked for."""

    def __init__(self, out: TextIO, as_json: bool) -> None:
        self._out, self.as_json = out, as_json

    def document(self, document: Any, text: str) -> None:
        self._out.write(json.dumps(document, indent=2) + "\n" if self.as_json else plain(text))
