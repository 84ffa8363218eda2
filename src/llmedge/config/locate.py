"""Line numbers for the keys of a TOML text; ``tomllib`` gives none."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_TABLE = re.compile(r"^\s*(?P<open>\[\[?)(?P<names>.+?)\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*(?P<names>(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_\-]+|\s*\.\s*)+?)\s*=""")


def locate(text: str) -> dict[Path, int]:
    """Map each table and key of a valid TOML ``text`` to its line, counted from 1.

    Array-of-tables elements carry their index: ``("auth", "keys", 0, "name")``. Keys inside a multi-line
    value are not found; whoever asks falls back to the nearest parent that was.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    arrays: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = _TABLE.match(line)
        match = header or _KEY.match(line)
        if match is None or (names := _names(match["names"])) is None:
            continue
        if header is None:
            path = table + names
        elif header["open"] == "[[":
            base = _indexed(names[:-1], arrays) + names[-1:]
            arrays[base] = arrays.get(base, -1) + 1
            path = table = (*base, arrays[base])
        else:
            path = table = _indexed(names, arrays)
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], number)
        if header is not None:
            lines[table] = number
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of ``path`` or of its nearest located parent."""
    for depth in range(len(path), 0, -1):
        if (line := lines.get(path[:depth])) is not None:
            return line
    return None


def _names(dotted: str) -> tuple[str, ...] | None:
    try:
        node: object = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return None
    names: list[str] = []
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        names.append(name)
    return tuple(names)


def _indexed(names: Path, arrays: dict[Path, int]) -> Path:
    path: Path = ()
    for name in names:
        path = (*path, name)
        if path in arrays:
            path = (*path, arrays[path])
    return path
