"""What makes a field of a section a setting: its kind, its meaning, its variables."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config.kinds import Kind


@attrs.frozen
class Option:
    """How one field of a section is set."""

    kind: Kind
    doc: str
    env: tuple[str, ...] = ()


def option(kind: Kind, default: Any, doc: str, *, env: str | tuple[str, ...] = ()) -> Any:
    """A field of a section."""
    names = (env,) if isinstance(env, str) else env
    return attrs.field(default=default, metadata={"option": Option(kind, doc, names)})
