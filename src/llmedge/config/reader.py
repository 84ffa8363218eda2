"""Reads tables against the definitions of :mod:`llmedge.config.sections`, and knows where each value came from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from llmedge.config.base_urls import of_catalogue
from llmedge.config.catalogue import VENDORS
from llmedge.config.locate import Path as KeyPath
from llmedge.config.locate import line_of
from llmedge.config.nearest import nearest
from llmedge.config.option import Option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.sections.providers import Provider
from llmedge.config.settings import NAME
from llmedge.config.vendors import Vendors, choose, known_patterns, meant

Said = tuple[float, str]
"""A line of the file, infinite where there is none, and words about it."""
S = TypeVar("S")


def dotted(path: KeyPath) -> str:
    """``("auth", "keys", 0, "name")`` → ``auth.keys[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_\-]+", part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


class Reader:
    """Walks the definitions, collecting problems instead of raising.

    :ivar lines: of what the file has. ``variables``: of what is in the environment, the variable's name.
    :ivar problems: what cannot be used. ``doubts``: what can be, and is hardly meant.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        file: str,
        lines: dict[KeyPath, int],
        vendors: Vendors,
        guards: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.environ = environ
        self.vendors = vendors
        self.guards = guards
        self.file = file
        self.lines = lines
        self.variables: dict[KeyPath, str] = {}
        self.problems: list[Said] = []
        self.doubts: list[Said] = []

    def told(self, said: Iterable[Said]) -> list[str]:
        """The words in the order of the file's lines, then those about what is not in it."""
        return [words for _, words in sorted(said, key=lambda each: each[0])]

    def about(self, path: KeyPath, what: str) -> Said:
        """``what``, a predicate, of the setting at ``path``, with its place."""
        if (variable := self.variables.get(path)) is not None:
            return math.inf, f"environment variable {variable} {what}"
        if (line := line_of(self.lines, path)) is not None:
            return line, f"{self.file}:{line}: {dotted(path)} {what}"
        return math.inf, f"{dotted(path)} {what}"

    def problem(self, path: KeyPath, what: str) -> None:
        self.problems.append(self.about(path, what))

    def problem_elsewhere(self, words: str) -> None:
        """Of what has no place in the file."""
        self.problems.append((math.inf, words))

    def doubt(self, path: KeyPath, what: str) -> None:
        self.doubts.append(self.about(path, what))

    def stood_over(self, path: KeyPath, variable: str) -> None:
        """``variable`` has the setting at ``path`` be something else than the file says."""
        line = line_of(self.lines, path)
        said = f"{self.file}:{line}: {dotted(path)} does not count: the variable {variable} stands over it"
        self.doubts.append((math.inf if line is None else line, said))

    def unknown(self, path: KeyPath, what: str, name: str, names: Iterable[str]) -> None:
        """The setting at ``path`` names a ``what`` that there is not."""
        self.problem(path, f"names the {what} {name!r}, which is not configured{nearest(name, names)}")

    def is_there(self, path: KeyPath) -> bool:
        """Whether file or environment says something at ``path``."""
        return path in self.lines or path in self.variables

    def section(self, cls: type[S], data: Any, path: KeyPath) -> S:
        if not isinstance(data, dict):
            self.problem(path, "must be a table")
            data = {}
        fields = attrs.fields_dict(cls)  # type: ignore[arg-type]
        for name in data:
            if name not in fields:
                self.problem((*path, name), "is not a setting" + nearest(name, fields))
        return cls(**self._values(fields, data, path))

    def _values(self, fields: Mapping[str, Any], data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in fields.items():
            here = (*path, name)
            meta = field.metadata
            if "option" in meta:
                self._option(meta["option"], name, data, here, values)
            elif "items" in meta:
                values[name] = self._items(meta["items"], data.get(name, []), here)
            elif "table_of" in meta:
                values[name] = self.tables(meta["table_of"], data.get(name, {}), here)
            else:
                values[name] = self.section(field.default.factory, data.get(name, {}), here)
        return values

    def _option(self, option: Option, name: str, data: dict[str, Any], path: KeyPath, values: dict[str, Any]) -> None:
        for variable in option.env if name in data else option.env + option.fallback:
            text = self.environ.get(variable, "").strip()
            if text:
                self.variables[path] = variable
                try:
                    values[name] = option.kind.from_text(text, self.environ)
                except ValueError as error:
                    self.problem(path, str(error))
                else:
                    if name in data and not _is(values[name], data[name], option, self.environ):
                        self.stood_over(path, variable)
                return
        if name in data:
            try:
                values[name] = option.kind.from_toml(data[name], self.environ)
            except ValueError as error:
                self.problem(path, str(error))

    def _items(self, cls: type[S], data: Any, path: KeyPath) -> tuple[S, ...]:
        if not isinstance(data, list):
            self.problem(path, f"must be written [[{dotted(path)}]]")
            return ()
        if cls is Guardrail:
            return tuple(self._guardrail(item, (*path, index)) for index, item in enumerate(data))  # type: ignore[misc]
        return tuple(self.section(cls, item, (*path, index)) for index, item in enumerate(data))

    def tables(self, cls: type[S], data: Any, path: KeyPath) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.problem(path, "must be a table")
            return {}
        if cls is Provider:
            return {name: self._provider(name, item, (*path, name)) for name, item in data.items()}
        return {name: self.section(cls, item, (*path, name)) for name, item in data.items()}

    def _guardrail(self, data: Any, path: KeyPath) -> Guardrail:
        """Its type tells what else the table may hold."""
        if not isinstance(data, dict):
            return self.section(Guardrail, data, path)
        common = attrs.fields_dict(Guardrail)
        word = data.get("type")
        type = self.guards.get(word) if isinstance(word, str) else None
        if type is None:
            if word is None:
                self.problem(path, 'needs type, such as type = "secrets"')
            elif isinstance(word, str):
                missing = getattr(self.guards, "missing", str)()
                near = nearest(word, self.guards)
                self.problem((*path, "type"), f"is no type of guardrail, and no plugin: {word!r}{near}{missing}")
            return Guardrail(**self._values(common, data, path))
        found: Guardrail = self.section(type.settings, data, path)
        if not found.stream:
            found = attrs.evolve(found, stream="live" if type.detects else "hold")
        elif found.stream == "live" and not type.detects:
            words = "must be sentence, hold or after: this type judges what is whole"
            self.problem((*path, "stream"), words)
        for option, words in type.problems(found):
            self.problem((*path, option) if option else path, words)
        return found

    def _provider(self, name: str, data: Any, path: KeyPath) -> Provider:
        """What all providers have tells which vendor it is, and that what else its table may hold."""
        if not re.match(NAME, name):
            self.problem(path, "must have a short name: letters, digits, '-', '_' and '.'")
        if not isinstance(data, dict):
            return self.section(Provider, data, path)
        common = attrs.fields_dict(Provider)
        values = self._values(common, data, path)
        if base_url := values.get("base_url"):
            values["base_url"] = of_catalogue(base_url, VENDORS.get(values.get("vendor") or name))
        unclear = any(option in data and option not in values for option in ("vendor", "dialect"))
        vendor, what = (None, "") if unclear else choose(name, Provider(**values), self.vendors)
        self._strangers(data, common, vendor, path)
        if not vendor:
            if what:
                self.problem((*path, "vendor"), what)
            return Provider(**values)
        fields = attrs.fields_dict(vendor.settings)
        own = {key: field for key, field in fields.items() if key not in common}
        values |= self._values(own, data, path)
        if "models" not in data:
            values["models"] = known_patterns(name, vendor.name, _is_rehearsed(data, vendor))
        settings: Provider = vendor.settings(**values)
        settings = vendor.resolve(attrs.evolve(settings, vendor=vendor.name), self.environ)
        wrong = [option for option in fields if option in data and option not in values]
        for option, words in vendor.problems(settings):
            needed = re.match(r"needs (\w+)", words)
            if needed and any(re.search(rf"\b{each}\b", words) for each in wrong):
                continue  # it is there, and what is wrong with it has been said
            hint = meant(name) if needed and needed[1] == "base_url" and "vendor" not in values else ""
            self.problem((*path, option) if option else path, words + hint)
        return settings

    def _strangers(self, data: dict[str, Any], common: Mapping[str, Any], vendor: Any, path: KeyPath) -> None:
        """Keys of a provider's table that are none, or another vendor's."""
        fields = attrs.fields_dict(vendor.settings) if vendor else common
        for key in data:
            if key not in fields:
                owners = [each.name for each in self.vendors.values() if key in attrs.fields_dict(each.settings)]
                if not owners:
                    self.problem((*path, key), "is not a setting" + nearest(key, fields))
                elif vendor and not _is_rehearsed(data, vendor):
                    self.problem((*path, key), f'is for the vendor "{owners[0]}" only')


def _is(value: Any, written: Any, option: Option, environ: Mapping[str, str]) -> bool:
    """Whether ``written`` in the file means ``value``."""
    try:
        return bool(option.kind.from_toml(written, environ) == value)
    except ValueError:
        return False


def _is_rehearsed(data: dict[str, Any], vendor: Any) -> bool:
    """With dialect = "mock" another vendor's table is a rehearsal of itself."""
    return bool(data.get("dialect") == vendor.name and "vendor" not in data)
