"""A multipart upload between a client and a vendor: a piece of it is held, the rest goes by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmedge.errors import ValidationError
from llmedge.web.multipart import Multipart

HELD = 1048576
"""Bytes that are read before a vendor is asked. What fits into them can be sent again, to another one as well."""
_PIECE = 65536


class HeldUpload:
    """See :class:`llmedge.model.Upload`.

    :param boundary: of the body, valid.
    :param model: where it was told in the request's head.
    :param read: gives the body's next piece, ``b""`` at its end.
    :param length: the body's bytes, where the client has told.
    :param when_read: called when all of the body is here.
    :param default: the model where neither head nor body names one.
    """

    def __init__(
        self,
        boundary: bytes,
        model: str,
        read: Callable[[], Awaitable[bytes]],
        length: int | None,
        when_read: Callable[[], None],
        default: str = "",
    ) -> None:
        name = boundary.decode("ascii")
        self.content_type = f'multipart/form-data; boundary="{name}"'
        if name.replace("-", "").replace("_", "").isalnum():  # a token: what every parser takes
            self.content_type = f"multipart/form-data; boundary={name}"
        self.spent = False
        self._boundary = boundary
        self._parser = Multipart(boundary, model, default)
        self._read = read
        self._length = length
        self._when_read = when_read
        self._held: list[bytes | None] = []
        self._ended = False

    async def begin(self) -> str:
        """Read as much as is held; the model's name.

        :raises EdgeError: the body cannot be read, is not valid, or names no model so early.
        """
        size = 0
        while size < HELD and not self._ended:
            pieces = await self.more()
            size += sum(len(piece or b"") for piece in pieces)
            self._held += pieces
        if not self._parser.model:
            raise ValidationError(
                f"The field 'model' is not within the first {HELD} bytes of the body: send it before the file, "
                "or name it in the URL (?model=NAME) or in the header x-llmedge-model.",
                param="model",
            )
        return self._parser.model

    async def more(self) -> list[bytes | None]:
        """The next pieces, ``None`` for the model's value; empty at the end."""
        while not self._ended:
            data = await self._read()
            if not data:
                self._ended = True
                self._parser.end()
                self._when_read()
            elif pieces := self._parser.feed(data):
                return pieces
        return []

    def open(self, model: str) -> _Sending:
        """See :meth:`llmedge.model.Upload.open`."""
        value = model.encode()
        if not model.isprintable() or b"--" + self._boundary in value:
            raise ValidationError("The model's name cannot be said in this body: it holds its boundary.", param="model")
        return _Sending(self, value)

    def length_with(self, value: bytes) -> int | None:
        """Bytes of the body with ``value`` for the model's, if that is known."""
        if self._ended:
            return sum(len(value if piece is None else piece) for piece in self._held)
        if self._length is None or not self._parser.named:
            return None
        return self._length - self._parser.size + len(value)


class _Sending:
    """See :class:`llmedge.model.UploadBody`."""

    def __init__(self, upload: HeldUpload, value: bytes) -> None:
        self._upload = upload
        self._value = value
        self._given = 0
        self.length = upload.length_with(value)
        self.whole = upload._ended

    @property
    def again(self) -> bool:
        return not self._upload.spent

    def rewind(self) -> None:
        self._given = 0

    async def read(self) -> bytes:
        upload = self._upload
        held = upload._held
        if self._given < len(held):
            size, start = 0, self._given
            while self._given < len(held) and size < _PIECE:
                size += len(held[self._given] or b"")
                self._given += 1
            return self._join(held[start : self._given])
        if upload._ended and not upload.spent:
            return b""
        upload.spent = True
        upload._held = []  # it could not be sent again anyway
        self._given = 0
        return self._join(await upload.more())

    def _join(self, pieces: list[bytes | None]) -> bytes:
        return b"".join([self._value if piece is None else piece for piece in pieces])
