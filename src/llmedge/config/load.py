"""Read flags, environment and file into one :class:`Settings`, or say everything that is wrong with them at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from llmedge.config.doubts import look
from llmedge.config.locate import Path as KeyPath
from llmedge.config.locate import locate
from llmedge.config.reader import Reader
from llmedge.config.settings import Settings
from llmedge.config.vendors import Vendors
from llmedge.config.whole import EndpointCheck, finish

S = TypeVar("S")


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds one line for each thing wrong, never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        head = [] if len(problems) == 1 else [f"{len(problems)} problems in the configuration:"]
        super().__init__("\n  ".join([*head, *problems]))


def load(
    environ: Mapping[str, str],
    path: str | None = None,
    listen: Sequence[str] = (),
    admin_listen: Sequence[str] = (),
    *,
    vendors: Vendors,
    guards: Mapping[str, Any] | None = None,
    endpoint_check: EndpointCheck | None = None,
    doubt: Callable[[str], None] | None = None,
    text: str | None = None,
) -> Settings:
    """The settings in force.

    :param environ: the process environment.
    :param path: a TOML file, or ``None``.
    :param listen: endpoint strings from ``--port``; they replace those of file and environment.
    :param admin_listen: the same from ``--admin-port``.
    :param vendors: those there are, whose options the tables of ``[providers]`` may hold.
    :param guards: types of guardrails, whose options the tables of ``[[guardrails]]`` may hold.
    :param endpoint_check: says what is wrong with an endpoint string.
    :param doubt: is told, a line each, what can be used and is hardly meant.
    :param text: what stands in the file, which is not read then.
    :raises ConfigError: with every problem found, in the order of the file's lines.
    """
    data: dict[str, Any] = {}
    lines: dict[KeyPath, int] = {}
    if path is not None:
        data, lines = _parsed(path, _read_file(path) if text is None else text)
    reader = Reader(environ, path or "", lines, vendors, guards or {})
    server = data.get("server")
    if environ.get("SERVER_ADDRESS", "").strip() and isinstance(server, dict) and server.pop("listen", None):
        reader.stood_over(("server", "listen"), "SERVER_ADDRESS")
    settings = reader.section(Settings, data, ())
    if admin_listen:
        settings = attrs.evolve(settings, admin=attrs.evolve(settings.admin, listen=tuple(admin_listen)))
    settings = finish(reader, settings, listen, bool(admin_listen), endpoint_check)
    if reader.problems:
        raise ConfigError(reader.told(reader.problems))
    if doubt is not None:
        look(reader, settings)
        for line in reader.told(reader.doubts):
            doubt(line)
    return settings


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # some editors begin it with a byte order mark
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None


def _parsed(path: str, text: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply"]) from None


def read_table(cls: type[S], data: Mapping[str, Any]) -> S:
    """The options of ``cls`` out of ``data``, which stands in no file: no variable and no file is read for it.

    :raises ConfigError: with every problem found.
    """
    reader = Reader({}, "", {}, {})
    value = reader.section(cls, dict(data), ())
    if reader.problems:
        raise ConfigError(reader.told(reader.problems))
    return value
