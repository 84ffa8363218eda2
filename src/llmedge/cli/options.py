"""What the command's subcommands have in common: options behind arguments, ``--json``, where the gateway is."""

from __future__ import annotations

import getopt
import os
from collections.abc import Sequence
from typing import Any

from twisted.python.usage import Options, UsageError

from llmedge.cli.client import DEFAULT_URL, Client, Problem


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

    def client(self) -> Client:
        """:raises Problem: there is no key."""
        if not (key := os.environ.get("LLMEDGE_ADMIN_KEY", "").strip()):
            raise Problem("set LLMEDGE_ADMIN_KEY to a key that may do this (no option: lists of processes show those)")
        return Client(self["url"] or os.environ.get("LLMEDGE_URL", "").strip() or DEFAULT_URL, key)
