"""What makes a field of a section a setting: its kind, its meaning, its variables."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config.kinds import ValueType


@attrs.frozen
class Option:
    """How one field of a section is set.

    :ivar env: the variables that hold it, and go before the file; ``fallback``: those that are asked where the file is
        silent.
    :ivar heeded: ``False``: it is read and checked, and nothing acts on it yet.
    """

    kind: ValueType
    doc: str
    env: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    heeded: bool = True


def option(
    kind: ValueType,
    default: Any,
    doc: str,
    *,
    env: str | tuple[str, ...] = (),
    fallback: str | tuple[str, ...] = (),
    heeded: bool = True,
) -> Any:
    """A field of a section. See :class:`Option`."""
    names = (env,) if isinstance(env, str) else env
    fallback = (fallback,) if isinstance(fallback, str) else fallback
    doc = doc if heeded else f"{doc} Not heeded yet."
    return attrs.field(default=default, metadata={"option": Option(kind, doc, names, fallback, heeded)})


def table_schema(cls: type) -> dict[str, Any]:
    """JSON Schema of a table that holds the options of ``cls``, and its sections."""
    properties: dict[str, Any] = {}
    for field in attrs.fields(cls):
        meta = field.metadata
        if (option := meta.get("option")) is not None:
            default = field.default if isinstance(field.default, bool | int | float | str | tuple) else None
            shown = {} if default is None or default == "" else {"default": default}
            properties[field.name] = {"description": option.doc, **option.kind.schema, **shown}
        elif "items" in meta:
            properties[field.name] = {"type": "array", "items": table_schema(meta["items"])}
        elif "table_of" in meta:
            named = {meta["named"]: table_schema(meta["table_of"])}
            properties[field.name] = {"type": "object", "patternProperties": named, "additionalProperties": False}
        else:
            properties[field.name] = table_schema(field.default.factory)
    doc = " ".join((cls.__doc__ or "").split())
    return {"description": doc, "type": "object", "properties": properties, "additionalProperties": False}
