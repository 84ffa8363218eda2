"""The configuration reference, made from the settings' own definitions each time the docs are built.

``.. settings-reference::`` puts it into a page. :func:`reference` and :func:`variables` need no Sphinx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

import llmedge
from llmedge.config.option import Option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.sections.providers import Provider
from llmedge.config.settings import Settings
from llmedge.guards.registry import OURS as GUARDS
from llmedge.guards.registry import GuardTypes
from llmedge.providers.registry import OURS

UNDERLINES = "-~^"
_BASES = (Provider, Guardrail)
"""What is said of these is not said again of each kind of them."""


def reference(root: type = Settings) -> str:
    """Every section of ``root`` and every setting in it, as reST."""
    return "\n".join(line for header, cls, env in sections(root) for line in _section(header, cls, env))


def variables(root: type = Settings) -> dict[str, str]:
    """Environment variable → the setting it sets."""
    found: dict[str, str] = {}
    for header, cls, env in sections(root):
        found |= dict.fromkeys(env, header)
        for field in attrs.fields(cls):
            if (option := field.metadata.get("option")) is not None:
                found |= dict.fromkeys(option.env, f"{header.strip('[]')}.{field.name}")
    return found


def sections(cls: type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, type, tuple[str, ...]]]:
    """``(TOML header, class, variables that replace the whole of it)`` of the sections in ``cls``, nested ones too."""
    for field in attrs.fields(cls):
        meta, here = field.metadata, (*path, field.name)
        if "option" in meta:
            kind = meta["option"].kind
            if kind.table is not None:
                name = ".".join(here)
                yield f"[[{name}]]" if kind.schema.get("type") == "array" else f"[{name}]", kind.table, ()
            continue
        if "items" in meta:
            header, inner = f"[[{'.'.join(here)}]]", meta["items"]
        elif "table_of" in meta:
            here = (*here, "NAME")
            header, inner = f"[{'.'.join(here)}]", meta["table_of"]
        else:
            header, inner = f"[{'.'.join(here)}]", field.default.factory
        env = meta.get("env", ())
        yield header, inner, (env,) if isinstance(env, str) else tuple(env)
        yield from sections(inner, here)
        if inner is Provider:
            special = {name: vendor.settings for name, vendor in OURS.items() if vendor.settings is not Provider}
            yield from ((f"[{field.name}.{name}]", settings, ()) for name, settings in special.items())
        if inner is Guardrail:
            types = {name: GuardTypes()[name].settings for name in GUARDS}
            special = {name: settings for name, settings in types.items() if settings is not Guardrail}
            yield from ((f'[[guardrails]] type = "{name}"', settings, ()) for name, settings in special.items())


def toml(value: Any) -> str:
    """``value`` as TOML; ``""`` for what is not set."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())}}}"
    raise TypeError(f"no TOML for a default of the type {type(value).__name__}")


def _section(header: str, cls: type, env: tuple[str, ...]) -> Iterator[str]:
    title = f"``{header}``"
    depth = 1 if "." in header or " " in header else 0
    yield from ("", f".. _settings-{_anchor(header)}:", "", title, UNDERLINES[depth] * len(title), "")
    yield from (_plain((cls.__doc__ or "").strip()), "")
    if env:
        yield from (f"The variable {_literals(env)}, a comma-separated list, stands in for all of them.", "")
    for field in attrs.fields(cls):
        if (option := field.metadata.get("option")) is not None and not (field.inherited and issubclass(cls, _BASES)):
            yield from _option(header, field, option)


def _option(header: str, field: Any, option: Option) -> Iterator[str]:
    default = field.default.factory() if isinstance(field.default, type(attrs.Factory(dict))) else field.default
    written = toml(default)
    facts = [_plain(option.kind.name), f"default ``{written}``" if written else "not set by default"]
    if option.fallback:
        facts.append(f"where the file is silent: {_literals(option.fallback)}")
    if option.env:
        facts.append(("variable " if len(option.env) == 1 else "variables ") + _literals(option.env))
    yield from ("", f".. _setting-{_anchor(header)}-{_anchor(field.name)}:", "")
    yield from (f"``{field.name}``", f"    {_plain(option.doc)}", "", f"    *ValueType:* {'; '.join(facts)}.", "")


def _literals(names: tuple[str, ...]) -> str:
    return ", else ".join(f"``{name}``" for name in names)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _plain(text: str) -> str:
    """Text for reST: nothing in it is markup, but for the ``literals`` our docstrings have."""
    parts = re.split(r"(``[^`]+``)", " ".join(text.split()))
    return "".join(
        part if part.startswith("``") else re.sub(r"([\\*`|_])", r"\\\1", part).replace("://", "\\://")
        for part in parts
    )


def setup(app: Any) -> dict[str, Any]:
    from sphinx.util.docutils import SphinxDirective

    class SettingsReference(SphinxDirective):
        def run(self) -> list[Any]:
            for module in (*Path(llmedge.__file__).parent.rglob("*.py"), __file__):
                self.env.note_dependency(str(module))
            return self.parse_text_to_nodes(reference(), allow_section_headings=True)

    app.add_directive("settings-reference", SettingsReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
