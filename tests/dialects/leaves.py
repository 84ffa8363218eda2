"""The leaves a request can set, found in the form's own structs: a new one is tried from the day it is there."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.rendering import settable

_MODES = get_type_hints(ir.ToolChoice)["mode"]
SAMPLES: dict[str, tuple[Any, ...]] = {
    "id": ("c",),
    "arguments": ("{}",),
    "schema": (b'{"type":"object","required":["a"]}',),
    "cache": ("5m", "1h"),
    "effort": ("low", "none", "max"),
    "service_tier": ("priority", "default"),
    "signature": ("Uw==",),
    "logit_bias": (b'{"1":2}',),
    "metadata": ((("a", "b"),),),
    "tool_choice": tuple(ir.ToolChoice(mode, ("f",) * (mode == "named")) for mode in get_args(_MODES)),
}
"""Values that somebody understands, of fields that not any value will do for."""

SOURCES = [
    ir.Source(kind, data, media_type)  # type: ignore[arg-type]
    for kind in get_args(get_type_hints(ir.Source)["kind"])
    for data in ("eHh4", "https://example.com/x", "s3://x/y")
    for media_type in ("image/png", "audio/wav", "application/pdf", "text/plain")
]
ROLES: tuple[ir.Role, ...] = get_args(ir.Role)


def kinds_of(hint: Any) -> list[Any]:
    """The types a field may have, without ``None``."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for each in get_args(hint) for kind in kinds_of(each)]
    return [] if hint is type(None) else [hint]


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, ir.Struct)


class Leaves:
    """:ivar random: chooses what has no samples."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def values(self, name: str, hint: Any) -> Iterator[Any]:
        """Some values of a field; a struct within says no more than it must."""
        for kind in kinds_of(hint):
            if name in SAMPLES:
                yield from SAMPLES[name]
            elif kind is ir.Source:
                yield self.random.choice(SOURCES)
            elif is_struct(kind):
                yield from self.least(kind)
            elif get_origin(kind) is tuple:
                yield from ((each,) for each in self.values("", get_args(kind)[0]))
            elif get_origin(kind) is Literal:
                yield from get_args(kind)
            elif kind is bool:
                yield from (True, False)
            else:
                yield (
                    kind(self.random.randint(2, 9)) if kind is int else self.random.random() if kind is float else "abc"
                )

    def least(self, kind: type[ir.Struct]) -> Iterator[Any]:
        """Structs that say no more than they must."""
        hints = get_type_hints(kind)
        needed = [each.name for each in msgspec.structs.fields(kind) if each.required]
        for chosen in itertools.product(*(list(self.values(name, hints[name])) for name in needed)):
            yield kind(**dict(zip(needed, chosen, strict=True)))

    def of(self, struct: ir.Struct) -> Iterator[tuple[str, Any, Any, Any]]:
        """Each leaf of a struct and of those in it: its name, its value, and the struct without and with it."""
        kind, hints = type(struct), get_type_hints(type(struct))
        for name in struct.__struct_fields__:
            if name not in dict(settable(kind)):
                yield from self._within(struct, name, struct)
                continue
            for value in self.values(name, hints[name]):
                more = msgspec.structs.replace(struct, **{name: value})
                bare = is_struct(type(value)) and len(settable(type(value))) == len(value.__struct_fields__)
                if more != struct and not bare:
                    yield f"{kind.__name__}.{name}", value, struct, more
                yield from self._within(more, name, struct if bare else more)

    def _within(self, struct: ir.Struct, name: str, before: ir.Struct) -> Iterator[tuple[str, Any, Any, Any]]:
        value = getattr(struct, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, ir.Struct):
                for leaf, set_to, less, more in self.of(inner):
                    new = [
                        tuple(a if b is inner else b for b in value) if value is not inner else a for a in (less, more)
                    ]
                    without, with_it = (msgspec.structs.replace(struct, **{name: each}) for each in new)
                    yield leaf, set_to, without if before is struct else before, with_it


def _put(new: ir.Struct, old: ir.Struct, value: Any) -> Any:
    """``new`` where ``old`` is: ``value`` is it, or a tuple that holds it."""
    return new if value is old else tuple(new if each is old else each for each in value)


def names(kind: Any = ir.Request) -> set[str]:
    """All leaves' names, as ``Struct.field``."""
    found: set[str] = set()
    for name, hint in get_type_hints(kind).items():
        inner = [part for each in kinds_of(hint) for part in (get_args(each) if get_origin(each) is tuple else (each,))]
        structs = [each for part in inner for each in kinds_of(part) if is_struct(each)]
        found |= {leaf for each in structs for leaf in names(each)}
        if not structs and name in dict(settable(kind)):
            found.add(f"{kind.__name__}.{name}")
    return found


def said_in(struct: ir.Struct) -> set[str]:
    """The names of the leaves that are set."""
    found: set[str] = set()
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, ir.Struct):
                found |= said_in(inner)
        if value != dict(settable(type(struct))).get(name, value):
            found.add(f"{type(struct).__name__}.{name}")
    return found
