"""Reading JSON objects strictly and without losing anything: every field nobody read is known at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self

import msgspec

from llmedge.dialects import lenient
from llmedge.dialects.foreign import says_something
from llmedge.dialects.lenient import UNREADABLE
from llmedge.errors import EdgeError, UpstreamMalformed, ValidationError

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder().decode
_NULL = b"null"


class Fields:
    """One JSON object. ``null`` counts as absent. Values keep the bytes they came in until somebody reads them.

    :param path: where the object stands in the request; ``""`` for the top.
    :param unread: collects the paths of fields that nobody read, when :meth:`finish` is called on each object.
    :param wrong: makes the exception for a mistyped or missing field, of its path and what is expected.
    """

    __slots__ = ("_fields", "_read", "_unread", "_wrong", "path")

    def __init__(
        self,
        fields: Mapping[str, Any],
        path: str = "",
        unread: list[str] | None = None,
        wrong: Callable[[str, str], EdgeError] | None = None,
    ) -> None:
        self._fields = fields
        self._unread = unread
        self._wrong = wrong or invalid
        self._read: set[str] = set()
        self.path = path

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def fail(self, name: str, what: str) -> NoReturn:
        """:raises EdgeError: the field ``name`` is not ``what`` it must be."""
        raise self._wrong(self.at(name) if name else self.path, what)

    def has(self, name: str) -> bool:
        """Whether there is such a field and it is not null."""
        raw = self._fields.get(name)
        return raw is not None and bytes(raw) != _NULL

    def names(self) -> list[str]:
        """The names there are, in their order."""
        return list(self._fields)

    def raw(self, name: str) -> bytes:
        """A field's JSON text as it came; ``b""`` if absent."""
        self._read.add(name)
        raw = self._fields.get(name)
        if raw is None:
            return b""
        raw = bytes(raw)
        return b"" if raw == _NULL else raw

    def ignore(self, *names: str) -> None:
        """These fields are dealt with elsewhere, or say nothing."""
        self._read.update(names)

    def unread(self, name: str) -> None:
        """The field was looked at and has no place in the IR."""
        self._read.discard(name)

    def value(self, name: str) -> Any:
        """A field's value, whatever it is; ``None`` if absent."""
        raw = self.raw(name)
        return _decode(raw) if raw else None

    def everything(self) -> dict[str, Any]:
        """All of it, decoded."""
        return {name: self.value(name) for name in self._fields}

    def is_text(self, name: str) -> bool:
        """Whether the field is a JSON string."""
        return bytes(self._fields.get(name) or b"")[:1] == b'"'

    def text(self, name: str, default: str | None = "") -> str:
        """A string; without a ``default`` it is required."""
        raw = self.raw(name)
        if not raw:
            if default is None:
                self.fail(name, "is required")
            return default
        try:
            return _decode_text(raw)
        except msgspec.DecodeError:
            self.fail(name, "must be a string")

    def boolean(self, name: str) -> bool | None:
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            self.fail(name, "must be true or false")
        return value

    def integer(self, name: str) -> int | None:
        value = self.value(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self.fail(name, "must be a whole number")
        return value

    def number(self, name: str) -> float | None:
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            self.fail(name, "must be a finite number")
        return value

    def given(self, name: str) -> Self | None:
        """An object; ``None`` if absent, or with nothing in it."""
        found = self.object(name)
        return found if found is not None and found.names() else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty if absent."""
        value = self.value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(name, "must be a list of strings")
        return tuple(value)

    def object(self, name: str) -> Self | None:
        """An object, to be read and finished; ``None`` if absent."""
        raw = self.raw(name)
        return self._object(raw, name) if raw else None

    def objects(self, name: str) -> list[Self]:
        """A list of objects; empty if absent."""
        raw = self.raw(name)
        if not raw:
            return []
        try:
            items = _decode_list(raw)
        except msgspec.DecodeError:
            self.fail(name, "must be a list")
        return [self._object(bytes(item), f"{name}[{index}]") for index, item in enumerate(items)]

    def _object(self, raw: bytes, name: str) -> Self:
        try:
            return type(self)(_decode_object(raw), self.at(name), self._unread, self._wrong)
        except msgspec.DecodeError:
            self.fail(name, "must be an object")

    def finish(self) -> None:
        """Note what nobody read and says something."""
        if self._unread is not None:
            for name, raw in self._fields.items():
                if name not in self._read and says_something(name, bytes(raw)):
                    self._unread.append(self.at(name))


class AnswerFields(Fields):
    """One JSON object of a vendor's answer. An answer is not thrown away for a field of another type than it should
    have: what is no text is the text in it, what is no number or object is absent."""

    __slots__ = ()

    @classmethod
    def of_answer(cls, body: bytes | msgspec.Raw) -> Self:
        """A vendor's JSON object; what is wrong with it is the vendor's fault.

        :raises UpstreamMalformed: it is not one.
        """
        try:
            if not (raw := bytes(body)).isascii():
                raw.decode()
            return cls(_decode_object(raw), wrong=malformed)
        except UNREADABLE:
            raise UpstreamMalformed("answered with something that is not a JSON object") from None

    @classmethod
    def spare(cls, raw: bytes | msgspec.Raw) -> Self:
        """An object that nobody needs: without fields where it is none."""
        try:
            return cls(_decode_object(raw), wrong=malformed)
        except UNREADABLE:
            return cls({}, wrong=malformed)

    def value(self, name: str) -> Any:
        return lenient.decode(self.raw(name))

    def text(self, name: str, default: str | None = "") -> str:
        """A text, whatever it came as; without a ``default`` it is required."""
        if self.is_text(name):
            return super().text(name)
        if default is None and not self.has(name):
            self.fail(name, "is required")
        return lenient.flat(self.value(name)) or default or ""

    def boolean(self, name: str) -> bool | None:
        value = self.value(name)
        return value if isinstance(value, bool) else None

    def integer(self, name: str) -> int | None:
        return lenient.whole(self.value(name))

    def number(self, name: str) -> float | None:
        value = self.value(name)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
        return value if usable else None

    def object(self, name: str) -> Self | None:
        return super().object(name) if self.raw(name)[:1] == b"{" else None

    def objects(self, name: str) -> list[Self]:
        """A list of objects, or one alone; what is none is left out."""
        raw = self.raw(name)
        items = [raw] if raw[:1] == b"{" else _decode_list(raw) if raw[:1] == b"[" else []
        kept = [bytes(item) for item in items]
        return [self._object(item, f"{name}[{index}]") for index, item in enumerate(kept) if item[:1] == b"{"]


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that is larger than any float
        return False


def invalid(path: str, what: str) -> EdgeError:
    """A client's mistake."""
    return ValidationError(f"The field '{path}' {what}.", param=path or None)


def malformed(path: str, what: str) -> EdgeError:
    """A vendor's mistake."""
    return UpstreamMalformed(f"answered with a field '{path}' that {what}")
