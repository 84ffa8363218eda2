"""What renderers read of a request, and what they leave unsaid: nothing is lost in silence.

Settings are read through a :func:`view` that notes it, as :class:`~llmedge.dialects.fields.Fields` does with a client's
JSON. Parts and tools, which may be thousands, are looked through once instead, for the leaves that a dialect does not
carry (:class:`Carries`). A new field of the IR is refused by every dialect until its renderer reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NoReturn, TypeVar, cast, get_args

import msgspec

from llmedge.config.capabilities import Capabilities
from llmedge.config.limits import Limits
from llmedge.dialects import ir
from llmedge.dialects.foreign import MOST_NAMED, WHY_LOST
from llmedge.errors import Unsupported

S = TypeVar("S", bound=ir.Struct)

ANYWAY: Mapping[str, Any] = {"parallel_tools": True, "store": False, "reasoning.show": False}
"""Fields with the value that every vendor goes by where nothing is said: they need not be said."""

HINTS: Mapping[str, str] = {
    # what only steers how the vendor works
    "user": "user",
    "metadata": "metadata",
    "store": "store",
    "service_tier": "service_tier",
    "verbosity": "verbosity",
    "cache_key": "prompt_cache_key",
    "parallel_tools": "parallel_tools",
    "reasoning": "reasoning",
    "reasoning.show": "reasoning.show",
    **{name: name for name in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")},
    # what only explains
    "task": "task",
    "title": "title",
    "output.name": "output.name",
    "output.description": "output.description",
    "Message.name": "name",
    "Text.citations": "citations",
    "Image.detail": "detail",
    "File.name": "title",
    "ToolResult.error": "is_error",
    # what only its own vendor reads
    "Thinking": "thinking",
    **{f"Thinking.{name}": "thinking" for name in ("text", "signature", "redacted", "id")},
    "ToolCall.signature": "signature",
    **{f"{kind}.cache": "cache_control" for kind in ("Text", "Image", "File", "ToolCall", "ToolResult", "Tool")},
}
"""Fields that change price, speed or bookkeeping, and not what is asked: where they cannot be said they are left out
and named, by these words or the client's own, and are no reason to refuse. All others are content."""

_WORDS = {"File.cite": "citations", "File.context": "context", "Audio.id": "audio id"}
_ALWAYS = "Message.at ToolResult.name Tool.description Tool.schema Tool.strict Tool.kind Tool.namespace"
"""Everybody's, and what need not be said: our own notes, and the name that the call has said."""

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

    def lacking(self, request: ir.Request) -> Iterator[tuple[str, str]]:
        """The leaves that are set and not carried, and where."""
        lacking = self._lacking
        for message in request.messages:
            for name, default in lacking[ir.Message]:
                if getattr(message, name) != default:
                    yield f"Message.{name}", message.at
            parts: list[ir.Part] = []
            for part in message.parts:
                parts.append(part)
                if type(part) is ir.ToolResult:
                    parts += part.content
            for part in parts:
                for name, default in lacking[type(part)]:
                    if getattr(part, name) != default:
                        yield f"{type(part).__name__}.{name}", message.at
        for tool in request.tools:
            for name, default in lacking[ir.Tool]:
                if getattr(tool, name) != default:
                    yield f"Tool.{name}", f"tools ({tool.name})"


UNKNOWN = Capabilities()


class RenderContext:
    """What is known of a target, and what it cannot be told of a request.

    :param names: the client's name of a field of the IR, where it differs.
    :param on_unsupported: ``hints``: :data:`HINTS` are left out, the rest refused; ``refuse``: all of it is refused;
        ``drop``: left out.
    :param target: what the error calls it.
    :ivar dropped: the client's names of the fields left out, as many as are named.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        on_unsupported: str = "hints",
        target: str = "the target",
        limits: Limits | None = None,
        capabilities: Capabilities = UNKNOWN,
    ) -> None:
        self._names = names
        self._on_unsupported = on_unsupported
        self._target = target
        self._refused: set[str] = set()
        self.limits = limits
        self.capabilities = capabilities
        self.dropped: list[str] = []

    def unsupported(self, field: str, why: str = "", at: str = "") -> None:
        """``field`` cannot be said.

        :param field: of the IR: a setting, a kind of part, or a leaf as ``Text.cache``; or a path in the request.
        :param at: the message it is in.
        :raises Unsupported: unless it may be left out.
        """
        self._refused.add(field)
        hint = field in HINTS
        name = self._names.get(field) or (HINTS[field] if hint else field)
        if at and not hint:
            name = f"{at} ({_WORDS.get(field) or field.lower().replace('.', ' ')})"
        self._leave_out(name, hint, why)

    def takes(self, source: ir.Source) -> bool:
        """Whether the vendor fetches from such a URL. The gateway never does."""
        limits = self.limits
        return source.kind == "url" and limits is not None and source.data.partition("://")[0].lower() in limits.schemes

    def approximated(self, field: str, why: str = "") -> None:
        """``field`` is said as near as the vendor has it.

        :raises Unsupported: where that will not do.
        """
        self._leave_out(self._names.get(field, field), True, why)

    def hint(self, name: str) -> None:
        """A field of the client's that is a hint cannot be said.

        :raises Unsupported: where nothing may be left out.
        """
        self._leave_out(name, True)

    def _leave_out(self, name: str, hint: bool, why: str = "") -> None:
        if self._on_unsupported == "refuse" or (self._on_unsupported == "hints" and not hint):
            setting = "hints" if hint else "drop"
            raise self._unsaid(name, why, f', or have the operator set on_unsupported = "{setting}" for this model')
        if len(self.dropped) < MOST_NAMED and name not in self.dropped:
            self.dropped.append(name)

    def lost(self, name: str, why: str = "") -> NoReturn:
        """Something that is said to the model cannot be said, and is not left out, whatever is set.

        :raises Unsupported: always.
        """
        raise self._unsaid(name, why)

    def _unsaid(self, name: str, why: str, remedy: str = "") -> Unsupported:
        because = f" ({why})" if why else ""
        return Unsupported(
            f"The field '{name}' cannot be said to {self._target}{because}. Leave it out{remedy}.", param=name
        )

    def rest(self, seen: ir.Struct, lacking: Iterable[tuple[str, str]] = ()) -> None:
        """What is set in a view and was not read cannot be said, nor can the leaves that are ``lacking``.

        :raises Unsupported: there is something, and it may not be left out.
        """
        for field in unread(seen, self._refused):
            known = field in self._names or field in HINTS
            self.unsupported(field if known else field.partition(".")[0])
        for field, at in lacking:
            self.unsupported(field, at=at)

    def foreign(self, hints: Iterable[str], extra: Iterable[str], lost: Iterable[str] = ()) -> None:
        """The client's fields that have no place in the IR; see :class:`~llmedge.dialects.ir.Request`.

        :raises Unsupported: there is one that may not be left out.
        """
        for field in lost:
            self.lost(field, WHY_LOST.get(field.partition(" (")[2].rstrip(")") or field, ""))
        for field in hints:
            self.hint(field)
        for field in extra:
            self.unsupported(field)
