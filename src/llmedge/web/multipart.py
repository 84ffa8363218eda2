"""multipart/form-data (RFC 7578, RFC 2046 section 5.1.1) as it goes by: where the model is named, and nothing more.

Pure: bytes in, bytes out, split anywhere. Every byte is passed on as it came, but for the value of the field ``model``.
What two parsers could read differently is refused, since the one behind us must not find another model in it: a
boundary that is not at the beginning of a line, padding, a preamble, an epilogue, folded headers, a name said twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from llmedge.errors import UnsupportedMediaType, ValidationError

MODEL_BYTES = 1024
"""Of a model's name; its 256 characters take no more."""
_HEADER_BYTES = 16384
_PARTS = 1000
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:\"([^\"\\\r\n]*)\"|(" + _TOKEN + rb"))"
_TYPE = re.compile(rb"multipart/form-data((?:" + _PARAMETER + rb")*)[ \t]*;?[ \t]*", re.IGNORECASE)
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
# In a disposition a backslash is an escape to some parsers and a letter to others: only one that is doubled, or is
# before neither a quote nor a backslash, is the same to all as far as where the text ends.
_QUOTED = rb"\"((?:[^\"\\\r\n]|\\\\|\\[^\"\\\r\n])*)\""
_DISPOSED = rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:" + _QUOTED + rb"|(" + _TOKEN + rb"))"
_DISPOSITION = re.compile(rb"form-data((?:" + _DISPOSED + rb")+)[ \t]*;?[ \t]*", re.IGNORECASE)
_EACH_TYPE = re.compile(_PARAMETER)
_EACH_DISPOSED = re.compile(_DISPOSED)
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_PLAIN = re.compile(rb"text/plain[ \t]*(?:;[ \t]*charset=\"?(utf-8|us-ascii|iso-8859-1)\"?)?[ \t]*", re.IGNORECASE)
_AS_IT_IS = (b"7bit", b"8bit", b"binary")
"""Transfer encodings that change nothing (RFC 2045 section 6.2); RFC 7578 section 4.7 wants none, Java's Apache
HttpClient writes one all the same."""


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a ``content-type`` names.

    :raises UnsupportedMediaType: it is not multipart/form-data.
    :raises ValidationError: it has no boundary, more than one, or one that RFC 2046 does not allow.
    """
    if content_type.partition(b";")[0].strip().lower() != b"multipart/form-data":
        raise UnsupportedMediaType("Send the body as content-type: multipart/form-data.")
    match = _TYPE.fullmatch(content_type.strip())
    parameters = _parameters(_EACH_TYPE, match[1] if match else b"")
    found = [quoted or word for name, quoted, word in parameters if name == b"boundary"]
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        raise ValidationError("The content-type must name one boundary of 1 to 70 characters (RFC 2046).")
    return found[0]


def _parameters(pattern: re.Pattern[bytes], text: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for match in pattern.finditer(text):
        yield match[1].lower(), match[2] or b"", match[3] or b""


class Multipart:
    """One body going by.

    :param model: the model's name, where it was told already: the body then need not name it, and a field of that name
        is made to if it does not.
    :param told_by: who told it, if the body may not say otherwise; else what that says is nothing.
    :param default: the same, where the body does not name it.
    :ivar named: the field ``model`` has gone by.
    :ivar model: its value; ``size``: its bytes.
    :ivar files: that have begun so far; ``asked``: the number in the field ``n``, 0 while there is none.
    :ivar complete: the body has come to its end.
    """

    def __init__(
        self, boundary: bytes, model: str = "", told_by: str = "the request's head", default: str = ""
    ) -> None:
        self._told_by = told_by
        self._default = default
        self.model = model
        self.named = False
        self.size = 0
        self.complete = False
        self.files = self.asked = 0
        self._told = bool(model)
        self._mark = b"--" + boundary
        self._buffer = b""
        self._step = self._start
        self._out: list[bytes | None] = []
        self._parts = 0
        self._charset = b""  # of the field ``model``, while it goes by
        self._value = b""
        self._number: bytes | None = None  # of the field ``n``, while it goes by

    def feed(self, data: bytes) -> list[bytes | None]:
        """What ``data`` lets pass, in order; ``None`` stands where the model's value goes.

        :raises ValidationError: the body is not what it should be.
        """
        self._buffer += data
        while self._step():
            pass
        out, self._out = self._out, []
        return out

    def end(self) -> None:
        """No more comes.

        :raises ValidationError: it was not all.
        """
        if not self.complete:
            raise _wrong("it ends before its last boundary")

    # One method for each place in the body; each says whether there is more to take.

    def _pass(self, size: int) -> None:
        if size:
            self._out.append(self._buffer[:size])
            self._buffer = self._buffer[size:]

    def _start(self) -> bool:
        mark = self._mark
        if len(self._buffer) < len(mark):
            if mark.startswith(self._buffer):
                return False
        elif self._buffer.startswith(mark):
            self._step = self._behind_boundary
            return True
        raise _wrong("it does not begin with its boundary")

    def _behind_boundary(self) -> bool:
        """The buffer begins with a boundary, which has not been passed on."""
        end = len(self._mark)
        behind = self._buffer[end : end + 2]
        if behind == b"\r\n":
            self._parts += 1
            if self._parts > _PARTS:
                raise _wrong(f"it has more than {_PARTS} parts")
            self._pass(end + 2)
            self._step = self._headers
        elif behind == b"--":
            if not self._parts:
                raise _wrong("it has no parts")
            if not self.named:
                self.model = self.model or self._default
                if not self.model:
                    raise ValidationError("The field 'model' is required.", param="model")
                self.named = True
                head = self._mark + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
                self._out += [head, None, b"\r\n"]
            self._pass(end + 2)
            self.complete = True
            self._step = self._epilogue
        elif len(behind) < 2 and behind in (b"", b"\r", b"-"):
            return False
        else:
            raise _wrong("something follows a boundary on its line")
        return True

    def _headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > _HEADER_BYTES or (end < 0 and len(self._buffer) > _HEADER_BYTES):
            raise _wrong(f"the headers of a part are over {_HEADER_BYTES} bytes")
        if end < 0:
            return False
        part = _part(self._buffer[:end].split(b"\r\n"))
        self._charset = part.charset
        self._number = b"" if part.name == b"n" else None
        self.files += part.is_file
        if self._charset:
            if self.named:
                raise ValidationError("The field 'model' is there more than once.", param="model")
            self._value = b""
        self._pass(end + 4)
        self._step = self._content
        return True

    def _content(self) -> bool:
        at = self._buffer.find(self._mark)
        if at < 0:
            # All but what may be the beginning of a line break and a boundary.
            keep = min(len(self._buffer), len(self._mark) + 1)
            self._pass_content(len(self._buffer) - keep)
            return False
        if at < 2 or self._buffer[at - 2 : at] != b"\r\n":
            raise _wrong("its boundary is not at the beginning of a line")
        self._pass_content(at - 2)
        if self._charset:
            self._note_model()
        if self._number is not None and self._number.strip().isdigit():
            self.asked = max(self.asked, int(self._number))
        self._pass(2)
        self._step = self._behind_boundary
        return True

    def _pass_content(self, size: int) -> None:
        if self._number is not None:
            self._number = (self._number + self._buffer[:size])[:10]
        if not self._charset:
            self._pass(size)
            return
        self._value += self._buffer[:size]
        self._buffer = self._buffer[size:]
        if len(self._value) > MODEL_BYTES:
            raise ValidationError("The field 'model' is longer than 256 characters.", param="model")

    def _note_model(self) -> None:
        try:
            # In the other charsets ASCII is what it is in UTF-8; the rest two servers may read in two ways.
            value = self._value.decode("utf-8" if self._charset == b"utf-8" else "ascii")
        except UnicodeDecodeError:
            raise ValidationError("The field 'model' is not UTF-8.", param="model") from None
        if not value.strip() or not value.isprintable():
            raise ValidationError("The field 'model' must be a name in one line.", param="model")
        self.named = True
        self.size = len(self._value)
        if not self._told:
            self.model = value
        elif value != self.model and self._told_by:
            raise ValidationError(
                f"The field 'model' says otherwise than {self._told_by} ('{self.model}').", param="model"
            )
        self._out.append(None)

    def _epilogue(self) -> bool:
        if self._buffer.strip(b"\r\n") or len(self._buffer) > 4:
            raise _wrong("something follows its last boundary")
        self._pass(len(self._buffer))
        return False


class _Part(NamedTuple):
    """:ivar charset: of the field ``model``; ``b""`` of another one."""

    name: bytes
    is_file: bool
    charset: bytes = b""


def _part(lines: list[bytes]) -> _Part:
    """The part with these header lines."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _wrong("a part has a header that is none")
        if match[1].lower() in found:
            raise _wrong("a part has a header twice")
        found[match[1].lower()] = match[2]
    match = _DISPOSITION.fullmatch(found.get(b"content-disposition", b""))
    if match is None:
        raise _wrong("a part has no content-disposition that can be read in one way only (escape a quote as %22)")
    names: dict[bytes, bytes] = {}
    for name, quoted, word in _parameters(_EACH_DISPOSED, match[1]):
        if name in names or name == b"name*":
            raise _wrong("a part's name is said twice")
        names[name] = quoted + word
    name = names.get(b"name", b"")
    if not name or b"\\" in name:
        raise _wrong("a part has no name")
    is_file = b"filename" in names or b"filename*" in names
    if name != b"model":
        return _Part(name, is_file)
    if is_file:
        raise ValidationError("The field 'model' must not be a file.", param="model")
    encoding = found.get(b"content-transfer-encoding", b"binary").strip().lower()
    if encoding not in _AS_IT_IS:
        shown = encoding[:32].decode("ascii", "replace")
        raise ValidationError(
            f"The field 'model' is encoded ({shown}): send it as it is, without Content-Transfer-Encoding.",
            param="model",
        )
    if (plain := _PLAIN.fullmatch(found.get(b"content-type", b"text/plain"))) is None:
        raise ValidationError("The field 'model' must be plain text in UTF-8.", param="model")
    return _Part(name, False, (plain[1] or b"utf-8").lower())


def _wrong(why: str) -> ValidationError:
    return ValidationError(f"The body is not valid multipart/form-data: {why}.")
