"""A multipart upload between a client and a vendor: a piece of it is held, the rest goes by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmedge.errors import ValidationError
from llmedge.web.multipart import Multipart
from llmedge.web.spool import Spool

HELD = 1048576
"""Bytes that are read before a vendor is asked; more only where the model is not named in them. What is held can be
sent again, to another one as well."""
_PIECE = 65536
FILES, ASKED, TEXTS = 17, 10, 65_536
"""Pictures that an edit has and asks for at most, and bytes of its prompt
(developers.openai.com/api/reference/resources/images)."""


class HeldUpload:
    """See :class:`llmedge.model.Upload`.

    :param boundary: of the body, valid.
    :param parser: of the body, which knows the model where the request's head has told.
    :param held: where the beginning is kept.
    :param read: gives the body's next piece, ``b""`` at its end.
    :param length: the body's bytes, where the client has told; ``largest``: as many as it may have.
    :param when_read: called when all of the body is here.
    """

    def __init__(
        self,
        boundary: bytes,
        parser: Multipart,
        held: Spool,
        read: Callable[[], Awaitable[bytes]],
        length: int | None,
        largest: int,
        when_read: Callable[[], None],
    ) -> None:
        name = boundary.decode("ascii")
        self.content_type = f'multipart/form-data; boundary="{name}"'
        if name.replace("-", "").replace("_", "").isalnum():  # a token: what every parser takes
            self.content_type = f"multipart/form-data; boundary={name}"
        self.spent = False
        self._boundary = boundary
        self._parser = parser
        self._read = read
        self._length = length
        self._largest = largest
        self._when_read = when_read
        self._held = held
        self._ended = False

    async def begin(self) -> str:
        """Read as much as is held; the model's name. Many SDKs write the file first: it is then held until the model
        comes.

        :raises EdgeError: the body cannot be read, is not valid, or there is no room for it.
        """
        parser, held = self._parser, self._held
        while not self._ended and (held.size < HELD or not parser.model or parser.complete):
            await held.add(await self.more())
        return parser.model

    def close(self) -> None:
        """Nobody wants it any more."""
        self._held.close()

    @property
    def most(self) -> int:
        """See :class:`llmedge.model.Upload`, as for the others."""
        if self._ended:
            return self._held.total(b"")
        return self._largest if self._length is None else self._length

    @property
    def files(self) -> int:
        return self._parser.files if self._ended else FILES

    @property
    def texts(self) -> int:
        return min(self.most, TEXTS)

    @property
    def asked(self) -> int:
        return max(self._parser.asked, 1 if self._ended else ASKED)

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
            return self._held.total(value)
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
        pieces: list[bytes | None] = []
        size = 0
        while self._given < len(held) and size < _PIECE:
            pieces.append(piece := await held.get(self._given))
            size += len(piece or b"")
            self._given += 1
        if pieces:
            return self._join(pieces)
        if upload._ended and not upload.spent:
            return b""
        upload.spent = True
        held.close()  # it could not be sent again anyway
        self._given = 0
        return self._join(await upload.more())

    def _join(self, pieces: list[bytes | None]) -> bytes:
        return b"".join([self._value if piece is None else piece for piece in pieces])
