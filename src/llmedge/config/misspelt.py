"""Variables that nothing reads, and that were probably meant to be one that is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from llmedge.config.catalogue import VENDORS
from llmedge.config.locate import Path as KeyPath
from llmedge.config.settings import Settings
from llmedge.config.vendors import base_variables, variables

_OTHERS = {"GOOGLE_API_KEY": "GEMINI_API_KEY"}
"""What vendors' own SDKs read as well, under another name."""


def of_vendors(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """``(name, what was meant)`` of set variables that look like those by which a vendor is on."""
    keyed = {*variables(), *(name for vendor in VENDORS.values() for name in vendor.env)}
    bases = {name for vendor in VENDORS.values() if vendor.base_url for name in base_variables(vendor)}
    for name in _unread(environ, keyed | bases):
        other = _OTHERS.get(name) or _near(name, keyed, r"(KEY|KYE|TOKEN|HOST)S?$") or _near(name, bases, "URLS?$")
        if other and not _set(environ, other):
            yield name, other


def of_settings(environ: Mapping[str, str], is_there: Mapping[KeyPath, object]) -> Iterator[tuple[str, str]]:
    """The same for the variables of settings; nothing of those of which ``is_there`` has something."""
    known = {"LLMEDGE_CONFIG": (), **dict(_variables(Settings))}
    for name in _unread(environ, known):
        other = _near(name, known, "")
        if other and not _set(environ, other) and known[other] not in is_there:
            yield name, other


def _unread(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    return [name for name in sorted(environ) if _set(environ, name) and name not in known]


def _set(environ: Mapping[str, str], name: str) -> bool:
    return bool(environ.get(name, "").strip())


def _variables(cls: type, path: KeyPath = ()) -> Iterator[tuple[str, KeyPath]]:
    """Variable → where the setting is, below ``cls``; those that other programs read too are left out."""
    for field in attrs.fields(cls):
        meta, here = field.metadata, (*path, field.name)
        env = meta["option"].env if "option" in meta else meta.get("env", ())
        for name in (env,) if isinstance(env, str) else env:
            if not name.startswith(("OTEL_", "RUST_")):
                yield name, here
        if not meta:
            yield from _variables(field.default.factory, here)


def _near(name: str, known: Iterable[str], ending: str) -> str:
    """The one of ``known`` that ``name`` is but for ``_``, an ``API`` or ``S`` or a slip; ``""`` for none.

    Variables of other programs are many: what is alike at a distance is not meant.
    """
    if not re.fullmatch(r"[A-Z0-9_]+", name) or not re.search(ending, name):
        return ""
    for other in sorted(known):
        if _core(name, bool(ending)) == _core(other, bool(ending)):
            return other
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, 0.9)), "")


def _core(name: str, of_vendor: bool) -> str:
    return re.sub(r"_|API|S$" if of_vendor else r"^LLMEDGE_|_|S$", "", name)
