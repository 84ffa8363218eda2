"""Where uploads are kept that cannot be passed on yet: in memory, and on a disk where there is no room in that."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, Any, TypeVar

import attrs
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from llmedge.config.sections.server import Server
from llmedge.errors import Overloaded

log = Logger()
R = TypeVar("R")


@attrs.define
class Room:
    """How many bytes all uploads together hold; ``server.upload_memory`` and ``upload_disk`` say how many they may."""

    limits: Server
    memory: int = 0
    disk: int = 0


@attrs.frozen
class _OnDisk:
    """A piece in the file."""

    at: int
    size: int


class Spool:
    """Pieces of one upload, in their order; ``None`` is a piece that says nothing of its own. Its file has no name, and
    ends with the process.

    :param reactor: its threads read and write the file.
    """

    def __init__(self, room: Room, reactor: Any) -> None:
        self._room = room
        self._reactor = reactor
        self._pieces: list[bytes | _OnDisk | None] = []
        self._memory = self._disk = 0
        self._file: IO[bytes] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return self._memory + self._disk

    async def add(self, pieces: list[bytes | None]) -> None:
        """Keep ``pieces``.

        :raises Overloaded: there is no room for them.
        """
        for piece in pieces:
            size = len(piece or b"")
            if piece is None or self._room.memory + size <= self._room.limits.upload_memory:
                self._memory += size
                self._room.memory += size
                self._pieces.append(piece)
            else:
                self._pieces.append(await self._write(piece))

    async def get(self, index: int) -> bytes | None:
        """One piece."""
        piece = self._pieces[index]
        if isinstance(piece, _OnDisk):
            assert self._file is not None, "it holds this piece"
            return await self._in_thread(_read, self._file, piece)
        return piece

    def total(self, replacement: bytes) -> int:
        """Bytes of all pieces, with ``replacement`` for each ``None``."""
        return self.size + len(replacement) * self._pieces.count(None)

    def close(self) -> None:
        """Forget all of it; harmless when repeated."""
        self._closed = True
        self._room.memory -= self._memory
        self._room.disk -= self._disk
        self._memory = self._disk = 0
        self._pieces.clear()
        file, self._file = self._file, None
        if file is not None:
            file.close()

    async def _write(self, piece: bytes) -> _OnDisk:
        if self._room.disk + len(piece) > self._room.limits.upload_disk:
            raise _no_room()
        at, self._disk = self._disk, self._disk + len(piece)
        self._room.disk += len(piece)
        try:
            if self._file is None:
                file: IO[bytes] = await self._in_thread(tempfile.TemporaryFile)
                if self._closed:
                    file.close()
                    raise _no_room()  # nobody hears it: the request is over
                self._file = file
            await self._in_thread(_append, self._file, piece)
        except OSError as error:
            log.error("an upload could not be kept on disk: {reason}", reason=error.strerror)
            raise _no_room() from None
        return _OnDisk(at, len(piece))

    async def _in_thread(self, work: Callable[..., R], *args: Any) -> R:
        done: R = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *args)
        return done


def _read(file: IO[bytes], piece: _OnDisk) -> bytes:
    return os.pread(file.fileno(), piece.size, piece.at)


def _append(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _no_room() -> Overloaded:
    return Overloaded(
        "The gateway has no room for an upload whose model comes behind its file (server.upload_memory, "
        "server.upload_disk): send the field 'model' first, or name it in the URL (?model=NAME)."
    )
