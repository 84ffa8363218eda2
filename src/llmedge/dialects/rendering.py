"""What renderers read of a request, and what they leave unsaid: nothing is lost in silence.

Settings are read through a :func:`view` that notes it, as :class:`~llmedge.dialects.fields.Fields` does with a client's
JSON. Parts and tools, which may be thousands, are looked through once instead, for the leaves that a dialect does not
carry (:class:`Carries`). A new field of the IR is refused by every dialect until its renderer reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_args

import msgspec

from llmedge.dialects import ir
from llmedge.errors import Unsupported

S = TypeVar("S", bound=ir.Struct)

ANYWAY: Mapping[str, Any] = {"parallel_tools": True, "store": False, "reasoning.show": False}
"""Fields with the value that every vendor goes by where nothing is said: they need not be said."""

HINTS = frozenset({"reasoning.show"})
"""Fields that change nothing of what is answered: where they cannot be said they are left out and named, and no reason
to refuse. Agents ask for summaries of thoughts by default."""

_WORDS = {"cache": "cache_control", "citations": "citations"}
_ALWAYS = "Message.at ToolResult.name Tool.description Tool.schema Tool.strict"
"""Everybody's, and what need not be said: our own note, and the name that the call has said."""

_STRUCT = type(ir.Struct)


class _View:
    """A struct that notes which of its fields were read, those of the structs in it too. What is set and was not read
    is missing in its ``__dict__``."""

    def __init__(self, struct: ir.Struct) -> None:
        self._struct = struct
        known = self.__dict__
        for name, default in settable(struct.__class__):
            if (value := getattr(struct, name)) == default:
                known[name] = value


class _Field:
    """A field of a view. Python asks it only while the field is missing in ``__dict__``: it has no ``__set__``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, seen: _View, owner: type) -> Any:
        value = getattr(seen._struct, self._name)
        if type(type(value)) is _STRUCT:  # isinstance() asks an ABC, ten times as long
            value = view(value)
        seen.__dict__[self._name] = value
        return value


@cache
def _view_of(kind: Any) -> type[_View]:
    return type("View", (_View,), {name: _Field(name) for name in kind.__struct_fields__})


def view(struct: S) -> S:
    """``struct``, to be read and then given to :func:`unread`."""
    return cast(S, _view_of(struct.__class__)(struct))


def ignore(seen: ir.Struct, *names: str) -> None:
    """These fields of a view say nothing to this vendor, or are said elsewhere."""
    for name in names:
        getattr(seen, name)


def unread(seen: ir.Struct, refused: Collection[str] = (), path: str = "") -> Iterator[str]:
    """The paths of what is set in a view's struct and was not read.

    :param refused: paths of structs that were refused as a whole.
    """
    read = vars(seen)
    struct = read["_struct"]
    for name, _ in settable(struct.__class__):
        place = path + name
        if name not in read:
            if ANYWAY.get(place) is not getattr(struct, name):
                yield place
        elif isinstance(read[name], _View) and place not in refused:
            yield from unread(read[name], refused, place + ".")


@cache
def settable(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of a struct that may be left out, each with its default."""
    fields = msgspec.structs.fields(kind)
    return tuple((each.name, each.default) for each in fields if not each.required)


class Carries:
    """Which leaves of messages, parts and tools a dialect has words for, or which need none there.

    :param leaves: as ``Image.detail``, some in each text; a kind alone is left to the renderer as a whole.
    """

    def __init__(self, *leaves: str) -> None:
        carried = f"{_ALWAYS} {' '.join(leaves)}".split()
        self._lacking = {
            kind: [each for each in settable(kind) if f"{kind.__name__}.{each[0]}" not in carried]
            for kind in (ir.Message, ir.Tool, *get_args(ir.Part))
        } | {kind: [] for kind in get_args(ir.Part) if kind.__name__ in carried}

    def lacking(self, request: ir.Request) -> Iterator[str]:
        """The paths of leaves that are set and not carried."""
        lacking = self._lacking
        for message in request.messages:
            for name, default in lacking[ir.Message]:
                if getattr(message, name) != default:
                    yield f"{message.at}.{name}"
            parts: list[ir.Part] = []
            for part in message.parts:
                parts.append(part)
                if type(part) is ir.ToolResult:
                    parts += part.content
            for part in parts:
                for name, default in lacking[type(part)]:
                    if getattr(part, name) != default:
                        yield f"{message.at} ({_WORDS.get(name) or f'{type(part).__name__.lower()} {name}'})"
        for tool in request.tools:
            for name, default in lacking[ir.Tool]:
                if getattr(tool, name) != default:
                    yield f"tools ({tool.name}: {_WORDS.get(name, name)})"


class RenderContext:
    """Collects what a target cannot say of a request.

    :param names: the client's name of a field of the IR, where it differs.
    :param drop: leave such fields out, rather than refuse the request.
    :ivar dropped: the client's names of the fields left out.
    """

    def __init__(self, names: Mapping[str, str], drop: bool, target: str = "") -> None:
        self._names = names
        self._drop = drop
        self._target = target
        self._refused: set[str] = set()
        self.dropped: list[str] = []

    def unsupported(self, field: str, why: str = "") -> None:
        """``field`` (of the IR, or a path in the request) cannot be said.

        :raises Unsupported: unless it may be dropped, or is one of :data:`HINTS`.
        """
        name = self._names.get(field, field)
        self._refused.add(field)
        if not self._drop and field not in HINTS:
            raise Unsupported(
                f"The field '{name}' cannot be said to {self._target or 'the target'}{why and f' ({why})'}. "
                'Leave it out, or have the operator set on_unsupported = "drop" for this model.',
                param=name,
            )
        if name not in self.dropped:
            self.dropped.append(name)

    def rest(self, seen: ir.Struct, more: Iterable[str]) -> None:
        """What is set in a view and was not read cannot be said, nor can ``more``.

        :raises Unsupported: there is something, and it may not be dropped.
        """
        for field in unread(seen, self._refused):
            self.unsupported(field if field in self._names or field in HINTS else field.partition(".")[0])
        for field in more:
            self.unsupported(field)
